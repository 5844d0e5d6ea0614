"""The row that the model sees, joined from the snapshots of player, team, opponent and league.

Only +, -, *, / and comparisons: each is rounded the same for one row and for a million, so that training, batch
and single answers agree to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.features.schema import (
    CONTEXT_FEATURES,
    MODEL_FEATURES,
    PLAYER_FEATURES,
    POSITIONS,
    ROLE_STATS,
    SEEN_OF_TEAM,
    TEAM_FEATURES,
    TEAM_HALF_LIVES,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAYER = {name: index for index, name in enumerate(PLAYER_FEATURES)}
_TEAM = {name: index for index, name in enumerate(TEAM_FEATURES)}
_CONTEXT = {name: index for index, name in enumerate(CONTEXT_FEATURES)}
_SEEN = np.array([_TEAM[name] for name in SEEN_OF_TEAM])
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
    league_kills = context[:, _CONTEXT["league_team_kills_hl30"]]
    long = TEAM_HALF_LIVES[-1]
    expected_team_kills = (
        team[:, _TEAM[f"team_kills_hl{long}"]] * opponent[:, _TEAM[f"team_deaths_hl{long}"]] / league_kills
    )
    columns = [
        player,
        team[:, _SEEN],
        team[:, [_TEAM["elo"]]],
        opponent[:, _SEEN],
        opponent[:, [_TEAM["elo"]]],
        opponent[rows[:, None], _ALLOWED[position]],
        context[:, [_CONTEXT["league_team_kills_hl30"], _CONTEXT["league_minutes_hl30"], _CONTEXT["league_elo"]]],
        context[rows[:, None], _ROLE[position]],
        context[:, [_CONTEXT["patch_team_kills"], _CONTEXT["patch_minutes"]]],
        (team[:, _TEAM["elo"]] - opponent[:, _TEAM["elo"]])[:, None],
        expected_team_kills[:, None],
        (player[:, _PLAYER["kill_share_hl40"]] * expected_team_kills)[:, None],
        (player[:, _PLAYER["assist_share_hl40"]] * expected_team_kills)[:, None],
        position[:, None],
        game_number[:, None],
    ]
    matrix = np.concatenate(columns, axis=1, dtype=np.float64).astype(np.float32)
    assert matrix.shape[1] == len(MODEL_FEATURES)  # noqa: S101 — the columns above are MODEL_FEATURES, one by one
    return matrix
