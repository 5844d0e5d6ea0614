"""What is asked of time series: how fine, over which windows, folded how."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.domain.measurements import check_tags, in_utc, measurement
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

MAX_WINDOWS = 10_000
MAX_ROWS = 100_000  # windows times groups; about 50 MB in memory


class Resolution(StrEnum):
    """The three stages of a point's life. Source: enterprise-architecture-design.md, Time-Series Database."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def step(self) -> timedelta:
        """The length of its windows; zero where points are kept as they came."""
        return {"high": timedelta(0), "medium": timedelta(minutes=1), "low": timedelta(hours=1)}[self]

    @property
    def retention(self) -> timedelta:
        """How long it is kept."""
        return {"high": timedelta(days=7), "medium": timedelta(days=90), "low": timedelta(days=730)}[self]

    @property
    def source(self) -> Resolution:
        """What it is made from."""
        return Resolution.MEDIUM if self is Resolution.LOW else Resolution.HIGH


class Statistic(StrEnum):
    """What a window of the coarser resolutions keeps of each field: enough to fold windows without an error."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    LAST = "last"

    @property
    def fold(self) -> str:
        """How those of several windows become one."""
        return "sum" if self is Statistic.COUNT else self.value


class Aggregate(StrEnum):
    """How the points of a window become one number."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    LAST = "last"  # of several series with points at the same moment, any one's
    PERCENTILE = "percentile"  # by nearest rank: always one of the points


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuery:
    """The windows of ``since`` <= time < ``until``, each ``every`` long and beginning at multiples of it since 1970.

    ``tags`` choose series, ``by`` keeps series apart that differ in these tags; all others are folded together.
    ``percentile`` (above 0, up to 100) goes with that aggregate, which only ``Resolution.HIGH`` can answer.
    """

    measurement: str
    fields: tuple[str, ...]
    since: datetime
    until: datetime
    every: timedelta
    aggregate: Aggregate = Aggregate.MEAN
    percentile: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    resolution: Resolution = Resolution.HIGH

    def __post_init__(self) -> None:
        self._check_names()
        object.__setattr__(self, "since", in_utc(self.since, "since"))
        object.__setattr__(self, "until", in_utc(self.until, "until"))
        self._check_windows()
        if (self.aggregate is Aggregate.PERCENTILE) != (self.percentile is not None):
            raise InvalidError("percentile goes with the aggregate percentile, and only with it", "percentile")
        if self.percentile is None:
            return
        if not 0 < self.percentile <= 100:
            raise InvalidError("percentile must be above 0 and at most 100", "percentile")
        if self.resolution is not Resolution.HIGH:
            raise InvalidError("percentiles are only known of the high resolution", "resolution")

    def _check_names(self) -> None:
        declared = measurement(self.measurement)
        check_tags(declared, self.tags)
        for name in self.by:
            declared.tag(name)
        if not self.fields:
            raise InvalidError("ask for at least one field", "fields")
        for name in self.fields:
            declared.field(name)

    def _check_windows(self) -> None:
        step = self.resolution.step or timedelta(seconds=1)
        if self.every < step or self.every % step:
            raise InvalidError(f"every must be a multiple of {step}", "every")
        if not self.since < self.until:
            raise InvalidError("since must be before until", "since")
        if (self.until - self.since) / self.every > MAX_WINDOWS:
            raise InvalidError(f"these are more than {MAX_WINDOWS} windows; ask for longer ones", "every")


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one group. ``values`` holds the fields that have points in it; empty windows do not appear."""

    start: datetime
    tags: Mapping[str, str]
    values: Mapping[str, float]


def finest_resolution(since: datetime, now: datetime) -> Resolution:
    """The finest resolution that still holds ``since``."""
    for resolution in Resolution:
        if now - since <= resolution.retention:
            return resolution
    return Resolution.LOW


def check_rows(count: int) -> None:
    """Raise InvalidError for more rows than a caller should hold in memory."""
    if count > MAX_ROWS:
        raise InvalidError(f"these are more than {MAX_ROWS} values; ask for less time or fewer groups", "every")


def windows(rows: Iterable[tuple[datetime, tuple[tuple[str, str], ...], str, float]]) -> list[Window]:
    """The windows of rows of start, tags, field and value, by start, then tags. Raises InvalidError for too many."""
    found: dict[tuple[datetime, tuple[tuple[str, str], ...]], dict[str, float]] = {}
    for count, (start, tags, name, value) in enumerate(rows, start=1):
        check_rows(count)
        found.setdefault((start, tags), {})[name] = value
    return [
        Window(start, dict(tags), values) for (start, tags), values in sorted(found.items(), key=lambda one: one[0])
    ]
