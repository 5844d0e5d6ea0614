"""What a model has to beat: the mean of the role, and the player's own rolling mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.features.schema import POSITIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from training.dataset import TrainingSet

WINDOW_GAMES = 20
LEAST_GAMES = 3  # fewer own games than this and the mean of the role stands in
LEAST_MEAN = 0.2  # a support without a kill in 20 games still gets one sometimes


def position_means(rows: TrainingSet, prop: PropType, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of each row's role over the known rows, of shape [n]."""
    counts = rows.counts[prop]
    means = [
        counts[known & (rows.position == index)].mean()
        if (known & (rows.position == index)).any()
        else counts[known].mean()
        for index in range(len(POSITIONS))
    ]
    return np.asarray(means, dtype=np.float64)[rows.position]


def rolling_means(rows: TrainingSet, prop: PropType, fallback: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the player's last games before the series began, of shape [n]; ``fallback`` where there are few."""
    means = fallback.copy()
    counts = rows.counts[prop]
    games_before = known_games(rows)
    for of_player in _rows_by_player(rows):
        totals = np.concatenate([[0], np.cumsum(counts[of_player])])
        before = games_before[of_player]
        since = np.maximum(before - WINDOW_GAMES, 0)
        games = before - since
        enough = games >= LEAST_GAMES
        own = (totals[before] - totals[since]) / np.maximum(games, 1)
        means[of_player[enough]] = np.maximum(own[enough], LEAST_MEAN)
    return means


def known_games(rows: TrainingSet) -> NDArray[np.int64]:
    """How many games of the row's player lie before the start of its series, of shape [n]."""
    games = np.zeros(len(rows), dtype=np.int64)
    for of_player in _rows_by_player(rows):
        games[of_player] = np.searchsorted(rows.started_at[of_player], rows.series_started_at[of_player], side="left")
    return games


def _rows_by_player(rows: TrainingSet) -> list[NDArray[np.int64]]:
    _, player = np.unique(rows.player_id.astype(str), return_inverse=True)
    order = np.argsort(player, kind="stable")
    borders = np.flatnonzero(np.diff(player[order])) + 1
    return np.split(order, borders)
