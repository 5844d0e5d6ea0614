"""What is said of the model's features is true of the features."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stores.domain.feature_definitions import DataType, FeatureType
from stores.features.definitions import model_feature_definitions
from stores.features.history import FeatureHistory
from stores.features.schema import EXPECTATIONS, FEATURE_VERSION, MODEL_FEATURES, RESULTS
from stores.features.vector import assemble
from tests.unit.leagues import draw_league, play

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stores.features.games import PlayedGame

BY_NAME = {one.feature_name: one for one in model_feature_definitions()}


def test_each_column_is_defined_once_and_in_its_order() -> None:
    """The table of definitions is the model's row, described."""
    assert tuple(one.feature_name for one in model_feature_definitions()) == MODEL_FEATURES
    assert {one.data_type for one in BY_NAME.values()} == {DataType.FLOAT}
    assert {name for name, one in BY_NAME.items() if one.feature_type is FeatureType.CATEGORICAL} == {"position"}
    assert all(FEATURE_VERSION in (one.business_context or "") for one in BY_NAME.values())


def test_no_two_features_mean_the_same() -> None:
    """A text that fits two columns explains neither; nor does the bare name."""
    texts = [one.description for one in BY_NAME.values()]
    assert len(set(texts)) == len(texts)
    assert not any(one.description == name for name, one in BY_NAME.items())


def test_a_feature_rests_on_what_stands_before_it() -> None:
    """Nothing rests on itself, on what is no column, or on what is computed later."""
    order = {name: at for at, name in enumerate(MODEL_FEATURES)}
    for name, one in BY_NAME.items():
        assert all(order[other] < order[name] for other in one.dependencies), name


@pytest.mark.parametrize("prop", ["kills", "assists"])
@pytest.mark.parametrize("result", RESULTS)
def test_an_expectation_rests_on_the_kills_of_its_result(prop: str, result: str) -> None:
    """Kills of such a team, the pace of the meeting and the player's factor of the same prop; its text names them."""
    name = f"expected_{prop}_when_{result}"
    assert name in EXPECTATIONS
    parts = (f"league_kills_when_{result}", "expected_pace", f"player_{prop}_factor")
    assert BY_NAME[name].dependencies == parts
    assert all(part in (BY_NAME[name].description or "") for part in parts)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("player_won_hl4", {"min": 0, "max": 1}),
        ("player_kills_factor", {"min": 0}),
        ("player_strength", None),
        ("player_strength_variance", {"min": 0}),
        ("player_pool_champions", {"min": 0, "max": 20}),
        ("opponent_defence", {"min": 0}),
        ("opponent_role_deaths_factor", {"min": 0}),
        ("league_patch_factor", {"min": 0}),
        ("rating_difference", None),
        ("rating_variance", {"min": 0}),
        ("roster_difference", None),
        ("lineup_kills_share", {"min": 0, "max": 1}),
        ("expected_assists_when_lost", {"min": 0}),
    ],
)
def test_rules_say_which_values_are_right(name: str, rules: dict[str, float] | None) -> None:
    """Factors, variances and expectations are never negative, shares end at 1; differences know no bound."""
    assert BY_NAME[name].validation_rules == rules


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("team_attack", "kills made"),
        ("opponent_defence", "kills allowed"),
        ("player_assists_variance", "logarithm of assists_factor"),
        ("team_attack_variance", "logarithm of attack"),
        ("player_strength_variance", "variance of strength"),
        ("opponent_role_kills_factor", "games of the opponent"),
        ("league_kills_when_lost", "per game that was lost"),
        ("team_elo", "Elo (1978)"),
    ],
)
def test_texts_name_what_is_measured(name: str, words: str) -> None:
    """A reader who knows the game understands the column."""
    assert words in (BY_NAME[name].description or "")


def possible(game: PlayedGame) -> PlayedGame:
    """The game with no more kills and assists of a player than his team has kills: counts are drawn apart there."""
    first, second = (
        replace(
            team,
            players=[
                replace(one, kills=kills, assists=min(one.assists, team.kills - kills))
                for one in team.players
                for kills in [min(one.kills, team.kills)]
            ],
        )
        for team in game.teams
    )
    return replace(game, teams=(first, second))


def played_rows() -> NDArray[np.float32]:
    """The model's rows of a simulated season, each as of before its game."""
    rng = np.random.default_rng(8)
    history, rows = FeatureHistory(), []
    for game in play(draw_league(rng, 4), rng, 60):
        context = history.context("LCK", "16.01")
        for own, other in (game.teams, game.teams[::-1]):
            team, opponent = (history.team(one.team_id, "LCK", game.started_us) for one in (own, other))
            for player in own.players:
                features = history.player(player.player_id, player.position, "LCK", game.started_us)
                rows.append((features, team, opponent, context, player.position, 1))
        history.observe(possible(game))
    players, teams, opponents, contexts, positions, numbers = (np.array(column) for column in zip(*rows, strict=True))
    return assemble(players, teams, opponents, contexts, positions, numbers)


def test_the_rules_hold_of_played_games() -> None:
    """From the first game on, no value of any column breaks its rule."""
    rows = played_rows()
    for name, values in zip(MODEL_FEATURES, rows.T, strict=True):
        rules = BY_NAME[name].validation_rules or {}
        known = values[~np.isnan(values)]
        assert (known >= rules.get("min", -np.inf)).all(), name
        assert (known <= rules.get("max", np.inf)).all(), name
