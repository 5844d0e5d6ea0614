"""The predictive distribution of a count. One of these answers every line, the curve, the push and the interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a distribution says of one line. Probabilities are of the side, the push left out, in [0, 1]."""

    side: Side
    probability: float
    push: float


@dataclass(frozen=True, slots=True, eq=False)
class CountDistribution:
    """A distribution over the counts from 0 on.

    ``pmf`` is float64 of shape [n]; it is not negative and sums to 1 (the last entry holds the tail).
    """

    pmf: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The expected count."""
        return float(self.pmf @ np.arange(len(self.pmf)))

    def at_line(self, line: float) -> LineAnswer:
        """The likelier side of a line. A whole line can push; the push is taken out of both sides."""
        over = self.over_probability(line)
        first, beyond = self._pushed(line)
        push = float(self.pmf[first:beyond].sum())
        return LineAnswer(Side.OVER, over, push) if over >= 0.5 else LineAnswer(Side.UNDER, 1.0 - over, push)

    def over_probability(self, line: float) -> float:
        """The probability that a decided bet on OVER wins; never rises with the line, 0.5 if nothing is decided.

        Sums in one fixed order and the form 1 / (1 + under / over) never rise even by a rounding.
        """
        first, beyond = self._pushed(line)
        over = float(np.cumsum(self.pmf[: beyond - 1 if beyond else None : -1])[-1]) if beyond < len(self.pmf) else 0.0
        under = float(np.cumsum(self.pmf[:first])[-1]) if first else 0.0
        if over == 0.0:
            return 0.0 if under > 0.0 else 0.5
        return 1.0 / (1.0 + under / over)

    def _pushed(self, line: float) -> tuple[int, int]:
        """The counts that equal the line, as the bounds of a slice; what lies before is under, what is left is over."""
        bounds = math.ceil(line), math.floor(line) + 1
        first, beyond = (min(max(bound, 0), len(self.pmf)) for bound in bounds)
        return first, beyond

    def quantile(self, probability: float) -> int:
        """The smallest count whose cdf reaches the probability."""
        reached = int(np.searchsorted(np.cumsum(self.pmf), probability - 1e-12))
        return min(reached, len(self.pmf) - 1)  # the probabilities may sum to a little less than 1

    def interval(self, coverage: float = 0.8) -> tuple[int, int]:
        """The central interval of at least this coverage, both ends included."""
        tail = (1.0 - coverage) / 2
        return self.quantile(tail), self.quantile(1.0 - tail)

    def plus(self, other: CountDistribution) -> CountDistribution:
        """The distribution of the sum with an independent count."""
        return CountDistribution(np.convolve(self.pmf, other.pmf))
