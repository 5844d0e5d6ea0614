"""Sums of counts over maps and players, given who won which map.

Given the results, each count is negative binomial; the counts of one player on two maps, of two team mates and of two
opponents on one map are correlated. The sum is the negative binomial of the same mean and variance. A calibration bends
the cdf of the mixture over all courses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stores.errors import InvalidError
from stores.kernels import kernel, part, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.series_results import Courses

MAX_SIZE = 1e4  # nearly Poisson: a sum that varies less than that is taken for one


@dataclass(frozen=True, slots=True)
class Correlations:
    """Of counts given the results: one player on two maps, two team mates and two opponents on one map."""

    maps: float
    mates: float
    foes: float


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is summed: ``means`` of shape [n, players, maps, 2] and ``sizes`` of shape [n, players, 2] by result (lost,
    won) of the player's own team; ``same_side`` of shape [players] says who plays for the side whose results are
    spoken of.
    """

    means: NDArray[np.float64]
    sizes: NDArray[np.float64]
    same_side: NDArray[np.bool_]


def sum_pmf(
    cells: Cells, courses: Courses, chances: NDArray[np.float64], correlations: Correlations, counts: int
) -> NDArray[np.float64]:
    """Probabilities of 0 … counts - 1, of shape [n, counts]: over all courses, each with its chance of [n, courses].

    What lies above belongs to the last count. Raises InvalidError if the shapes do not fit.
    """
    n, players, maps, results = cells.means.shape
    fitting = cells.sizes.shape == (n, players, results) and cells.same_side.shape == (players,)
    if not fitting or results != 2 or chances.shape != (n, len(courses.played)) or courses.won.shape[1] > maps:
        raise InvalidError(f"sizes, sides, courses or chances are not those of means of shape {cells.means.shape}")
    pmf = np.zeros((n, counts))
    add_courses()(
        plain(cells.means),
        plain(cells.sizes),
        plain(cells.same_side),
        courses.played,
        courses.won,
        plain(chances),
        correlations.maps,
        correlations.mates,
        correlations.foes,
        pmf,
    )
    return pmf


def calibrated(pmf: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pmf, of shape [n, counts], whose cdf is where ``pmf`` has u what the table has at u.

    The table holds two or more values, at evenly spaced points from 0 to 1. Whatever they are, the result is a pmf.
    """
    if len(table) < 2:
        raise InvalidError("a calibration has values at 0 and at 1 at least", "calibration")
    bent = np.empty(pmf.shape)
    bend()(plain(pmf), table, bent)
    return bent


@kernel(
    "void(float64[:, :, :, ::1], float64[:, :, ::1], boolean[::1], int64[::1], boolean[:, ::1], float64[:, ::1],"
    "float64, float64, float64, float64[:, ::1])"
)
def add_courses(  # noqa: PLR0913, PLR0917 — plain arrays and numbers cross into machine code in no time
    means: NDArray[np.float64],
    sizes: NDArray[np.float64],
    same_side: NDArray[np.bool_],
    played: NDArray[np.int64],
    won: NDArray[np.bool_],
    chances: NDArray[np.float64],
    of_maps: float,
    of_mates: float,
    of_foes: float,
    pmf: NDArray[np.float64],
) -> None:
    """Add up the negative binomials of all courses."""
    deviations = np.empty((means.shape[1], means.shape[2]))
    for row in range(len(means)):
        for course in range(len(played)):
            mean = variance = size = 0.0
            for player in range(len(same_side)):
                for at in range(played[course]):
                    result = 1 if won[course, at] == same_side[player] else 0
                    expected, size = means[row, player, at, result], sizes[row, player, result]
                    of_cell = expected + expected * expected / size
                    deviations[player, at] = math.sqrt(of_cell)
                    mean += expected
                    variance += of_cell
            if len(same_side) * played[course] > 1:
                over_maps, within, between = _covariances(deviations, same_side, played[course])
                variance += of_maps * over_maps + of_mates * within + of_foes * between
                square = mean * mean
                size = min(square / max(variance - mean, square / MAX_SIZE), MAX_SIZE)
            _add_negative_binomial(pmf, row, chances[row, course], mean, size)


@part
def _covariances(
    deviations: NDArray[np.float64], same_side: NDArray[np.bool_], played: int
) -> tuple[float, float, float]:
    """Twice the sums of all products of two deviations: of one player's maps, of mates and of foes on one map."""
    over_maps = within = between = 0.0
    for player in range(len(same_side)):
        total = squares = 0.0
        for at in range(played):
            deviation = deviations[player, at]
            total += deviation
            squares += deviation * deviation
        over_maps += total * total - squares
    for at in range(played):
        ours = theirs = squares = 0.0
        for player in range(len(same_side)):
            deviation = deviations[player, at]
            squares += deviation * deviation
            if same_side[player]:
                ours += deviation
            else:
                theirs += deviation
        within += ours * ours + theirs * theirs - squares
        between += 2.0 * ours * theirs
    return over_maps, within, between


@part
def _add_negative_binomial(pmf: NDArray[np.float64], row: int, weight: float, mean: float, size: float) -> None:
    """Add to a row a weighted pmf, count by count from that of 0, and its tail to the last count.

    P(0) is split into two equal factors, so that the pmf of a mean of a thousand does not start from nothing.
    """
    root = math.exp(-0.5 * size * math.log1p(mean / size))
    share = mean / (size + mean)
    term, left = root, weight
    for count in range(pmf.shape[1]):
        probability = weight * root * term
        pmf[row, count] += probability
        left -= probability
        term *= (count + size) / (count + 1.0) * share
    pmf[row, pmf.shape[1] - 1] += max(left, 0.0)


@kernel("void(float64[:, ::1], float64[::1], float64[:, ::1])")
def bend(pmf: NDArray[np.float64], table: NDArray[np.float64], bent: NDArray[np.float64]) -> None:
    last = len(table) - 1
    for row in range(len(pmf)):
        cdf = before = 0.0
        for count in range(pmf.shape[1]):
            cdf += pmf[row, count]
            place = min(cdf, 1.0) * last
            knot = int(place) if place < last else last - 1  # also of NaN
            value = table[knot] + (table[knot + 1] - table[knot]) * (place - knot)
            value = 1.0 if count == pmf.shape[1] - 1 else min(max(value, 0.0), 1.0)  # the rest is the last count's
            value = max(value, before)
            bent[row, count] = value - before
            before = value
