"""Statistics that are tested together: one alarm at one rate, whatever their dependence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.watching.findings import DriftFinding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.watching.findings import DriftKind

ALARMS_AMONG_DRAWS = 5  # the threshold is the fifth largest of the draws: steady enough, and few draws suffice


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows, of how many series."""

    rows: int
    series: int


def draws_for(rate: float) -> int:
    """How many draws a test at this rate needs."""
    return int(np.ceil(ALARMS_AMONG_DRAWS / rate)) - 1


def family_findings(
    labels: Sequence[tuple[DriftKind, str]],
    statistics: NDArray[np.float64],
    greatest: NDArray[np.float64],
    rate: float,
    counted: Counted,
) -> tuple[DriftFinding, ...]:
    """The findings of a family. ``greatest`` holds its largest statistic in each draw without drift.

    Single-step max-T (Westfall and Young 1993): all p-values are those of the largest statistic. With the observed
    sample counted as one more draw, the rate holds exactly and for any number of draws (Phipson and Smyth 2010).
    """
    ranked = np.sort(greatest)[::-1]
    threshold = ranked[int(rate * (len(ranked) + 1) + 1e-9) - 1]
    beaten_by = len(ranked) - np.searchsorted(ranked[::-1], statistics, side="left")
    p_values = (beaten_by + 1) / (len(ranked) + 1)
    return tuple(
        DriftFinding(
            kind=kind,
            name=name,
            statistic=float(statistic),
            threshold=float(threshold),
            p_value=float(p_value),
            alarm=bool(statistic > threshold),
            n_rows=counted.rows,
            n_series=counted.series,
        )
        for (kind, name), statistic, p_value in zip(labels, statistics, p_values, strict=True)
    )


def untested(labels: Sequence[tuple[DriftKind, str]], counted: Counted, note: str) -> tuple[DriftFinding, ...]:
    """The findings of a family that could not be tested; none of them alarms."""
    return tuple(
        DriftFinding(
            kind=kind,
            name=name,
            statistic=None,
            threshold=None,
            p_value=None,
            alarm=False,
            n_rows=counted.rows,
            n_series=counted.series,
            note=note,
        )
        for kind, name in labels
    )
