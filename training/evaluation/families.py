"""The feature families that `riftline evaluate --ablate` leaves out, and what is said where one is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from stores.features.schema import (
    ALLOWED_FEATURES,
    EXPECTATIONS,
    LEAGUE_STATE,
    MODEL_FEATURES,
    PLAYER_HALF_LIVES,
    PLAYER_POOL,
    PLAYER_STATE,
    PLAYER_STATS,
    PLAYER_WINDOW,
    POSITIONS,
    RESULT_STATS,
    ROLE_STATS,
    SEEN_OF_TEAM,
    STATE_OF_TEAM,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.dataset import TrainingSet

_RATINGS = ("strength", "strength_variance", "elo")
_EVEN = ("rating_difference", "roster_difference")  # what the chance to win is made of; 0 is an even meeting
_STRUCTURAL = (*(f"player_{name}" for name in RESULT_STATS), *EXPECTATIONS)  # what the members without trees say

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "own rolling means": (
        *(f"player_{stat}_hl{half_life}" for half_life in PLAYER_HALF_LIVES for stat in PLAYER_STATS),
        "expected_kills_by_share",
        "expected_assists_by_share",
    ),
    "own 30 days": tuple(f"player_{name}" for name in PLAYER_WINDOW),
    "own means by result": tuple(f"player_{name}" for name in RESULT_STATS),
    "hierarchy": (
        *(f"player_{name}" for name in PLAYER_STATE if name not in _RATINGS),
        *(f"{side}_{name}" for side in ("team", "opponent") for name in STATE_OF_TEAM if name not in _RATINGS),
        "opponent_role_kills_factor",
        "opponent_role_deaths_factor",
        *(f"league_{name}" for name in LEAGUE_STATE),
        "expected_pace",
        "expected_opponent_pace",
        "expected_length",
        "lineup_kills_share",
        *EXPECTATIONS,
    ),
    "ratings": (
        "player_strength",
        "player_strength_variance",
        "team_elo",
        "opponent_elo",
        "league_elo",
        "elo_difference",
        "rating_variance",
        *_EVEN,
    ),
    "team means": (*(f"team_{name}" for name in SEEN_OF_TEAM), "expected_team_kills"),
    "opponent means": tuple(f"opponent_{name}" for name in (*SEEN_OF_TEAM, *ALLOWED_FEATURES)),
    "league and patch": (
        "league_team_kills",
        "league_minutes",
        *(f"role_{stat}" for stat in ROLE_STATS),
        "patch_team_kills",
        "patch_minutes",
    ),
    "champion pool": tuple(f"player_{name}" for name in PLAYER_POOL),
    "role and game number": ("position", "game_number"),
}


def left_out(rows: TrainingSet, family: str, known: NDArray[np.bool_]) -> TrainingSet:
    """The rows with a family's columns constant; ``known`` marks what may be learnt from, of shape [rows].

    Trees see NaN. Where a member without trees reads a column, the mean of its role over the known rows stands in, for
    trees too; where the chance to win does, an even meeting.
    """
    features = rows.features.copy()
    for name in FAMILIES[family]:
        at = MODEL_FEATURES.index(name)
        if name in _STRUCTURAL:
            features[:, at] = _role_means(rows.features[:, at], rows.position, known)
        else:
            features[:, at] = 0.0 if name in _EVEN else np.nan
    return replace(rows, features=features)


def _role_means(
    values: NDArray[np.float32], position: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The mean over the known rows of each row's role, of shape [rows]."""
    games = np.bincount(position[known], minlength=len(POSITIONS))
    sums = np.bincount(position[known], weights=values[known], minlength=len(POSITIONS))
    return np.asarray((sums / np.maximum(games, 1))[position])
