"""Who wins which map of a series, and so which maps are played at all.

The maps of a series share what the ratings do not know: a team that surprised on map 1 is likelier to win map 2. So the
log-odds of a series have a normal spread, and maps are independent only given it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import FORMATS
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stores.domain.props import MapRange

SURE_MAPS = 2  # both are played in every series but a best of one
_RATING, _ROSTER = (MODEL_FEATURES.index(name) for name in ("rating_difference", "roster_difference"))
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)  # of the standard normal distribution
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()

Results = tuple[bool, ...]  # of the maps of a range that are played, in order: whether the asked side won


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
        differences = features[:, [_RATING, _ROSTER]].astype(np.float64)
        log_odds = self.rating_weight * differences[:, 0] + self.roster_weight * differences[:, 1]
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))

    def result_chances(
        self, win: NDArray[np.float64], map_range: MapRange, best_of: int | None = None
    ) -> dict[Results, NDArray[np.float64]]:
        """The chance of each course of the range, of shape [n], given that its first map is played.

        ``win`` has the shape [n, maps of the range]. Raises InvalidError if ``best_of`` has not so many maps.
        """
        shares = self._possible_formats(map_range, best_of)
        if map_range.first == map_range.last <= SURE_MAPS:
            return {(True,): win[:, 0], (False,): 1.0 - win[:, 0]}
        log_odds = np.log(win / (1.0 - win)) * np.sqrt(1.0 + np.pi * self.spread**2 / 8.0)
        chances: dict[Results, NDArray[np.float64]] = {}
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            given = 1.0 / (1.0 + np.exp(-(log_odds + node * self.spread)))
            for format_, share in shares.items():
                for before, within in _courses(format_, map_range.first, map_range.last):
                    chance = np.full(len(win), weight * share)
                    for won in before:
                        chance *= given[:, 0] if won else 1.0 - given[:, 0]
                    for at, won in enumerate(within):
                        chance *= given[:, at] if won else 1.0 - given[:, at]
                    chances[within] = chances[within] + chance if within in chances else chance
        total = sum(chances.values())
        return {within: chance / total for within, chance in chances.items()}

    def _possible_formats(self, map_range: MapRange, best_of: int | None) -> Mapping[int, float]:
        least = max(map_range.first, min(map_range.last, SURE_MAPS))
        if best_of is not None:
            if best_of < least:
                raise InvalidError(f"a best of {best_of} has no map {least}", "best_of")
            return {best_of: 1.0}
        return {one: share for one, share in zip(FORMATS, self.formats, strict=True) if one >= least}


@lru_cache(maxsize=64)
def _courses(best_of: int, first: int, last: int) -> tuple[tuple[Results, Results], ...]:
    """Every course of a series up to ``last`` that reaches ``first``: the results before the range and within it."""
    found: dict[Results, None] = {}
    for course in itertools.product((True, False), repeat=min(last, best_of)):
        played = next((at for at in range(1, len(course) + 1) if _is_over(course[:at], best_of)), len(course))
        if played >= first:
            found[course[:played]] = None
    return tuple((course[: first - 1], course[first - 1 :]) for course in found)


def _is_over(results: Results, best_of: int) -> bool:
    wins = sum(results)
    return max(wins, len(results) - wins) > best_of // 2
