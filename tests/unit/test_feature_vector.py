"""The model's row: each column is what its name says, and one row has the bits it has among many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import InvalidError
from stores.features.schema import (
    CONTEXT_FEATURES,
    EXPECTATIONS,
    FEATURE_VERSION,
    MODEL_FEATURES,
    PLAYER_FEATURES,
    POSITIONS,
    RESULTS,
    TEAM_FEATURES,
)
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAME_NUMBER = 3
OWN_FORMULAS = {
    "elo_difference",
    "rating_difference",
    "rating_variance",
    "roster_difference",
    "expected_pace",
    "expected_opponent_pace",
    "expected_length",
    "lineup_kills_share",
    "expected_team_kills",
    "expected_kills_by_share",
    "expected_assists_by_share",
    *EXPECTATIONS,
    "position",
    "game_number",
}


def markers(names: tuple[str, ...], first: float) -> dict[str, float]:
    """A value for each name that no other name has, exact in 32 bits."""
    return {name: first + at for at, name in enumerate(names)}


PLAYER = markers(PLAYER_FEATURES, 1000)
TEAM = markers(TEAM_FEATURES, 2000)
OPPONENT = markers(TEAM_FEATURES, 3000)
CONTEXT = markers(CONTEXT_FEATURES, 4000)


def row(position: int) -> dict[str, float]:
    """The model's row of the markers, by name."""
    player, team, opponent, context = (np.array([[*one.values()]], float) for one in (PLAYER, TEAM, OPPONENT, CONTEXT))
    made = assemble(player, team, opponent, context, np.array([position]), np.array([GAME_NUMBER]))
    return dict(zip(MODEL_FEATURES, made[0].tolist(), strict=True))


def meant(name: str, position: str) -> float:
    """The marker that a column's name asks for."""
    if name.startswith("role_"):
        return CONTEXT[f"league_{position}_{name.removeprefix('role_')}"]
    if name.startswith("player_"):
        return PLAYER[name.removeprefix("player_")]
    if name.startswith(("opponent_kills_allowed", "opponent_assists_allowed", "opponent_role_")):
        return OPPONENT[f"{position}_{name.removeprefix('opponent_').removeprefix('role_')}"]
    if name.startswith("opponent_"):
        return OPPONENT[name.removeprefix("opponent_")]
    if name.startswith("team_"):
        return TEAM[name.removeprefix("team_")]
    return CONTEXT[name] if name in CONTEXT else CONTEXT[f"{name}_hl30"]


@pytest.mark.parametrize("position", range(len(POSITIONS)))
def test_each_column_is_what_its_name_says(position: int) -> None:
    """For every role, each copied column holds the value of the snapshot column that it is named for."""
    made = row(position)
    wrong = {
        name: (value, meant(name, POSITIONS[position]))
        for name, value in made.items()
        if name not in OWN_FORMULAS and value != meant(name, POSITIONS[position])
    }
    assert not wrong


@pytest.mark.parametrize("position", range(len(POSITIONS)))
def test_the_formulas(position: int) -> None:
    """Team kills are expected from own kills, the opponent's deaths and the league; the player gets his shares."""
    made = row(position)
    kills = TEAM["team_kills_hl30"] * OPPONENT["team_deaths_hl30"] / CONTEXT["league_team_kills_hl30"]
    assert made["expected_team_kills"] == np.float32(kills)
    assert made["expected_kills_by_share"] == np.float32(PLAYER["kill_share_hl40"] * kills)
    assert made["expected_assists_by_share"] == np.float32(PLAYER["assist_share_hl40"] * kills)
    assert made["elo_difference"] == TEAM["elo"] - OPPONENT["elo"]
    assert (made["position"], made["game_number"]) == (position, GAME_NUMBER)


@pytest.mark.parametrize("position", range(len(POSITIONS)))
def test_what_the_meeting_promises(position: int) -> None:
    """Ratings are compared and their variances added; attack meets defence; both teams stretch the league's game."""
    made = row(position)
    assert made["rating_difference"] == TEAM["rating"] - OPPONENT["rating"]
    assert made["rating_variance"] == TEAM["rating_variance"] + OPPONENT["rating_variance"]
    assert made["roster_difference"] == TEAM["roster_strength"] - OPPONENT["roster_strength"]
    assert made["expected_pace"] == np.float32(TEAM["attack"] * OPPONENT["defence"])
    assert made["expected_opponent_pace"] == np.float32(OPPONENT["attack"] * TEAM["defence"])
    length = CONTEXT["league_game_minutes"] * TEAM["length"] * OPPONENT["length"]
    assert made["expected_length"] == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize("position", range(len(POSITIONS)))
@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("stat", ["kills", "assists"])
def test_an_expectation_by_hand(position: int, result: str, stat: str) -> None:
    """Kills of such a team at this pace, times the role's share in such a result, times the player's own factor."""
    share = CONTEXT[f"{POSITIONS[position]}_{stat}_share_when_{result}"]
    pace = TEAM["attack"] * OPPONENT["defence"]
    expected = CONTEXT[f"league_kills_when_{result}"] * pace * share * PLAYER[f"{stat}_factor"]
    assert row(position)[f"expected_{stat}_when_{result}"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("position", range(len(POSITIONS)))
def test_the_share_in_a_line_up_by_hand(position: int) -> None:
    """The player competes with the four others of his team's last line-up; who held his own role counts for nothing."""
    shares = [CONTEXT[f"{one}_kills_share_when_won"] * TEAM[f"{one}_kills_factor"] for one in POSITIONS]
    shares[position] = CONTEXT[f"{POSITIONS[position]}_kills_share_when_won"] * PLAYER["kills_factor"]
    assert row(position)["lineup_kills_share"] == pytest.approx(shares[position] / sum(shares), rel=1e-6)


def test_the_shares_of_a_line_up_add_up_to_one() -> None:
    """If the five of a line-up are asked for one by one, all kills of their team are given away."""
    n = len(POSITIONS)
    rng = np.random.default_rng(4)
    player, team, context = (
        rng.lognormal(size=len(names)) for names in (PLAYER_FEATURES, TEAM_FEATURES, CONTEXT_FEATURES)
    )
    players = np.tile(player, (n, 1))
    at = PLAYER_FEATURES.index("kills_factor")
    players[:, at] = [team[TEAM_FEATURES.index(f"{one}_kills_factor")] for one in POSITIONS]
    teams, contexts = np.tile(team, (n, 1)), np.tile(context, (n, 1))
    made = assemble(players, teams, teams, contexts, np.arange(n), np.ones(n, dtype=np.int64))
    assert made[:, MODEL_FEATURES.index("lineup_kills_share")].sum() == pytest.approx(1.0, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_one_row_has_the_bits_it_has_among_many(seed: int, rows: int) -> None:
    """Training, batch and single answers see the same features, whatever the number and the layout of the rows."""
    rng = np.random.default_rng(seed)

    def snapshots(names: tuple[str, ...]) -> NDArray[np.float64]:
        values = rng.lognormal(1.0, 2.0, (rows, len(names)))
        return np.where(rng.random(values.shape) < 0.05, np.nan, values)

    player, team, opponent, context = map(snapshots, (PLAYER_FEATURES, TEAM_FEATURES, TEAM_FEATURES, CONTEXT_FEATURES))
    position = rng.integers(0, len(POSITIONS), rows)
    number = rng.integers(1, 6, rows)
    together = assemble(player, team, opponent, context, position, number)
    turned = [np.asfortranarray(one) for one in (player, team, opponent, context)]
    assert assemble(turned[0], turned[1], turned[2], turned[3], position, number).tobytes() == together.tobytes()
    for at in range(rows):
        one = slice(at, at + 1)
        alone = assemble(player[one], team[one], opponent[one], context[one], position[one], number[one])
        assert alone.tobytes() == together[at].tobytes()


def test_what_is_no_role_or_does_not_fit_is_refused() -> None:
    """Machine code reads what it is given, so that it is given nothing else."""
    player, team, context = (np.ones((1, len(names))) for names in (PLAYER_FEATURES, TEAM_FEATURES, CONTEXT_FEATURES))
    one = np.ones(1, dtype=np.int64)
    for role in (-1, len(POSITIONS)):
        with pytest.raises(InvalidError) as caught:
            assemble(player, team, team, context, np.array([role]), one)
        assert caught.value.field == "position"
    with pytest.raises(InvalidError):
        assemble(player[:, 1:], team, team, context, one, one)
    with pytest.raises(InvalidError):
        assemble(player, team, team, context, np.ones(2, dtype=np.int64), one)


def test_no_rows_are_a_table_without_rows() -> None:
    """An empty batch keeps its columns."""
    player, team, context = (np.empty((0, len(names))) for names in (PLAYER_FEATURES, TEAM_FEATURES, CONTEXT_FEATURES))
    none = np.array([], dtype=np.int64)
    made = assemble(player, team, team, context, none, none)
    assert made.shape == (0, len(MODEL_FEATURES))
    assert made.dtype == np.float32


def test_the_leagues_average_team_has_the_shape_of_a_team() -> None:
    """It stands first in the context, column for column under a team's names."""
    assert tuple(name.removeprefix("league_") for name in CONTEXT_FEATURES[LEAGUE_AVERAGE_TEAM]) == TEAM_FEATURES


@pytest.mark.parametrize("names", [PLAYER_FEATURES, TEAM_FEATURES, CONTEXT_FEATURES, MODEL_FEATURES])
def test_names_are_unique(names: tuple[str, ...]) -> None:
    """No column hides another."""
    assert len(set(names)) == len(names)


def test_the_version_is_fixed() -> None:
    """A change of the model's columns changes the version, and must be meant."""
    assert FEATURE_VERSION.startswith("f2-")
    assert len(FEATURE_VERSION) == len("f2-") + 8
