"""Every method as one function: a question in, the distributions of its rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stores.domain import negative_binomial
from stores.domain.props import MapRange
from stores.features.schema import POSITIONS
from training.prop_fit import best_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from stores.domain.props import PropType
    from training.dataset import TrainingSet
    from training.evaluation.questions import Question

    Method: TypeAlias = Callable[[Question], NDArray[np.float64]]  # of shape [n, question.counts]

POSITION_MEAN = "position mean"
ROLLING_MEAN = "rolling mean"
RIFTLINE = "riftline"
RIFTLINE_DRAFTED = "riftline, champions known"


def model_pmf(
    ensemble: PropEnsemble, rows: TrainingSet, question: Question, *, drafted: bool = False
) -> NDArray[np.float64]:
    """What the fitted model says before the draft, or with the champions known: where the report touches the model."""
    prop = question.prop
    at = np.stack(question.parts, axis=1).ravel()
    means = ensemble.map_means(prop, rows.features[at], rows.draft[at] if drafted else None)
    map_range = MapRange(1, len(question.parts))
    return ensemble.calibrated_pmf(prop, means, question.position[:, None], map_range)


def baseline(rows: TrainingSet, prop: PropType, known: NDArray[np.bool_], means: NDArray[np.float64]) -> Method:
    """Negative binomials around given means of shape [rows], maps taken as independent.

    Each has its own best dispersion per role, so that it is beaten for its means and not for its spread.
    """
    counts, position = rows.counts[prop], rows.position
    sizes = np.array(
        [best_size(counts[known & (position == at)], means[known & (position == at)]) for at in range(len(POSITIONS))]
    )

    def pmf(question: Question) -> NDArray[np.float64]:
        size = sizes[question.position] * len(question.parts)
        return negative_binomial.pmf(question.per_map(means).sum(axis=1), size, question.counts)

    return pmf
