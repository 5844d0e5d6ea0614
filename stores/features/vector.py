"""The row that the model sees, joined from the snapshots of player, team, opponent and league.

Only +, -, *, / and comparisons: each is rounded the same for one row and for a million, so that training, batch
and single answers agree to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.features.schema import (
    CONTEXT_FEATURES,
    LEAGUE_STATE,
    MODEL_FEATURES,
    PLAYER_FEATURES,
    POSITIONS,
    RESULTS,
    ROLE_STATS,
    SEEN_OF_TEAM,
    SHARED_STATS,
    STATE_OF_TEAM,
    TEAM_FEATURES,
    TEAM_HALF_LIVES,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAYER = {name: index for index, name in enumerate(PLAYER_FEATURES)}
_TEAM = {name: index for index, name in enumerate(TEAM_FEATURES)}
_CONTEXT = {name: index for index, name in enumerate(CONTEXT_FEATURES)}
_SEEN = np.array([_TEAM[name] for name in (*SEEN_OF_TEAM, *STATE_OF_TEAM)])
# [position, allowed feature]: which of the opponent's columns tell what it allows to a role
_ALLOWED = np.array(
    [
        [
            _TEAM[f"{position}_{prop}_allowed_hl{half_life}"]
            for half_life in TEAM_HALF_LIVES
            for prop in ("kills", "assists")
        ]
        for position in POSITIONS
    ]
)
_ROLE = np.array([[_CONTEXT[f"league_{position}_{stat}"] for stat in ROLE_STATS] for position in POSITIONS])
_FACING = np.array([[_TEAM[f"{position}_{stat}_factor"] for stat in ("kills", "deaths")] for position in POSITIONS])
_LINEUP_KILLS = [_TEAM[f"{position}_kills_factor"] for position in POSITIONS]
_LEAGUE_STATE = np.array([_CONTEXT[f"league_{name}"] for name in LEAGUE_STATE])
_MEETING = ("elo", "rating", "rating_variance", "roster_strength", "attack", "defence", "length")
# [result, position] of each stat: which of the context's columns tells a role's share
_SHARE = {
    stat: np.array(
        [[_CONTEXT[f"{position}_{stat}_share_when_{result}"] for position in POSITIONS] for result in RESULTS]
    )
    for stat in SHARED_STATS
}
LEAGUE_AVERAGE_TEAM = slice(0, len(TEAM_FEATURES))  # of CONTEXT_FEATURES


def assemble(  # noqa: PLR0913, PLR0917 — four snapshots and two indices make a row
    player: NDArray[np.float64],
    team: NDArray[np.float64],
    opponent: NDArray[np.float64],
    context: NDArray[np.float64],
    position: NDArray[np.int64],
    game_number: NDArray[np.int64],
) -> NDArray[np.float32]:
    """MODEL_FEATURES of shape [n, features] as float32, which is what the trees split on.

    The snapshots have the shape [n, their features]; ``position`` indexes POSITIONS; both indices have the shape [n].
    """
    rows = np.arange(len(player))
    columns = [
        player,
        team[:, _SEEN],
        opponent[:, _SEEN],
        opponent[rows[:, None], _ALLOWED[position]],
        opponent[rows[:, None], _FACING[position]],
        context[:, [_CONTEXT["league_team_kills_hl30"], _CONTEXT["league_minutes_hl30"], _CONTEXT["league_elo"]]],
        context[rows[:, None], _ROLE[position]],
        context[:, [_CONTEXT["patch_team_kills"], _CONTEXT["patch_minutes"]]],
        context[:, _LEAGUE_STATE],
        _match(team, opponent, context),
        _lineup_share(player, team, context, position)[:, None],
        _expected(player, team, opponent, context, position),
        position[:, None],
        game_number[:, None],
    ]
    matrix = np.concatenate(columns, axis=1, dtype=np.float64).astype(np.float32)
    assert matrix.shape[1] == len(MODEL_FEATURES)  # noqa: S101 — the columns above are MODEL_FEATURES, one by one
    return matrix


def _match(
    team: NDArray[np.float64], opponent: NDArray[np.float64], context: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From elo_difference to expected_length, of shape [n, 7]: what the meeting of two teams promises."""
    own = {name: team[:, _TEAM[name]] for name in _MEETING}
    other = {name: opponent[:, _TEAM[name]] for name in _MEETING}
    return np.column_stack(
        [
            own["elo"] - other["elo"],
            own["rating"] - other["rating"],
            own["rating_variance"] + other["rating_variance"],
            own["roster_strength"] - other["roster_strength"],
            own["attack"] * other["defence"],
            other["attack"] * own["defence"],
            context[:, _CONTEXT["league_game_minutes"]] * own["length"] * other["length"],
        ]
    )


def _lineup_share(
    player: NDArray[np.float64],
    team: NDArray[np.float64],
    context: NDArray[np.float64],
    position: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The player's part in his team's kills once all five compete for them, of shape [n]."""
    won = len(RESULTS) - 1
    total = np.zeros(len(player))
    own = np.zeros(len(player))
    for at in range(len(POSITIONS)):  # one after the other: a sum over an axis may round otherwise for other shapes
        here = position == at
        factor = np.where(here, player[:, _PLAYER["kills_factor"]], team[:, _LINEUP_KILLS[at]])
        share = context[:, _SHARE["kills"][won, at]] * factor
        total = total + share
        own = np.where(here, share, own)
    return own / total


def _expected(
    player: NDArray[np.float64],
    team: NDArray[np.float64],
    opponent: NDArray[np.float64],
    context: NDArray[np.float64],
    position: NDArray[np.int64],
) -> NDArray[np.float64]:
    """From expected_team_kills to EXPECTATIONS, of shape [n, 7]: kills of the team, and the player's part in them."""
    rows = np.arange(len(player))
    long = TEAM_HALF_LIVES[-1]
    league_kills = context[:, _CONTEXT["league_team_kills_hl30"]]
    team_kills = team[:, _TEAM[f"team_kills_hl{long}"]] * opponent[:, _TEAM[f"team_deaths_hl{long}"]] / league_kills
    pace = team[:, _TEAM["attack"]] * opponent[:, _TEAM["defence"]]
    columns = [
        team_kills,
        player[:, _PLAYER["kill_share_hl40"]] * team_kills,
        player[:, _PLAYER["assist_share_hl40"]] * team_kills,
    ]
    for stat in ("kills", "assists"):
        factor = player[:, _PLAYER[f"{stat}_factor"]]
        for at, result in enumerate(RESULTS):
            share = context[rows, _SHARE[stat][at, position]]
            columns.append(context[:, _CONTEXT[f"league_kills_when_{result}"]] * pace * share * factor)
    return np.column_stack(columns)
