"""Proper scores and calibration of predicted counts. Lower is better but for accuracies.

A pmf matrix has the shape [n, counts]; ``y`` holds the n outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_PROBABILITY = 1e-12  # a log score of an outcome held impossible stays finite


def log_scores(pmf: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Minus the log of the probability given to what happened, of shape [n]."""
    given = pmf[np.arange(len(y)), np.minimum(y, pmf.shape[1] - 1)]
    return np.asarray(-np.log(np.maximum(given, LEAST_PROBABILITY)))


def crps(pmf: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """The continuous ranked probability score: Σ_k (F(k) - 1{y ≤ k})², of shape [n]."""
    cdf = np.cumsum(pmf, axis=1)
    happened = np.arange(pmf.shape[1])[None, :] >= y[:, None]
    return np.asarray(((cdf - happened) ** 2).sum(axis=1))


def pit_curve(pmf: NDArray[np.float64], y: NDArray[np.int64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean non-randomised PIT of counts (Czado, Gneiting, Held 2009) at the knots; the identity if calibrated."""
    cdf = np.cumsum(pmf, axis=1)
    rows = np.arange(len(y))
    seen = np.minimum(y, pmf.shape[1] - 1)  # the last count holds the tail
    upper = cdf[rows, seen]
    lower = np.where(seen > 0, cdf[rows, np.maximum(seen - 1, 0)], 0.0)
    width = np.maximum(upper - lower, LEAST_PROBABILITY)
    curve = np.array([np.clip((knot - lower) / width, 0.0, 1.0).mean() for knot in knots])
    curve[0], curve[-1] = 0.0, 1.0
    return curve


def over_probabilities(pmf: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of OVER at each row's own half line, of shape [n]."""
    above = np.arange(pmf.shape[1])[None, :] > lines[:, None]
    return np.asarray((pmf * above).sum(axis=1))


def calibration_error(probability: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error in [0, 1]: |mean probability - share that happened|, over bins of equal rows."""
    gaps = np.bincount(calibration_bins(probability, bins), weights=probability - happened, minlength=bins)
    return float(np.abs(gaps).sum()) / max(len(probability), 1)


def calibration_bins(probability: NDArray[np.float64], bins: int = 10) -> NDArray[np.int64]:
    """The bin of each probability, of shape [n]: as many rows in each, from the smallest probabilities up."""
    bin_of = np.empty(len(probability), dtype=np.int64)
    for index, part in enumerate(np.array_split(np.argsort(probability, kind="stable"), bins)):
        bin_of[part] = index
    return bin_of


def central_intervals(
    pmf: NDArray[np.float64], level: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Least and greatest count of the central interval of at least this level, and the mass it holds; each [n].

    Counts are discrete, so an interval between the quantiles of both tails holds more than the level asks for.
    """
    cdf = np.cumsum(pmf, axis=1)
    tail = (1.0 - level) / 2
    reached = cdf + 1e-12  # a quantile that is met but for a rounding is met, as in CountDistribution.quantile
    reached[:, -1] = 1.0
    least, greatest = (reached >= tail).argmax(axis=1), (reached >= 1.0 - tail).argmax(axis=1)
    rows = np.arange(len(pmf))
    below = np.where(least > 0, cdf[rows, least - 1], 0.0)
    return least, greatest, cdf[rows, greatest] - below
