"""Parts of a training set: older and newer series, and the maps that are scored together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.dataset import TrainingSet

ONE_MAP: Final = "one"
MAPS_1_2: Final = "1-2"


def pairs_of_maps(rows: TrainingSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices of maps 1 and 2 of the same player in the same series."""
    at: dict[tuple[object, object, int], int] = {
        key: index
        for index, key in enumerate(zip(rows.series_id, rows.player_id, rows.game_number.tolist(), strict=True))
    }
    pairs = [
        (index, at[series, player, 2])
        for (series, player, game), index in at.items()
        if game == 1 and (series, player, 2) in at
    ]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def split_by_time(rows: TrainingSet, newest_share: float) -> tuple[TrainingSet, TrainingSet]:
    """The older and the newer series; never random, and no series on both sides."""
    starts = np.sort(rows.series_started_at)
    border = starts[int(len(rows) * (1.0 - newest_share))]
    return rows.where(rows.series_started_at < border), rows.where(rows.series_started_at >= border)
