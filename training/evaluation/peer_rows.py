"""The rows that peers learn from: those of the model itself, with the same newest series to stop and choose on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.fitting import VALIDATION_SHARE, WARM_UP_SHARE
from training.subsets import split_by_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.dataset import TrainingSet


@dataclass(frozen=True, slots=True, eq=False)
class PeerRows:
    """The older rows, the newest ones to choose on, and the rows that are asked, at ``asked_at`` of the whole set.

    ``asked_at`` has the shape [rows of the whole set]: the index among the asked, meaningless for others.
    """

    fit: TrainingSet
    validation: TrainingSet
    asked: TrainingSet
    asked_at: NDArray[np.int64]


def peer_rows(rows: TrainingSet, known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> PeerRows:
    """Split as `training.fitting` splits; ``known`` and ``asked`` mark rows, of shape [rows]."""
    trained = rows.where(known)
    begin = np.sort(trained.started_at)[int(len(trained) * WARM_UP_SHARE)]
    fit, validation = split_by_time(trained.where(trained.started_at >= begin), VALIDATION_SHARE)
    return PeerRows(fit, validation, rows.where(asked), np.cumsum(asked) - 1)
