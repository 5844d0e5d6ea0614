"""A point is checked against what is declared, before any server sees it."""

from __future__ import annotations

import math
import pickle
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from stores.domain.measurements import MAX_NUMBER, MAX_TAG_LENGTH, MEASUREMENTS, Point
from stores.errors import InvalidError

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
TAGS = {"endpoint": "/predict/single", "method": "POST", "status_code": "200", "service": "gateway"}


def _point(**changes: Any) -> Point:
    given: dict[str, Any] = {
        "measurement": "api_metrics",
        "tags": TAGS,
        "fields": {"response_time": 12.5, "request_size": 1024},
        "time": NOON,
    }
    return Point(**given | changes)


def test_a_point_is_normalised() -> None:
    """Tags in their declared order, numbers as floats, the time in UTC; what was given may change afterwards."""
    tags = dict(reversed(TAGS.items()))
    point = _point(tags=tags, time=NOON.astimezone(timezone(timedelta(hours=9))))
    tags["endpoint"] = "changed"
    assert list(point.tags.items()) == list(TAGS.items())
    assert point.fields == {"response_time": 12.5, "request_size": 1024.0}
    assert point.time.tzinfo is UTC
    assert point == _point()
    assert pickle.loads(pickle.dumps(point)) == point  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"measurement": "nothing"}, "measurement"),
        ({"measurement": 'api_metrics" or true'}, "measurement"),
        ({"tags": {}}, "tags"),
        ({"tags": {"endpoint": "/"}}, "tags"),
        ({"tags": {**TAGS, "colour": "red"}}, "tags"),
        ({"tags": {**TAGS, "endpoint": ""}}, "tags.endpoint"),
        ({"tags": {**TAGS, "endpoint": "x" * (MAX_TAG_LENGTH + 1)}}, "tags.endpoint"),
        ({"tags": {**TAGS, "endpoint": "a\nb"}}, "tags.endpoint"),
        ({"tags": {**TAGS, "endpoint": "a\x00b"}}, "tags.endpoint"),
        ({"tags": {**TAGS, "endpoint": "a\\"}}, "tags.endpoint"),
        ({"tags": {**TAGS, "endpoint": "\ud800"}}, "tags.endpoint"),
        ({"tags": {**TAGS, "status_code": 200}}, "tags.status_code"),
        ({"fields": {}}, "fields"),
        ({"fields": {"latency": 1.0}}, "fields"),
        ({"fields": {"response_time, x=1": 1.0}}, "fields"),
        ({"fields": {"response_time": math.nan}}, "fields.response_time"),
        ({"fields": {"response_time": -math.inf}}, "fields.response_time"),
        ({"fields": {"response_time": 2 * MAX_NUMBER}}, "fields.response_time"),
        ({"fields": {"response_time": 10**400}}, "fields.response_time"),
        ({"fields": {"response_time": True}}, "fields.response_time"),
        ({"fields": {"response_time": "1"}}, "fields.response_time"),
        ({"fields": {"request_size": 0.5}}, "fields.request_size"),
        ({"time": datetime(2026, 3, 14, 12)}, "time"),  # noqa: DTZ001  # the mistake
        ({"time": "2026-03-14T12:00:00Z"}, "time"),
    ],
)
def test_what_is_not_declared_is_refused(changes: dict[str, Any], field: str) -> None:
    """The field that is wrong is named."""
    with pytest.raises(InvalidError) as caught:
        _point(**changes)
    assert caught.value.field == field
    str(caught.value).encode()


def test_the_sources_measurements_are_all_there() -> None:
    """Seven of the schema document, two more of the Herald one."""
    assert [one.name for one in MEASUREMENTS] == [
        "system_metrics",
        "api_metrics",
        "db_metrics",
        "cache_metrics",
        "user_metrics",
        "revenue_metrics",
        "prediction_quality",
        "player_performance",
        "user_events",
    ]


def test_declared_names_are_safe_in_every_language() -> None:
    """They become text of Flux and of line protocol."""
    for one in MEASUREMENTS:
        names = [one.name, *(tag.name for tag in one.tags), *(field.name for field in one.fields)]
        assert len(set(names)) == len(names)
        for name in names:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
