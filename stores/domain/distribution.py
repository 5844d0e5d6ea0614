"""The predictive distribution of a count. One of these answers every line, the curve, the push and the interval."""

from __future__ import annotations

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
    """A distribution over the counts 0, 1, 2, …

    ``pmf`` is float64 of shape [n]; it is not negative and sums to 1 (the last entry holds the tail).
    """

    pmf: NDArray[np.float64]

    @classmethod
    def from_cdf(cls, cdf: NDArray[np.float64]) -> CountDistribution:
        """Built from a rising cdf of shape [n]; what lies above its end is put into the last count."""
        closed = np.clip(cdf, 0.0, 1.0)
        closed[-1] = 1.0
        return cls(np.diff(np.maximum.accumulate(closed), prepend=0.0))

    @property
    def mean(self) -> float:
        """The expected count."""
        return float(self.pmf @ np.arange(len(self.pmf)))

    def at_line(self, line: float) -> LineAnswer:
        """The likelier side of a line. A whole line can push; the push is taken out of both sides."""
        counts = np.arange(len(self.pmf))
        over = float(self.pmf[counts > line].sum())
        under = float(self.pmf[counts < line].sum())
        decided = over + under
        share_over = over / decided if decided > 0 else 0.5
        side = Side.OVER if share_over >= 0.5 else Side.UNDER
        return LineAnswer(side, max(share_over, 1.0 - share_over), max(0.0, 1.0 - decided))

    def over_probability(self, line: float) -> float:
        """The probability that a decided bet on OVER wins; falls as the line rises, 0.5 if nothing is decided."""
        answer = self.at_line(line)
        return answer.probability if answer.side is Side.OVER else 1.0 - answer.probability

    def quantile(self, probability: float) -> int:
        """The smallest count whose cdf reaches the probability."""
        return int(np.searchsorted(np.cumsum(self.pmf), probability - 1e-12))

    def interval(self, coverage: float = 0.8) -> tuple[int, int]:
        """The central interval of at least this coverage, both ends included."""
        tail = (1.0 - coverage) / 2
        return self.quantile(tail), self.quantile(1.0 - tail)

    def plus(self, other: CountDistribution) -> CountDistribution:
        """The distribution of the sum with an independent count."""
        return CountDistribution(np.convolve(self.pmf, other.pmf))
