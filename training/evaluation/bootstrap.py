"""Confidence intervals of whatever is averaged over rows, by drawing whole series again.

Maps and players of one series share its course, so rows are not independent: series are (cluster bootstrap; Field and
Welsh 2007, Cameron, Gelbach and Miller 2008). All statistics are functions of per-series sums, and a draw is a vector
of weights on series; so all draws are one matrix product, and methods are compared on the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.scores import calibration_bins, calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2_000
SEED = 20260401
TAILS = (0.025, 0.975)  # of a 95% interval


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 95% bootstrap interval over series; nan where nothing was measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ErrorFigure(Figure):
    """A calibration error; ``by_chance`` is what a true forecast shows on average on so many rows and series."""

    by_chance: float


class SeriesBootstrap:
    """Draws of series with replacement. ``series`` names the series of each row, of shape [n]."""

    def __init__(self, series: NDArray[np.object_], draws: int = DRAWS, seed: int = SEED) -> None:
        names, self._series = np.unique(series.astype(str), return_inverse=True)
        self.series = len(names)
        shares = np.full(self.series, 1.0 / max(self.series, 1))
        self._weights = np.random.default_rng(seed).multinomial(self.series, shares, size=draws).astype(np.float64)

    def mean(self, values: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> Figure:
        """The mean of row-wise values of shape [n, ...], among the marked cells alone if ``among`` is given."""
        marked = np.ones(values.shape, dtype=bool) if among is None else among
        return self.ratio(np.where(marked, values, 0.0), marked.astype(np.float64))

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> Figure:
        """Σ above / Σ below of row-wise arrays of shape [n, ...]; percentile interval (Efron and Tibshirani 1993)."""
        sums = np.column_stack([self._sums(above), self._sums(below)])
        total, drawn = sums.sum(axis=0), self._weights @ sums
        if total[1] == 0.0:
            return Figure(np.nan, np.nan, np.nan)
        drawn = drawn[drawn[:, 1] > 0.0]
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], TAILS)
        return Figure(float(total[0] / total[1]), float(low), float(high))

    def difference_percent(self, values: NDArray[np.float64], other: NDArray[np.float64]) -> Figure:
        """By how many percent the mean of ``values`` lies above that of ``other``, on the same rows and draws."""
        return self.ratio(100.0 * (values - other), other)

    def calibration_error(
        self, probability: NDArray[np.float64], happened: NDArray[np.bool_], among: NDArray[np.bool_]
    ) -> ErrorFigure:
        """Expected calibration error over the marked cells; all three of shape [n, ...].

        Noise can only add to a sum of absolute gaps, so its percentiles lie too high. But by the triangle inequality
        the true error is no farther from the seen one than the noise of the gaps adds up to: so far the interval goes
        to both sides, with the noise of 95% of the draws. It holds 95% at least, 0 for a true forecast too.
        """
        series = self._series.reshape(-1, *(1,) * (among.ndim - 1))
        series_of = np.broadcast_to(series, among.shape)[among]
        said, seen = probability[among], happened[among]
        if not len(said):
            return ErrorFigure(np.nan, np.nan, np.nan, np.nan)
        bins = calibration_bins(said)
        width = int(bins.max()) + 1
        gaps = np.bincount(series_of * width + bins, weights=said - seen, minlength=self.series * width)
        cells = np.bincount(series_of, minlength=self.series)
        drawn = self._weights @ gaps.reshape(self.series, width) / np.maximum(self._weights @ cells, 1.0)[:, None]
        seen_gaps = gaps.reshape(self.series, width).sum(axis=0) / len(said)
        noise = np.abs(drawn - seen_gaps).sum(axis=1)
        most = float(np.quantile(noise, TAILS[1] - TAILS[0]))
        value = calibration_error(said, seen)
        return ErrorFigure(value, max(value - most, 0.0), value + most, float(noise.mean()))

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Per series, of shape [series]."""
        by_row = values.reshape(len(values), -1).sum(axis=1)
        return np.asarray(np.bincount(self._series, weights=by_row, minlength=self.series), dtype=np.float64)
