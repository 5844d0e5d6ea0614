"""Percentiles of latencies."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import Latency, percentile


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0, 1))
def test_a_percentile_is_the_least_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    """At least the share lies at or below it, and less than the share lies at or below any smaller value."""
    ordered = sorted(values)
    found = percentile(ordered, share)
    needed = math.ceil(share * len(values))
    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) < max(needed, 1)


def test_percentiles_of_a_hundred_are_their_ranks() -> None:
    """Of 1 to 100, p50, p95 and p99 are 50, 95 and 99; of nothing they are 0."""
    hundred = list(range(1, 101))
    assert [percentile(hundred, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert percentile([], 0.5) == 0.0


def test_a_latency_is_in_milliseconds_in_any_order() -> None:
    """Seconds come in as they were measured; of none every figure is 0."""
    hundred = [number / 1000 for number in range(100, 0, -1)]
    assert Latency.of(hundred) == Latency(50.0, 95.0, 99.0, 100.0)
    assert Latency.of([]) == Latency(0.0, 0.0, 0.0, 0.0)
