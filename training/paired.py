"""Whether one method is worse than another on the same rows, when the rows of a series are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """The mean of ``rows`` values and its standard error, with the values of a cluster (a series) as one draw."""

    mean: float
    standard_error: float
    rows: int
    clusters: int

    def p_above(self, margin: float = 0.0) -> float:
        """The one-sided p-value of a true mean of at most ``margin`` (Student's t with clusters - 1 degrees)."""
        if self.clusters < 2 or self.standard_error == 0.0:
            return 0.0 if self.clusters > 1 and self.mean > margin else 1.0
        return float(stats.t.sf((self.mean - margin) / self.standard_error, self.clusters - 1))


def clustered_mean(values: NDArray[np.float64], clusters: NDArray[np.object_]) -> ClusteredMean:
    """The mean of n values with its cluster-robust standard error (Liang & Zeger 1986; Cameron & Miller 2015).

    Of score differences (candidate minus champion) this is the test of equal accuracy of Diebold & Mariano (1995), with
    series in the place of the autocorrelation: what happens in a series moves all its maps and players together.
    """
    names, of_row = np.unique(clusters.astype(str), return_inverse=True)
    count = len(names)
    if count < 2:
        return ClusteredMean(float(values.mean()) if len(values) else 0.0, 0.0, len(values), count)
    mean = float(values.mean())
    sums = np.bincount(of_row, weights=values - mean, minlength=count)
    variance = count / (count - 1) * float(sums @ sums) / len(values) ** 2
    return ClusteredMean(mean, float(np.sqrt(variance)), len(values), count)


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall when any true one may fall with probability ``alpha`` at most (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    falls = np.logical_and.accumulate(p[order] <= alpha / (len(p) - np.arange(len(p))))
    return [bool(one) for one in falls[np.argsort(order)]]
