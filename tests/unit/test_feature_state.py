"""What the models of kills, wins and champions know stands in the snapshots, under its names and as of its moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.props import Position
from stores.features.belief import DAY_US
from stores.features.champions import ChampionHistory
from stores.features.history import FeatureHistory
from stores.features.kill_model import KillModel
from stores.features.players import RESULT_DECAY, RESULT_PULL
from stores.features.schema import (
    CONTEXT_FEATURES,
    LEAGUE_STATE,
    LINEUP_FACTORS,
    PLAYER_FEATURES,
    PLAYER_POOL,
    PLAYER_STATE,
    POSITIONS,
    RATINGS,
    RESULT_STATS,
    ROLE_SHARES,
    TEAM_FEATURES,
    TEAM_STATE,
)
from stores.features.win_ratings import WinRatings
from tests.unit.leagues import HOUR_US, ROLES, START_US, draw_league, play, player_id, team_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stores.features.games import PlayedGame

TEAMS = 4
MID = POSITIONS.index(Position.MID)
LATER_US = START_US + 90 * DAY_US
RNG = np.random.default_rng(21)
SEASON = play(draw_league(RNG, TEAMS), RNG, 40)
NOW_US = SEASON[-1].ended_us


def observed(games: Iterable[PlayedGame]) -> FeatureHistory:
    """A history that saw these games."""
    history = FeatureHistory()
    for one in games:
        history.observe(one)
    return history


def of_player(history: FeatureHistory, player: str, position: int = MID, now_us: int = NOW_US) -> dict[str, float]:
    """The player's features by name."""
    return dict(zip(PLAYER_FEATURES, history.player(player, position, "LCK", now_us).tolist(), strict=True))


def of_team(history: FeatureHistory, team: str | None, now_us: int = NOW_US) -> dict[str, float]:
    """The team's features by name."""
    return dict(zip(TEAM_FEATURES, history.team(team, "LCK", now_us).tolist(), strict=True))


def of_context(history: FeatureHistory, league: str = "LCK") -> dict[str, float]:
    """The features of league and patch by name."""
    return dict(zip(CONTEXT_FEATURES, history.context(league, "16.01").tolist(), strict=True))


def picked(features: dict[str, float], names: Sequence[str]) -> list[float]:
    """The values under these names."""
    return [features[name] for name in names]


@pytest.fixture(scope="module")
def season() -> FeatureHistory:
    """A history of forty games of four teams."""
    return observed(SEASON)


@pytest.mark.parametrize("now_us", [NOW_US, LATER_US])
def test_snapshots_hold_what_the_models_know(season: FeatureHistory, now_us: int) -> None:
    """Player, team and context say what models that saw the same games say, each value under its own name."""
    kills, wins, champions = KillModel(), WinRatings(), ChampionHistory()
    for one in SEASON:
        for model in (kills, wins, champions):
            model.observe(one)
    for at in range(TEAMS):
        roster = [player_id(at, role) for role in range(ROLES)]
        for role, name in enumerate(roster):
            features = of_player(season, name, role, now_us)
            state = [*kills.player(name, role, now_us), *wins.player(name, now_us)]
            assert picked(features, PLAYER_STATE) == state
            recent = season.players[name].champions
            assert picked(features, PLAYER_POOL) == list(champions.pool(recent, role))
        team = of_team(season, team_id(at), now_us)
        assert picked(team, TEAM_STATE) == kills.team(team_id(at), now_us)
        assert picked(team, RATINGS[1:]) == [*wins.team(team_id(at), now_us), wins.roster_strength(roster)]
        for role, position in enumerate(POSITIONS):
            for stat in ("kills", "deaths"):
                factor = kills.share_factor(stat, roster[role], role)
                assert team[f"{position}_{stat}_factor"] == factor != 1.0
    state_names = (*(f"league_{name}" for name in LEAGUE_STATE), *ROLE_SHARES)
    assert picked(of_context(season), state_names) == kills.context("LCK", "16.01")


def test_counts_by_result_by_hand() -> None:
    """Games fade by the game, won or lost; own counts are taken beside what was usual for the role in such a result."""
    games = [one for one in SEASON if any(team.team_id == team_id(0) for team in one.teams)][:3]
    history = observed(games)
    usual = of_player(history, "nobody")
    counts = {f"{stat}_when_{result}": [0.0, 0.0] for stat in ("kills", "assists") for result in ("won", "lost")}
    for age, one in reversed(list(enumerate(reversed(games)))):
        then = of_player(observed(games[: len(games) - 1 - age]), "nobody")
        own = next(team for team in one.teams if team.team_id == team_id(0))
        weight = RESULT_DECAY**age
        for stat in ("kills", "assists"):
            name = f"{stat}_when_{'won' if own.won else 'lost'}"
            totals = counts[name]
            totals[0] += weight * then[name]
            totals[1] += weight * getattr(own.players[MID], stat)
    features = of_player(history, player_id(0, MID))
    for name in RESULT_STATS:
        (then_usual, total), pull = counts[name], RESULT_PULL * usual[name]
        assert features[name] == pytest.approx(usual[name] * (total + pull) / (then_usual + pull)), name
    assert usual["kills_when_won"] > usual["kills_hl40"] > usual["kills_when_lost"]


@pytest.mark.parametrize("player", ["nobody", player_id(0, 0)])
def test_who_is_unknown_in_a_role_has_its_shares(season: FeatureHistory, player: str) -> None:
    """Factors of 1 and the first variances for who is new to all, or to this role."""
    features = of_player(season, player)
    assert picked(features, PLAYER_STATE[:6:2]) == [1.0, 1.0, 1.0]
    assert picked(features, PLAYER_STATE[1:6:2]) == picked(of_player(FeatureHistory(), "x"), PLAYER_STATE[1:6:2])
    strength = picked(features, ("strength", "strength_variance"))
    first = picked(of_player(FeatureHistory(), "x"), ("strength", "strength_variance"))
    assert (strength == first) == (player == "nobody")
    pool = picked(features, PLAYER_POOL)
    assert (pool == [1.0, 1.0, 0.0]) == (player == "nobody")


def test_a_line_up_is_that_of_the_last_game(season: FeatureHistory) -> None:
    """A substitute takes the place of whom he replaced, in the factors of the team and in its roster's strength."""
    one = next(each for each in SEASON if each.teams[0].team_id == team_id(0))
    away = replace(one.teams[0].players[MID], player_id="newcomer")
    players = tuple(away if player.position == MID else player for player in one.teams[0].players)
    last = replace(one, ended_us=NOW_US + HOUR_US, teams=(replace(one.teams[0], players=players), one.teams[1]))
    before = of_team(season, team_id(0))
    history = observed([*SEASON, last])
    after, newcomer = of_team(history, team_id(0)), of_player(history, "newcomer")
    assert history.teams[team_id(0)].lineup[MID] == "newcomer"
    assert after["mid_kills_factor"] == newcomer["kills_factor"] != before["mid_kills_factor"]
    assert after["mid_deaths_factor"] == newcomer["deaths_factor"]
    names = [name for at, name in history.teams[team_id(0)].lineup.items() if at != MID]
    strengths = [of_player(history, name)["strength"] for name in names] + [newcomer["strength"]]
    assert after["roster_strength"] == pytest.approx(np.mean(strengths))


def test_strength_moves_with_a_roster() -> None:
    """Five who win elsewhere bring their strength on the day of their first game; the team's own rating comes later."""
    league = draw_league(np.random.default_rng(2), 3)
    strong = replace(league, skills=np.array([[4.0] * ROLES, [-4.0] * ROLES, [-4.0] * ROLES]))
    games = play(strong, np.random.default_rng(2), 60)
    history = observed(games)
    best, other = (of_team(history, team_id(at)) for at in (0, 1))
    assert best["roster_strength"] > 0.1 > -0.05 > other["roster_strength"]
    one = next(each for each in games if {team.team_id for team in each.teams} == {team_id(1), team_id(2)})
    stars = next(team.players for each in games for team in each.teams if team.team_id == team_id(0))
    teams = [replace(team, players=stars) if team.team_id == team_id(1) else team for team in one.teams]
    history.observe(replace(one, ended_us=games[-1].ended_us + HOUR_US, teams=(teams[0], teams[1])))
    moved = of_team(history, team_id(1))
    assert moved["roster_strength"] > 0.8 * best["roster_strength"]
    assert moved["rating"] < 0.5 * best["rating"]


def test_a_leagues_ratings_are_those_before_its_games() -> None:
    """The average is of the teams as they came into their games: after the first game it is the first rating still."""
    first, second = (of_context(observed(SEASON[:games])) for games in (1, 2))
    start = of_context(FeatureHistory())
    for name in RATINGS:
        assert first[f"league_{name}"] == pytest.approx(start[f"league_{name}"]), name
    assert second["league_rating_variance"] != pytest.approx(start["league_rating_variance"], rel=1e-6)


def test_asking_teaches_nothing() -> None:
    """Snapshots of anyone at any later moment leave all later snapshots as they were."""
    asked, silent = FeatureHistory(), FeatureHistory()
    for one in SEASON[:15]:
        for history in (asked, silent):
            history.observe(one)
        asked.player("nobody", MID, "LPL", one.ended_us)
        asked.player(player_id(0, 1), 3, "LCK", one.ended_us)
        asked.team("newcomers", "LPL", one.ended_us)
        asked.context("LPL", "16.09")
    assert set(asked.players) == set(silent.players)
    assert set(asked.champions.known) == set(silent.champions.known)
    for at in range(TEAMS):
        assert of_team(asked, team_id(at)) == of_team(silent, team_id(at))
        assert str(of_player(asked, player_id(at, 1), 1)) == str(of_player(silent, player_id(at, 1), 1))
    assert of_context(asked) == of_context(silent)


@given(st.lists(st.tuples(st.booleans(), st.permutations(range(ROLES))), min_size=12, max_size=12))
def test_what_the_models_know_does_not_hang_on_order(drawn: list[tuple[bool, list[int]]]) -> None:
    """Sides and seats are names: the state of players, teams and league is the same, but for the last bit of a sum."""
    turned = []
    for one, (swap, order) in zip(SEASON, drawn, strict=False):
        first, second = (replace(team, players=tuple(team.players[at] for at in order)) for team in one.teams)
        turned.append(replace(one, teams=(second, first) if swap else (first, second)))
    ours, theirs = observed(SEASON[: len(drawn)]), observed(turned)
    names = (*PLAYER_STATE, *PLAYER_POOL)
    for at in range(TEAMS):
        for role in range(ROLES):
            mine, other = (of_player(one, player_id(at, role), role) for one in (ours, theirs))
            assert picked(mine, names) == pytest.approx(picked(other, names), rel=1e-11, abs=1e-14)
        mine, other = (of_team(one, team_id(at)) for one in (ours, theirs))
        names_of_team = (*TEAM_STATE, *LINEUP_FACTORS, *RATINGS)
        assert picked(mine, names_of_team) == pytest.approx(picked(other, names_of_team), rel=1e-11, abs=1e-14)
    state_names = (*(f"league_{name}" for name in LEAGUE_STATE), *ROLE_SHARES)
    contexts = [picked(of_context(one), state_names) for one in (ours, theirs)]
    assert contexts[0] == pytest.approx(contexts[1], rel=1e-11)
