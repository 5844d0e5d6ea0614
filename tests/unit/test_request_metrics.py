"""Counts of requests: percentiles that hold, rates that add up, and nothing counted twice."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.request_metrics import Latencies, RequestMetrics

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@given(st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_at_most_nine_percent_too_high(seconds: list[float], percent: int) -> None:
    """Beside numpy's, which is one of the values."""
    found = Latencies()
    for one in seconds:
        found.add(one, 0)
    exact = float(np.percentile(seconds, percent, method="inverted_cdf"))
    assert exact * (1 - 1e-9) <= found.percentile_s(percent) <= exact * 1.0906


def test_points_hold_what_was_counted_and_counting_begins_anew() -> None:
    """One point for each endpoint and status; the second take has none."""
    metrics = RequestMetrics()
    for status, seconds in ((200, 0.001), (200, 0.003), (503, 0.5)):
        metrics.note("/predict/single", "POST", status, seconds, 100)
    answered, failed = metrics.take(NOON)
    assert answered.tags == {
        "endpoint": "/predict/single",
        "method": "POST",
        "status_code": "200",
        "service": "gateway",
    }
    assert answered.fields["response_time"] == pytest.approx(2.0)
    assert 3.0 <= answered.fields["response_time_p99"] < 3.3
    assert (answered.fields["error_rate"], failed.fields["error_rate"]) == (0.0, 100.0)
    assert answered.fields["throughput"] == pytest.approx(2 * failed.fields["throughput"])
    assert answered.fields["response_size"] == 100.0
    assert metrics.take(NOON) == []
