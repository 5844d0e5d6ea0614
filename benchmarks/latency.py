"""Percentiles of latencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the rising values that at least this share does not exceed (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long it took, in milliseconds; all 0 of none."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """The percentiles of these."""
        ordered = sorted(seconds)
        return cls(*(round(percentile(ordered, share) * 1e3, 6) for share in (0.5, 0.95, 0.99, 1.0)))
