"""The predictive distribution of a count. One of these answers every line, the curve, the push and the interval."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray


ROUNDING = 1e-12  # the probabilities may sum to a little less than 1


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a distribution says of one line. Probabilities are of the side, the push left out, in [0, 1]."""

    side: Side
    probability: float
    push: float


@dataclass(frozen=True, eq=False)
class CountDistribution:
    """A distribution over the counts from 0 on.

    ``pmf`` is float64 of shape [n]; it is not negative and sums to 1 (the last entry holds the tail). Its sums are
    worked out once, where they are first asked for.
    """

    pmf: NDArray[np.float64]

    @cached_property
    def _sums(self) -> tuple[list[float], list[float]]:
        """The probability of each count or less, and that of the last k + 1 counts."""
        return self.pmf.cumsum().tolist(), self.pmf[::-1].cumsum().tolist()

    @property
    def mean(self) -> float:
        """The expected count."""
        return float(self.pmf.dot(np.arange(len(self.pmf), dtype=np.float64)))

    def at_line(self, line: float) -> LineAnswer:
        """The likelier side of a line. A whole line can push; the push is taken out of both sides."""
        over = self.over_probability(line)
        first, beyond = self._pushed(line)
        push = float(self.pmf[first]) if first < beyond else 0.0
        return LineAnswer(Side.OVER, over, push) if over >= 0.5 else LineAnswer(Side.UNDER, 1.0 - over, push)

    def over_probability(self, line: float) -> float:
        """The probability that a decided bet on OVER wins; never rises with the line, 0.5 if nothing is decided.

        Sums in one fixed order and the form 1 / (1 + under / over) never rise even by a rounding.
        """
        first, beyond = self._pushed(line)
        up_to, from_top = self._sums
        over = from_top[-1 - beyond] if beyond < len(from_top) else 0.0
        under = up_to[first - 1] if first else 0.0
        if over == 0.0:
            return 0.0 if under > 0.0 else 0.5
        return 1.0 / (1.0 + under / over)

    def _pushed(self, line: float) -> tuple[int, int]:
        """The counts that equal the line, as the bounds of a slice; what lies before is under, what is left is over."""
        end = len(self.pmf)
        return min(max(math.ceil(line), 0), end), min(max(math.floor(line) + 1, 0), end)

    def quantile(self, probability: float) -> int:
        """The smallest count whose cdf reaches the probability."""
        reached = bisect_left(self._sums[0], probability - ROUNDING)
        return min(reached, len(self.pmf) - 1)

    def interval(self, coverage: float = 0.8) -> tuple[int, int]:
        """The central interval of at least this coverage, both ends included."""
        tail = (1.0 - coverage) / 2
        return self.quantile(tail), self.quantile(1.0 - tail)

    def plus(self, other: CountDistribution) -> CountDistribution:
        """The distribution of the sum with an independent count."""
        return CountDistribution(np.convolve(self.pmf, other.pmf))
