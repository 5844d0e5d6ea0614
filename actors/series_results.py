"""Who wins which map of a series, and so which maps are played at all.

The maps of a series share what the ratings do not know: a team that surprised on map 1 is likelier to win map 2. So the
log-odds of a series have a normal spread, and maps are independent only given it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stores.domain.props import FORMATS
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES
from stores.kernels import kernel, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stores.domain.props import MapRange

SURE_MAPS = 2  # both are played in every series but a best of one
_RATING, _ROSTER = (MODEL_FEATURES.index(name) for name in ("rating_difference", "roster_difference"))
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)  # of the standard normal distribution
WEIGHTS = WEIGHTS / WEIGHTS.sum()

Results = tuple[bool, ...]  # of the maps of a range that are played, in order: whether the asked side won


@dataclass(frozen=True, slots=True, eq=False)
class Courses:
    """All that can happen in a range of maps: ``won``, of shape [courses, maps], of the first ``played``."""

    results: tuple[Results, ...]
    played: NDArray[np.int64]
    won: NDArray[np.bool_]

    @classmethod
    def of(cls, results: tuple[Results, ...], maps: int) -> Courses:
        """The same as arrays; a map that is not played is not won."""
        played = np.array([len(course) for course in results])
        won = np.zeros((len(results), maps), dtype=np.bool_)
        for at, course in enumerate(results):
            won[at, : len(course)] = course
        return cls(results, played, won)


@dataclass(frozen=True, slots=True)
class SeriesParameters:
    """The two weights turn rating differences into log-odds of a map; ``spread`` is the standard deviation of what the
    maps of a series share beyond them; ``formats`` are the shares of FORMATS among series.
    """

    rating_weight: float
    roster_weight: float
    spread: float
    formats: tuple[float, ...]

    def win_probability(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The chance to win a map, of shape [n], for MODEL_FEATURES of shape [n, features]."""
        if features.shape[1] != len(MODEL_FEATURES):
            raise InvalidError(f"rows have the {len(MODEL_FEATURES)} MODEL_FEATURES, not {features.shape[1]}")
        win = np.empty(len(features))
        fill_win_chances()(plain(features), self.rating_weight, self.roster_weight, win)
        return win

    def result_chances(
        self, win: NDArray[np.float64], map_range: MapRange, best_of: int | None = None
    ) -> tuple[Courses, NDArray[np.float64]]:
        """The courses of the range and the chance of each, of shape [n, courses], given that its first map is played.

        ``win`` has the shape [n, maps of the range]. Raises InvalidError if ``best_of`` has not so many maps.
        """
        courses, ways = ways_of(self.formats, map_range, best_of)
        chances = np.empty((len(win), len(courses.results)))
        if win.shape[1] != courses.won.shape[1]:
            raise InvalidError(f"{map_range} needs a chance to win each of its maps, not {win.shape[1]}", "win")
        if is_sure(map_range):
            chances[:, 0] = win[:, 0]
            np.subtract(1.0, win[:, 0], out=chances[:, 1])
        else:
            before = map_range.first - 1
            fill_course_chances()(
                plain(win), self.spread, NODES, WEIGHTS, ways.course, before, ways.won, ways.share, chances
            )
        return courses, chances


def is_sure(map_range: MapRange) -> bool:
    """Whether it is one map that is played whatever happens; then it is won as it is rated."""
    return map_range.first == map_range.last <= SURE_MAPS


class Ways(NamedTuple):
    """The ways to a course: each format, and all results before the range that lead into it.

    ``won`` are the results from the first map of the series on, of shape [ways, maps], -1 where there is none;
    ``course`` is which course it is, ``share`` that of the format.
    """

    course: NDArray[np.int64]
    won: NDArray[np.int64]
    share: NDArray[np.float64]


@lru_cache(maxsize=256)
def ways_of(formats: tuple[float, ...], map_range: MapRange, best_of: int | None) -> tuple[Courses, Ways]:
    """The courses of a range and the ways to them; raises as SeriesParameters.result_chances."""
    found = [
        (course, share)
        for format_, share in _possible_formats(formats, map_range, best_of).items()
        for course in _courses(format_, map_range)
    ]
    first = map_range.first - 1
    results = tuple(dict.fromkeys(course[first:] for course, _ in found))
    won = np.full((len(found), map_range.last), -1)
    for at, (course, _) in enumerate(found):
        won[at, : len(course)] = course
    ways = Ways(
        course=np.array([results.index(course[first:]) for course, _ in found]),
        won=won,
        share=np.array([share for _, share in found]),
    )
    return Courses.of(results, len(map_range.maps)), ways


def _possible_formats(formats: tuple[float, ...], map_range: MapRange, best_of: int | None) -> Mapping[int, float]:
    least = max(map_range.first, min(map_range.last, SURE_MAPS))
    if best_of is not None:
        if best_of < least:
            raise InvalidError(f"a best of {best_of} has no map {least}", "best_of")
        return {best_of: 1.0}
    return {one: share for one, share in zip(FORMATS, formats, strict=True) if one >= least}


def _courses(best_of: int, map_range: MapRange) -> tuple[Results, ...]:
    """Every course of a series from its first map to the range's last that reaches the range."""
    found: dict[Results, None] = {}
    for course in itertools.product((True, False), repeat=min(map_range.last, best_of)):
        played = next((at for at in range(1, len(course) + 1) if _is_over(course[:at], best_of)), len(course))
        if played >= map_range.first:
            found[course[:played]] = None
    return tuple(found)


def _is_over(results: Results, best_of: int) -> bool:
    wins = sum(results)
    return max(wins, len(results) - wins) > best_of // 2


@kernel("void(float32[:, ::1], float64, float64, float64[::1])")
def fill_win_chances(
    features: NDArray[np.float32], rating_weight: float, roster_weight: float, win: NDArray[np.float64]
) -> None:
    for row in range(len(win)):
        rating, roster = np.float64(features[row, _RATING]), np.float64(features[row, _ROSTER])
        win[row] = 1.0 / (1.0 + math.exp(-(rating_weight * rating + roster_weight * roster)))


@kernel(
    "void(float64[:, ::1], float64, float64[::1], float64[::1], int64[::1], int64, int64[:, ::1], float64[::1],"
    "float64[:, ::1])"
)
def fill_course_chances(  # noqa: PLR0913, PLR0917 — plain arrays and numbers cross into machine code in no time
    win: NDArray[np.float64],
    spread: float,
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    course: NDArray[np.int64],
    before: int,
    won: NDArray[np.int64],
    share: NDArray[np.float64],
    chances: NDArray[np.float64],
) -> None:
    """Gauss-Hermite quadrature over what the maps share; a map before the range is won as often as its first."""
    scale = math.sqrt(1.0 + math.pi * spread * spread / 8.0)
    given = np.empty(win.shape[1])
    for row in range(len(win)):
        for at in range(chances.shape[1]):
            chances[row, at] = 0.0
        total = 0.0
        for node in range(len(nodes)):
            for at in range(len(given)):
                log_odds = math.log(win[row, at] / (1.0 - win[row, at])) * scale
                given[at] = 1.0 / (1.0 + math.exp(-(log_odds + nodes[node] * spread)))
            for way in range(len(course)):
                chance = weights[node] * share[way]
                for at in range(won.shape[1]):
                    if won[way, at] >= 0:
                        wins = given[max(at - before, 0)]
                        chance *= wins if won[way, at] else 1.0 - wins
                chances[row, course[way]] += chance
                total += chance
        for at in range(chances.shape[1]):
            chances[row, at] /= total
