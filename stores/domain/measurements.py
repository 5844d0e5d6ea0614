"""What is measured over time: every measurement with its tags and fields, and one point of it.

Source: database-schema-design.md (InfluxDB Time-Series Schema) and herald-data-architecture.fr.md. ``api_metrics`` is
in both, so it has the fields of both. Numbers are kept as 64-bit floats everywhere, as in the sources' line protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TAG_LENGTH = 128
MAX_NUMBER = 2**53  # whole numbers beyond are not exact as floats, and sums of far larger ones overflow


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that points are found and grouped by. More than ``max_values`` of it a day are refused."""

    name: str
    max_values: int = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """A number that is measured. ``whole``: it counts things."""

    name: str
    unit: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured together. A point names every tag and at least one field."""

    name: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]

    def tag(self, name: str) -> Tag:
        """A tag by name. Raises InvalidError naming those that there are."""
        return _named(self.tags, name, f"tag of {self.name}", "tags")

    def field(self, name: str) -> Field:
        """A field by name. Raises InvalidError naming those that there are."""
        return _named(self.fields, name, f"field of {self.name}", "fields")


T = TypeVar("T", Tag, Field, Measurement)

_USER = Tag("user_id", max_values=100_000)
_TIER, _REGION = Tag("subscription_tier"), Tag("region")

MEASUREMENTS = (
    Measurement(
        "system_metrics",
        (Tag("service"), Tag("pod_name"), Tag("node")),
        (Field("cpu_usage", "%"), Field("memory_usage", "%"), Field("disk_usage", "%")),
    ),
    Measurement(
        "api_metrics",
        (Tag("endpoint"), Tag("method"), Tag("status_code"), Tag("service")),
        (
            Field("response_time", "ms"),
            *(Field(f"response_time_p{percent}", "ms") for percent in (50, 95, 99)),  # of our own
            Field("request_size", "bytes", whole=True),
            Field("response_size", "bytes", whole=True),
            Field("throughput", "requests/s"),
            Field("error_rate", "%"),
        ),
    ),
    Measurement(
        "db_metrics",
        (Tag("database"), Tag("operation"), Tag("table")),
        (
            Field("query_time", "ms"),
            Field("rows_affected", "rows", whole=True),
            Field("connections_active", "connections", whole=True),
        ),
    ),
    Measurement(
        "cache_metrics",
        (Tag("cache_type"), Tag("operation")),
        (Field("hit_rate", "%"), Field("miss_rate", "%"), Field("latency", "ms")),
    ),
    Measurement(
        "user_metrics",
        (_TIER, _REGION, Tag("device_type")),
        (
            Field("session_duration", "s"),
            Field("pages_per_session", "pages"),
            Field("predictions_per_session", "predictions"),
        ),
    ),
    Measurement(
        "revenue_metrics",
        (_TIER, Tag("payment_method"), _REGION),
        (Field("amount", "currency"), Field("conversion_rate", "%")),
    ),
    Measurement(
        "prediction_quality",
        (Tag("model_version"), Tag("prop_type"), Tag("tournament")),
        (Field("accuracy", "%"), Field("precision", "%"), Field("recall", "%"), Field("f1_score", "%")),
    ),
    Measurement(
        "player_performance",
        (_USER, Tag("champion_id"), Tag("queue_type"), _REGION),
        (
            Field("kda", "ratio"),
            Field("cs_per_min", "creeps/min"),
            Field("gold_per_min", "gold/min"),
            Field("damage_share", "%"),
        ),
    ),
    Measurement(
        "user_events",
        (_USER, Tag("event_type"), Tag("platform")),
        (Field("duration", "s"), Field("success_rate", "%"), Field("engagement_score", "score")),
    ),
)


def measurement(name: str) -> Measurement:
    """A measurement by name. Raises InvalidError naming those that there are."""
    return _named(MEASUREMENTS, name, "measurement", "measurement")


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of one series at one moment. Two points of one series and time are one: the later field stays.

    Raises InvalidError for whatever is not declared or cannot be kept by every server. ``tags`` and ``fields`` are
    copied.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, float]
    time: datetime

    def __post_init__(self) -> None:
        declared = measurement(self.measurement)
        check_tags(declared, self.tags)
        missing = [tag.name for tag in declared.tags if tag.name not in self.tags]
        if missing:
            raise InvalidError(f"a point of {declared.name} names every tag; give {', '.join(missing)}", "tags")
        if not self.fields:
            names = ", ".join(field.name for field in declared.fields)
            raise InvalidError(f"a point of {declared.name} has at least one field; give one of {names}", "fields")
        for name, number in self.fields.items():
            _check_number(declared.field(name), number)
        object.__setattr__(self, "time", in_utc(self.time, "time"))
        object.__setattr__(self, "tags", {tag.name: self.tags[tag.name] for tag in declared.tags})
        object.__setattr__(self, "fields", {name: float(number) for name, number in self.fields.items()})


def check_tags(declared: Measurement, tags: Mapping[str, str]) -> None:
    """Raise InvalidError for a tag that is not declared or a value that some server cannot keep as it is."""
    for name, value in tags.items():
        field = f"tags.{declared.tag(name).name}"
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TAG_LENGTH:
            raise InvalidError(f"{field} must be a text of 1 to {MAX_TAG_LENGTH} characters", field)
        if not value.isprintable() or "\\" in value:  # line protocol has no escape for either
            raise InvalidError(f"{field} must be printable text without a backslash", field)


def in_utc(moment: datetime, field: str) -> datetime:
    """The moment in UTC. Raises InvalidError when it does not say where on Earth it is."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidError(f"{field} must be a time with a zone; give datetime(..., tzinfo=UTC)", field)
    return moment.astimezone(UTC)


def _check_number(field: Field, number: float) -> None:
    path = f"fields.{field.name}"
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= MAX_NUMBER:  # also NaN
        raise InvalidError(f"{path} must be a number of at most 2**53", path)
    if field.whole and number != int(number):
        raise InvalidError(f"{path} counts {field.unit} and must be a whole number", path)


def _named(known: tuple[T, ...], name: str, what: str, path: str) -> T:
    for one in known:
        if one.name == name:
            return one
    raise InvalidError(f"{str(name)[:50]!r} is no {what}; there are {', '.join(one.name for one in known)}", path)
