"""Has a sample drifted from a reference? Rows of one series are alike, so whole series are permuted.

If nothing has drifted, chance alone chose the series of the current sample. The test compares with other choices of as
many series, so its rate of false alarms is exact for any number of series, any dependence of rows and columns, heavy
tails and missing values (Pitman 1937; for clusters: Gail et al. 1996). What it takes for granted is that series, or the
blocks of series that are given, are exchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from training.watching.families import Counted, draws_for, family_findings, untested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.watching.findings import DriftFinding, DriftKind

LEAST_UNITS = 5  # about 50 rows: fewer say more of their teams than of a drift
LEAST_REFERENCE_UNITS = 20
MOST_OF_ONE_UNIT = 1.5  # standard deviations: one odd series alone is no drift
DRAWS_AT_ONCE = 256
SCORES = 3  # of a column: location, spread, missingness


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """``values`` of shape [n, columns], where NaN is missing, and the series of each row, of shape [n].

    ``blocks`` are what is independent of one another where series are not, such as the leagues' weeks: whole series
    each, of shape [n].
    """

    names: Sequence[str]
    values: NDArray[Any]
    series: NDArray[Any]
    blocks: NDArray[Any] | None = None

    @property
    def units(self) -> NDArray[np.int64]:
        """The number of each row's independent unit, from 0 on, of shape [n]."""
        of_row = self.series if self.blocks is None else self.blocks
        return np.asarray(np.unique(of_row, return_inverse=True)[1], dtype=np.int64)

    @property
    def n_series(self) -> int:
        """How many series there are."""
        return len(np.unique(self.series))


def sample_drift(
    kind: DriftKind, reference: Sample, current: Sample, false_alarm_rate: float = 0.01, seed: int = 0
) -> tuple[DriftFinding, ...]:
    """One finding per column: has its location, its spread or its missingness moved? Deterministic for a seed.

    Scores of the pooled ranks (Wilcoxon 1945; Mood 1954) are summed over the current series, and are compared in
    standard deviations of the permutation. With too few series nothing is tested, and nothing alarms.
    """
    totals, n_current = _unit_totals(reference, current)
    counted = Counted(len(current.values), current.n_series)
    labels = [(kind, name) for name in current.names]
    n_reference = totals.shape[1] - n_current
    if n_current < LEAST_UNITS or n_reference < LEAST_REFERENCE_UNITS:
        what, needed = (
            "series" if current.blocks is None else "blocks",
            f"{LEAST_UNITS} against {LEAST_REFERENCE_UNITS}",
        )
        return untested(labels, counted, f"{n_current} {what} against {n_reference} are too few; {needed} are needed")
    scaled = _in_deviations(totals, n_current)
    rng = np.random.default_rng(seed)
    observed = _by_column(scaled[:, n_reference:].sum(axis=1)[None, :])[0]
    greatest = _greatest_of_draws(scaled, n_current, draws_for(false_alarm_rate), rng)
    # the draws are sums in single precision and in another order: what differs by a rounding is a tie
    return family_findings(labels, observed, greatest * (1 + 1e-5), false_alarm_rate, counted)


def _unit_totals(reference: Sample, current: Sample) -> tuple[NDArray[np.float64], int]:
    """The scores' sums of shape [SCORES · columns, units], the current units last, and how many those are."""
    of_reference, of_current = reference.units, current.units
    n_reference, n_current = (int(of.max(initial=-1)) + 1 for of in (of_reference, of_current))
    units = np.concatenate([of_reference, of_current + n_reference])
    order = np.argsort(units, kind="stable")
    values = np.concatenate([reference.values, current.values])[order]
    starts = np.searchsorted(units[order], np.arange(n_reference + n_current))
    return np.add.reduceat(_scores(values), starts, axis=1) if len(starts) else np.zeros((0, 0)), n_current


def _scores(values: NDArray[Any]) -> NDArray[np.float64]:
    """Location, spread and missingness of each row, of mean 0: shape [SCORES · columns, rows], by score."""
    columns = np.ascontiguousarray(values.T)
    present = np.isfinite(columns)
    known = np.maximum(present.sum(axis=1, keepdims=True), 1)
    ranks = rankdata(np.where(present, columns, np.inf), axis=1)  # the missing come last and leave the others' ranks
    location = np.where(present, (ranks - 0.5) / known - 0.5, 0.0)
    square = location**2
    spread = np.where(present, square - square.sum(axis=1, keepdims=True) / known, 0.0)
    missing = ~present - (~present).mean(axis=1, keepdims=True)
    return np.concatenate([location, spread, missing])


def _in_deviations(totals: NDArray[np.float64], n_current: int) -> NDArray[np.float64]:
    """The totals in standard deviations of a sum over ``n_current`` units that are drawn without replacement."""
    n = totals.shape[1]
    share = n_current * (n - n_current) / (n * (n - 1))
    deviation = np.sqrt(share * (totals**2).sum(axis=1))
    deviation = np.maximum(deviation, np.abs(totals).max(axis=1) / MOST_OF_ONE_UNIT)
    moves = deviation > 1e-9 * n  # a constant column's scores are 0 but for rounding
    return np.where(moves[:, None], totals / np.where(moves, deviation, 1.0)[:, None], 0.0)


def _by_column(sums: NDArray[Any]) -> NDArray[np.float64]:
    """The largest score of each column, of shape [draws, columns], from [draws, SCORES · columns]."""
    return np.asarray(np.abs(sums).reshape(len(sums), SCORES, -1).max(axis=1), dtype=np.float64)


def _greatest_of_draws(
    scaled: NDArray[np.float64], n_current: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The largest statistic of all columns in each random choice of ``n_current`` units, of shape [draws]."""
    by_unit = np.ascontiguousarray(scaled.T, dtype=np.float32)
    found = []
    for at in range(0, draws, DRAWS_AT_ONCE):
        chance = rng.random((min(DRAWS_AT_ONCE, draws - at), len(by_unit)), dtype=np.float32)
        border = np.partition(chance, n_current - 1, axis=1)[:, [n_current - 1]]
        found.append(np.abs((chance <= border).astype(np.float32) @ by_unit).max(axis=1, initial=0.0))
    return np.concatenate(found).astype(np.float64)
