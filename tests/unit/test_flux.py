"""Scripts of Flux hold our own constants and declared names; what a caller gives travels beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stores.domain.measurements import MAX_TAG_LENGTH
from stores.domain.series_query import Aggregate, Resolution, SeriesQuery
from stores.errors import InvalidError
from stores.influx.flux import query_flux, task_flux

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def _query(**changes: Any) -> SeriesQuery:
    given: dict[str, Any] = {
        "measurement": "cache_metrics",
        "fields": ("latency", "hit_rate"),
        "since": NOON,
        "until": NOON + timedelta(hours=1),
        "every": timedelta(hours=1),
    }
    return SeriesQuery(**given | changes)


@given(st.text(min_size=1, max_size=MAX_TAG_LENGTH), st.sampled_from(list(Resolution)))
def test_a_script_is_the_same_for_every_value(value: str, resolution: Resolution) -> None:
    """A tag's text changes only the parameters, or is refused."""
    plain, _ = query_flux(_query(tags={"operation": "get"}, resolution=resolution), "b")
    try:
        query = _query(tags={"operation": value}, resolution=resolution)
    except InvalidError:
        return
    script, values = query_flux(query, "b")
    assert script == plain
    assert values["tag_operation"] == value


def test_a_mean_of_windows_asks_for_sums_and_counts() -> None:
    """A mean of means would be wrong where windows differ in their number of points."""
    script, _ = query_flux(_query(resolution=Resolution.LOW), "b")
    for name in ("latency_sum", "latency_count", "hit_rate_sum", "hit_rate_count"):
        assert f'r._field == "{name}"' in script
    assert "fn: sum" in script
    assert "mean" not in script


def test_the_last_of_several_series_is_the_last_in_time() -> None:
    """Flux joins series one after the other unless they are sorted."""
    assert "sort(" in query_flux(_query(aggregate=Aggregate.LAST), "b")[0]


def test_a_task_folds_what_late_points_can_have_changed() -> None:
    """An hour and two steps, at every step."""
    for resolution, every, reach in ((Resolution.MEDIUM, "60s", "3720s"), (Resolution.LOW, "3600s", "10800s")):
        script = task_flux("t", resolution, "source", "target")
        assert f'option task = {{name: "t", every: {every}, offset: 10s}}' in script
        assert f"date.sub(d: {reach}, from: until)" in script
