"""The negative binomial count: mean and size, variance = mean + mean² / size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pmf(mean: NDArray[np.float64], size: NDArray[np.float64], counts: int) -> NDArray[np.float64]:
    """Probabilities of 0 … counts-1, of shape [n, counts]; the tail above is put into the last count.

    ``mean`` and ``size`` are positive and have the shape [n].
    """
    k = np.arange(counts, dtype=np.float64)
    r, mu = size[:, None], mean[:, None]
    log_p = gammaln(k + r) - gammaln(r) - gammaln(k + 1) + r * np.log(r / (r + mu)) + k * np.log(mu / (r + mu))
    probabilities = np.exp(log_p)
    probabilities[:, -1] += np.maximum(0.0, 1.0 - probabilities.sum(axis=1))
    return np.asarray(probabilities)


def log_pmf(y: NDArray[np.int64], mean: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log probability of each count ``y``; all of shape [n]."""
    total = size + mean
    return np.asarray(
        gammaln(y + size) - gammaln(size) - gammaln(y + 1) + size * np.log(size / total) + y * np.log(mean / total)
    )
