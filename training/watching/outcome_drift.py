"""Do outcomes still follow the predicted distributions? Rows of one series are alike, so whole series change sign.

Every score has the expectation 0 if the predicted pmf is true, whatever the rows' dependence within a series. Sums over
series are compared with the same sums under random signs of the series (the wild bootstrap with Rademacher weights:
Davison and Flachaire 2008; Canay, Romano and Shaikh 2017), which needs neither many nor equal series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import eval_legendre

from training.scores import crps
from training.watching.families import Counted, draws_for, family_findings, untested
from training.watching.findings import DriftKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from training.watching.findings import DriftFinding

LEAST_SERIES = 12  # 2048 pairs of signs: fewer cannot tell one in a thousand apart
SMOOTH = ("PIT level", "PIT spread", "PIT skew", "PIT tails")  # Neyman's components of orders 1 to 4
OVER = "over frequency"
CRPS = "CRPS above its expectation"


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What was predicted and what happened: ``pmf`` of shape [n, counts], outcomes ``y`` of shape [n]."""

    pmf: NDArray[np.float64]
    y: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Excess:
    """Scores of shape [n] whose expectation is 0 without drift; ``one_sided`` where only an excess is a drift."""

    kind: DriftKind
    name: str
    scores: NDArray[np.float64]
    one_sided: bool = False


def outcome_drift(
    predicted: Mapping[str, Predicted], series: NDArray[Any], false_alarm_rate: float = 0.01, seed: int = 0
) -> tuple[DriftFinding, ...]:
    """Calibration and target drift of each named prediction of the same n rows; deterministic for a seed."""
    rng = np.random.default_rng(seed)
    excesses = [one for name, of in predicted.items() for one in _excesses(name, of, rng)]
    return excess_findings(excesses, series, false_alarm_rate, seed)


def excess_findings(
    excesses: Sequence[Excess], series: NDArray[Any], false_alarm_rate: float, seed: int = 0
) -> tuple[DriftFinding, ...]:
    """One finding per score, tested as one family; ``series`` has the shape [n]."""
    of_series = np.unique(series, return_inverse=True)[1]
    counted = Counted(len(series), int(of_series.max(initial=-1)) + 1)
    labels = [(one.kind, one.name) for one in excesses]
    if counted.series < LEAST_SERIES:
        return untested(labels, counted, f"{counted.series} series are too few; {LEAST_SERIES} are needed")
    totals = np.column_stack([np.bincount(of_series, one.scores, minlength=counted.series) for one in excesses])
    lengths = np.sqrt((totals**2).sum(axis=0))
    scaled = totals / np.where(lengths > 0, lengths, 1.0)
    one_sided = np.array([one.one_sided for one in excesses])
    rng = np.random.default_rng((seed, 1))
    signs = rng.integers(0, 2, size=(draws_for(false_alarm_rate), counted.series), dtype=np.int8)
    greatest = _sided((2.0 * signs - 1.0) @ scaled, one_sided).max(axis=1)
    observed = _sided(scaled.sum(axis=0), one_sided)
    return family_findings(labels, observed, greatest * (1 + 1e-9), false_alarm_rate, counted)


def over_excess(name: str, over: NDArray[np.float64], happened: NDArray[np.bool_]) -> Excess:
    """How much more often OVER happened than was said, row by row."""
    return Excess(DriftKind.CALIBRATION, name, happened - over)


def _sided(sums: NDArray[np.float64], one_sided: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(one_sided, sums, np.abs(sums))


def _excesses(name: str, of: Predicted, rng: np.random.Generator) -> list[Excess]:
    """Neyman's smooth components (1937) of the randomised PIT (Smith 1985), over frequency and CRPS.

    The sum of a skewed CRPS over few series is too often far below its expectation, and what is low there is no harm,
    so only its excess counts: a spread that was predicted too wide shows in the PIT.
    """
    cdf = np.cumsum(of.pmf, axis=1)
    rows, counts = np.arange(len(of.y)), np.arange(of.pmf.shape[1])
    seen = np.minimum(of.y, len(counts) - 1)  # the last count holds the tail
    pit = cdf[rows, seen] - rng.random(len(rows)) * of.pmf[rows, seen]
    line = np.floor(of.pmf @ counts) + 0.5
    over = 1.0 - cdf[rows, np.minimum(line.astype(np.int64), len(counts) - 1)]
    loss = crps(of.pmf, seen) - (cdf * (1.0 - cdf)).sum(axis=1)  # E Σ (F - 1{Y ≤ k})² = Σ F (1 - F)
    smooth = [
        Excess(DriftKind.CALIBRATION, f"{name} {order}", eval_legendre(at, 2.0 * pit - 1.0) * np.sqrt(2 * at + 1))
        for at, order in enumerate(SMOOTH, 1)
    ]
    above = over_excess(f"{name} {OVER}", over, of.y > line)
    return [*smooth, above, Excess(DriftKind.TARGET, f"{name} {CRPS}", loss, one_sided=True)]
