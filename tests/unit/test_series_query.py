"""A question about time series is checked before any server is asked, and its rows become windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stores.domain import series_query
from stores.domain.series_query import Aggregate, Resolution, SeriesQuery, Window, finest_resolution, windows
from stores.errors import InvalidError

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=one) for one in (1, 60, 3600, 86400))


def _query(**changes: Any) -> SeriesQuery:
    given: dict[str, Any] = {
        "measurement": "cache_metrics",
        "fields": ("latency",),
        "since": NOON,
        "until": NOON + HOUR,
        "every": MINUTE,
    }
    return SeriesQuery(**given | changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"measurement": "x"}, "measurement"),
        ({"fields": ()}, "fields"),
        ({"fields": ("latency", 'x" or "')}, "fields"),
        ({"tags": {"x": "y"}}, "tags"),
        ({"tags": {"operation": "a\nb"}}, "tags.operation"),
        ({"by": ('operation"]) |> drop(',)}, "tags"),
        ({"since": datetime(2026, 3, 14)}, "since"),  # noqa: DTZ001  # the mistake
        ({"until": NOON}, "since"),
        ({"every": timedelta(0)}, "every"),
        ({"every": timedelta(milliseconds=1500)}, "every"),
        ({"every": 90 * SECOND, "resolution": Resolution.MEDIUM}, "every"),
        ({"every": 30 * MINUTE, "resolution": Resolution.LOW}, "every"),
        ({"every": SECOND, "until": NOON + 3 * HOUR}, "every"),
        ({"percentile": 95.0}, "percentile"),
        ({"aggregate": Aggregate.PERCENTILE}, "percentile"),
        ({"aggregate": Aggregate.PERCENTILE, "percentile": 0.0}, "percentile"),
        ({"aggregate": Aggregate.PERCENTILE, "percentile": float("nan")}, "percentile"),
        ({"aggregate": Aggregate.PERCENTILE, "percentile": 50.0, "resolution": Resolution.MEDIUM}, "resolution"),
    ],
)
def test_a_wrong_question_names_its_field(changes: dict[str, Any], field: str) -> None:
    """Whatever no server could answer alike is refused."""
    with pytest.raises(InvalidError) as caught:
        _query(**changes)
    assert caught.value.field == field


def test_a_right_question_is_taken() -> None:
    """At its bounds."""
    _query(every=SECOND, until=NOON + 10_000 * SECOND)
    _query(aggregate=Aggregate.PERCENTILE, percentile=100.0)
    _query(every=MINUTE, resolution=Resolution.MEDIUM, by=("operation",), tags={"cache_type": "redis"})


def test_the_finest_resolution_that_holds_a_time() -> None:
    """7 days, 90 days, and hours for all that is older."""
    for age, resolution in ((7, "high"), (8, "medium"), (90, "medium"), (91, "low"), (5000, "low")):
        assert finest_resolution(NOON - age * DAY, NOON) == resolution


def test_rows_become_windows_in_order() -> None:
    """By start, then tags; the fields of one window together."""
    rows = [
        (NOON + MINUTE, (("operation", "get"),), "latency", 1.0),
        (NOON, (("operation", "set"),), "latency", 2.0),
        (NOON, (("operation", "get"),), "latency", 3.0),
        (NOON, (("operation", "get"),), "hit_rate", 4.0),
    ]
    assert windows(rows) == [
        Window(NOON, {"operation": "get"}, {"latency": 3.0, "hit_rate": 4.0}),
        Window(NOON, {"operation": "set"}, {"latency": 2.0}),
        Window(NOON + MINUTE, {"operation": "get"}, {"latency": 1.0}),
    ]


def test_more_than_a_caller_should_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound itself is fine."""
    monkeypatch.setattr(series_query, "MAX_ROWS", 3)
    rows = [(NOON + number * MINUTE, (), "latency", 1.0) for number in range(4)]
    assert len(windows(rows[:3])) == 3
    with pytest.raises(InvalidError):
        windows(rows)
