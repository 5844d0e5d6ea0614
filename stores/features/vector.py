"""The row that the model sees, joined from the snapshots of player, team, opponent and league.

Only +, -, *, / and comparisons, in one fixed order: training, batch and single answers agree to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.errors import InvalidError
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
from stores.kernels import kernel, part, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PLAYER = {name: index for index, name in enumerate(PLAYER_FEATURES)}
_TEAM = {name: index for index, name in enumerate(TEAM_FEATURES)}
_CONTEXT = {name: index for index, name in enumerate(CONTEXT_FEATURES)}
LEAGUE_AVERAGE_TEAM = slice(0, len(TEAM_FEATURES))  # of CONTEXT_FEATURES


def _places(columns: dict[str, int], names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([columns[name] for name in names])


# which columns are copied, for each role, of shape [positions, copied]
_OF_PLAYER = np.array([range(len(PLAYER_FEATURES)) for _ in POSITIONS])
_OF_TEAM = np.array([_places(_TEAM, (*SEEN_OF_TEAM, *STATE_OF_TEAM)) for _ in POSITIONS])
_OF_OPPONENT = np.array(
    [
        [
            *_OF_TEAM[0],
            *_places(
                _TEAM, [f"{role}_{prop}_allowed_hl{at}" for at in TEAM_HALF_LIVES for prop in ("kills", "assists")]
            ),
            *_places(_TEAM, [f"{role}_{stat}_factor" for stat in ("kills", "deaths")]),
        ]
        for role in POSITIONS
    ]
)
_OF_CONTEXT = np.array(
    [
        [
            *_places(_CONTEXT, ("league_team_kills_hl30", "league_minutes_hl30", "league_elo")),
            *_places(_CONTEXT, [f"league_{role}_{stat}" for stat in ROLE_STATS]),
            *_places(_CONTEXT, ("patch_team_kills", "patch_minutes")),
            *_places(_CONTEXT, [f"league_{name}" for name in LEAGUE_STATE]),
        ]
        for role in POSITIONS
    ]
)
# what the formulas read
_ELO, _RATING, _RATING_VARIANCE, _ROSTER, _ATTACK, _DEFENCE, _LENGTH = _places(
    _TEAM, ("elo", "rating", "rating_variance", "roster_strength", "attack", "defence", "length")
).tolist()
_TEAM_KILLS, _TEAM_DEATHS = _places(
    _TEAM, [f"team_{one}_hl{TEAM_HALF_LIVES[-1]}" for one in ("kills", "deaths")]
).tolist()
_LINEUP = _places(_TEAM, [f"{role}_kills_factor" for role in POSITIONS])
_MINUTES, _LEAGUE_KILLS = _places(_CONTEXT, ("league_game_minutes", "league_team_kills_hl30")).tolist()
_KILLS_WHEN = _places(_CONTEXT, [f"league_kills_when_{result}" for result in RESULTS])
_KILL_SHARE, _ASSIST_SHARE = _places(_PLAYER, ("kill_share_hl40", "assist_share_hl40")).tolist()
_FACTORS = _places(_PLAYER, ("kills_factor", "assists_factor"))
# of shape [kills or assists, results, positions]
_SHARES = np.array(
    [
        [_places(_CONTEXT, [f"{role}_{stat}_share_when_{result}" for role in POSITIONS]) for result in RESULTS]
        for stat in SHARED_STATS[:2]
    ]
)
_WON = RESULTS.index("won")


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
    Raises InvalidError if they are of other shapes, or a position is none.
    """
    shapes = [player.shape, team.shape, opponent.shape, context.shape]
    widths = (len(PLAYER_FEATURES), len(TEAM_FEATURES), len(TEAM_FEATURES), len(CONTEXT_FEATURES))
    rows = np.empty((len(position), len(MODEL_FEATURES)), dtype=np.float32)
    if shapes != [(len(rows), width) for width in widths] or len(game_number) != len(rows):
        raise InvalidError(f"snapshots of {len(rows)} rows have the widths {widths}, not the shapes {shapes}")
    snapshots = plain(player), plain(team), plain(opponent), plain(context)
    if not fill_rows()(*snapshots, plain(position), plain(game_number), rows):
        raise InvalidError(f"a position is none of the {len(POSITIONS)} in POSITIONS", "position")
    return rows


@kernel(
    "boolean(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], int64[::1],"
    "float32[:, ::1])"
)
def fill_rows(  # noqa: PLR0913, PLR0917 — as assemble
    players: NDArray[np.float64],
    teams: NDArray[np.float64],
    opponents: NDArray[np.float64],
    contexts: NDArray[np.float64],
    position: NDArray[np.int64],
    game_number: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> bool:
    """Whether all positions are known; ``rows`` are filled in the order of MODEL_FEATURES.

    Single elements are read and written: views of rows would take four times as long to compile.
    """
    for at in range(len(rows)):
        role = position[at]
        if not 0 <= role < len(_LINEUP):
            return False
        end = _copied(players, at, _OF_PLAYER, role, rows, 0)
        end = _copied(teams, at, _OF_TEAM, role, rows, end)
        end = _copied(opponents, at, _OF_OPPONENT, role, rows, end)
        end = _copied(contexts, at, _OF_CONTEXT, role, rows, end)
        end = _meeting(teams, opponents, contexts, at, rows, end)
        end = _expected(players, teams, opponents, contexts, at, role, rows, end)
        rows[at, end] = role
        rows[at, end + 1] = game_number[at]
    return True


@part
def _copied(  # noqa: PLR0913, PLR0917 — from where to where
    snapshots: NDArray[np.float64],
    at: int,
    columns: NDArray[np.int64],
    role: int,
    rows: NDArray[np.float32],
    to: int,
) -> int:
    """What the snapshot itself tells; each part gives the column after its own."""
    for column in range(columns.shape[1]):
        rows[at, to + column] = snapshots[at, columns[role, column]]
    return to + int(columns.shape[1])


@part
def _meeting(  # noqa: PLR0913, PLR0917 — as assemble
    teams: NDArray[np.float64],
    opponents: NDArray[np.float64],
    contexts: NDArray[np.float64],
    at: int,
    rows: NDArray[np.float32],
    to: int,
) -> int:
    """From elo_difference to expected_length: what the meeting of two teams promises."""
    rows[at, to] = teams[at, _ELO] - opponents[at, _ELO]
    rows[at, to + 1] = teams[at, _RATING] - opponents[at, _RATING]
    rows[at, to + 2] = teams[at, _RATING_VARIANCE] + opponents[at, _RATING_VARIANCE]
    rows[at, to + 3] = teams[at, _ROSTER] - opponents[at, _ROSTER]
    rows[at, to + 4] = teams[at, _ATTACK] * opponents[at, _DEFENCE]
    rows[at, to + 5] = opponents[at, _ATTACK] * teams[at, _DEFENCE]
    rows[at, to + 6] = contexts[at, _MINUTES] * teams[at, _LENGTH] * opponents[at, _LENGTH]
    return to + 7


@part
def _expected(  # noqa: PLR0913, PLR0917 — as assemble
    players: NDArray[np.float64],
    teams: NDArray[np.float64],
    opponents: NDArray[np.float64],
    contexts: NDArray[np.float64],
    at: int,
    role: int,
    rows: NDArray[np.float32],
    to: int,
) -> int:
    """From lineup_kills_share, the player's part once all five compete, to EXPECTATIONS: the team's kills, his part."""
    total = own = 0.0
    for place in range(len(_LINEUP)):
        factor = players[at, _FACTORS[0]] if place == role else teams[at, _LINEUP[place]]
        share = contexts[at, _SHARES[0, _WON, place]] * factor
        total += share
        if place == role:
            own = share
    rows[at, to] = own / total
    team_kills = teams[at, _TEAM_KILLS] * opponents[at, _TEAM_DEATHS] / contexts[at, _LEAGUE_KILLS]
    rows[at, to + 1] = team_kills
    rows[at, to + 2] = players[at, _KILL_SHARE] * team_kills
    rows[at, to + 3] = players[at, _ASSIST_SHARE] * team_kills
    pace = teams[at, _ATTACK] * opponents[at, _DEFENCE]
    to += 4
    for stat in range(len(_FACTORS)):
        for result in range(len(_KILLS_WHEN)):
            share = contexts[at, _SHARES[stat, result, role]]
            rows[at, to] = contexts[at, _KILLS_WHEN[result]] * pace * share * players[at, _FACTORS[stat]]
            to += 1
    return to
