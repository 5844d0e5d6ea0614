"""Sums of counts over maps and players, given who won which map.

Given the results, each count is negative binomial; the counts of one player on two maps, of two team mates and of two
opponents on one map are correlated. The sum is the negative binomial of the same mean and variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stores.domain import negative_binomial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from actors.series_results import Results

MAX_SIZE = 1e4  # nearly Poisson: a sum that varies less than that is taken for one


@dataclass(frozen=True, slots=True)
class Correlations:
    """Of counts given the results: one player on two maps, two team mates and two opponents on one map."""

    maps: float
    mates: float
    foes: float


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is summed: ``means`` and ``sizes`` of shape [n, players, maps, 2] by result (lost, won) of the player's own
    team; ``same_side`` of shape [players] says who plays for the side whose results are spoken of.
    """

    means: NDArray[np.float64]
    sizes: NDArray[np.float64]
    same_side: NDArray[np.bool_]


def sum_pmf(
    cells: Cells, chances: Mapping[Results, NDArray[np.float64]], correlations: Correlations, counts: int
) -> NDArray[np.float64]:
    """Probabilities of 0 … counts - 1, of shape [n, counts]: over all courses, each with its chance of shape [n]."""
    moments = [_moments(cells, course, correlations) for course in chances]
    means = np.concatenate([mean for mean, _ in moments])
    sizes = np.concatenate([size for _, size in moments])
    of_courses = negative_binomial.pmf(means, sizes, counts).reshape(len(moments), -1, counts)
    pmf = np.zeros(of_courses.shape[1:])
    for of_course, chance in zip(of_courses, chances.values(), strict=True):
        pmf += chance[:, None] * of_course
    return pmf


def _moments(
    cells: Cells, course: Results, correlations: Correlations
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and size of the sum over one course, of shape [n]."""
    maps = np.arange(len(course))
    result = np.where(cells.same_side[:, None], course, np.logical_not(course)).astype(np.int64)
    players = np.arange(len(cells.same_side))
    means = cells.means[:, players[:, None], maps[None, :], result]
    variances = means + means**2 / cells.sizes[:, players[:, None], maps[None, :], result]
    mean = _sum(_sum(means, 2), 1)
    if means.shape[1] == means.shape[2] == 1:
        return mean, cells.sizes[:, 0, 0, result[0, 0]]
    variance = _sum(_sum(variances, 2), 1) + _covariance(np.sqrt(variances), cells.same_side, correlations)
    return mean, np.clip(mean**2 / np.maximum(variance - mean, mean**2 / MAX_SIZE), None, MAX_SIZE)


def _covariance(
    deviations: NDArray[np.float64], same_side: NDArray[np.bool_], correlations: Correlations
) -> NDArray[np.float64]:
    """Twice the sum of all covariances, of shape [n], from standard deviations of shape [n, players, maps]."""
    squares = deviations**2
    sides = [deviations[:, same_side], deviations[:, ~same_side]]
    over_maps = _sum(deviations, 2) ** 2 - _sum(squares, 2)
    of_side = [_sum(side, 1) for side in sides]
    within = _sum(of_side[0] ** 2 + of_side[1] ** 2 - _sum(squares, 1), 1)
    between = 2.0 * _sum(of_side[0] * of_side[1], 1)
    return correlations.maps * _sum(over_maps, 1) + correlations.mates * within + correlations.foes * between


def _sum(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The sum over an axis, one slice after the other: np.sum adds in an order that depends on all of the shape."""
    total = np.zeros(values.shape[:axis] + values.shape[axis + 1 :])
    for one in np.moveaxis(values, axis, 0):
        total += one
    return total
