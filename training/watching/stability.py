"""The population stability index (PSI), with the threshold that belongs to its sample size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from training.watching.families import Counted, untested
from training.watching.findings import DriftFinding, DriftKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.watching.sample_drift import Sample

BINS = 10  # of equal reference rows, and one more for what is missing
HALF_A_ROW = 0.5  # stands in an empty bin, whose logarithm would be infinite
LEAST_EFFECT = 0.01  # a column that each game has in the same shares, such as the role, has no variance at all


def stability_indices(reference: Sample, current: Sample, exceeded_by: float = 0.01) -> tuple[DriftFinding, ...]:
    """The index of each column: Σ (q - p) ln(q / p) over its bins, and what it exceeds without drift at this rate.

    Without drift the index of n against m independent rows is about (1/n + 1/m) χ² with bins - 1 degrees of freedom
    (Yurdakul 2018); rows of a series are alike, which multiplies it by the design effect of the bins' shares (Rao and
    Scott 1984, second order). The usual "above 0.1" forgets both. Findings of this kind never alarm.
    """
    if not len(current.values) or not len(reference.values):
        labels = [(DriftKind.STABILITY, name) for name in current.names]
        return untested(labels, Counted(len(current.values), current.n_series), "there are no rows to compare")
    units = reference.units, current.units
    findings = []
    for at, name in enumerate(current.names):
        bins = _bins(reference.values[:, at], current.values[:, at])
        index, threshold, p_value = _index(bins, units, exceeded_by)
        findings.append(
            DriftFinding(
                kind=DriftKind.STABILITY,
                name=name,
                statistic=index,
                threshold=threshold,
                p_value=p_value,
                alarm=False,
                n_rows=len(current.values),
                n_series=current.n_series,
            )
        )
    return tuple(findings)


def _bins(reference: NDArray[Any], current: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bin of each row, of shape [m] and [n]; a bin that no row lies in is left out."""
    known = reference[np.isfinite(reference)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)
    both = np.concatenate([reference, current])
    bins = np.where(np.isfinite(both), np.searchsorted(edges, both, side="left"), BINS)
    used = np.unique(bins, return_inverse=True)[1]
    return used[: len(reference)], used[len(reference) :]


def _index(
    bins: tuple[NDArray[np.int64], NDArray[np.int64]],
    units: tuple[NDArray[np.int64], NDArray[np.int64]],
    exceeded_by: float,
) -> tuple[float, float, float]:
    """Index, threshold and p-value; reference first."""
    width = int(max(bins[0].max(initial=0), bins[1].max(initial=0))) + 1
    m, n = (max(len(of), 1) for of in bins)
    p, q = (np.bincount(of, minlength=width) + HALF_A_ROW for of in bins)
    p, q = p / p.sum(), q / q.sum()
    index = float(((q - p) * np.log(q / p)).sum())
    if width == 1:
        return 0.0, 0.0, 1.0
    tables = [_table(of, by, width) for of, by in zip(bins, units, strict=True)]
    mean, spread = _design_effects(np.concatenate(tables))
    scale, freedom = spread / mean, (width - 1) * mean**2 / spread
    scale *= 1 / n + 1 / m
    return index, float(scale * chi2.ppf(1 - exceeded_by, freedom)), float(chi2.sf(index / scale, freedom))


def _table(bins: NDArray[np.int64], units: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Rows by unit and bin."""
    height = int(units.max(initial=-1)) + 1
    return np.bincount(units * width + bins, minlength=height * width).reshape(height, width).astype(np.float64)


def _design_effects(table: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of the generalised design effects of the bins' shares and the mean of their squares."""
    rows = table.sum()
    shares = table.sum(axis=0) / rows
    apart = (table - table.sum(axis=1, keepdims=True) * shares) / np.sqrt(shares * rows)
    effects = apart.T @ apart
    free = len(shares) - 1
    mean, spread = float(np.trace(effects)) / free, float((effects**2).sum()) / free
    return max(mean, LEAST_EFFECT), max(spread, LEAST_EFFECT**2)
