"""Points on their way to a server: checked against the clock, batched, and what was refused is told at the flush."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from stores.batching import Batcher
from stores.domain.measurements import measurement
from stores.domain.series_query import Resolution
from stores.errors import InvalidError, OutcomeUnknownError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import date, datetime

    from stores.domain.measurements import Point

MAX_BATCH = 2000  # about 20 ms of either server
MAX_AGE_S = 1.0
MAX_QUEUED = 20_000  # about 20 MB; seconds of full load
ADD_TIMEOUT_S = 5.0
MOST_AHEAD = timedelta(hours=1)  # a clock that is wrong by more would hide its points from every query


class PointQueue:
    """A `Batcher` of points that are repeated until they are durable or refused: writing a point twice is once."""

    def __init__(self, deliver: Callable[[list[Point]], Awaitable[None]], clock: Callable[[], datetime]) -> None:
        self._deliver = deliver
        self._clock = clock
        self._values = TagValues()
        self._refused = 0
        self._why: Exception | None = None
        self._batcher: Batcher[Point] = Batcher(
            self._deliver_idempotently,
            self._note_refused,
            max_batch=MAX_BATCH,
            max_age_s=MAX_AGE_S,
            max_queued=MAX_QUEUED,
            add_timeout_s=ADD_TIMEOUT_S,
        )

    async def add(self, points: Sequence[Point]) -> None:
        """As `TimeSeries.write`; more points than the queue can ever hold are invalid."""
        if len(points) > MAX_QUEUED:
            raise InvalidError(f"{len(points)} points at once; give at most {MAX_QUEUED}", "points")
        now = self._clock()
        for point in points:
            _check_time(point.time, now)
        for point in points:
            self._values.admit(point, now.date())
        await self._batcher.add(points)

    async def flush(self, timeout_s: float) -> None:
        """As `TimeSeries.flush`."""
        await self._batcher.flush(timeout_s)
        self._tell_refused()

    async def close(self) -> None:
        """As `TimeSeries.close`."""
        await self._batcher.close()
        self._tell_refused()

    async def _deliver_idempotently(self, batch: list[Point]) -> None:
        try:
            await self._deliver(batch)
        except OutcomeUnknownError as error:
            raise TransientError(*error.args) from error

    def _note_refused(self, batch: list[Point], error: Exception) -> None:
        self._refused += len(batch)
        self._why = error

    def _tell_refused(self) -> None:
        if self._why is not None:
            refused, why, self._refused, self._why = self._refused, self._why, 0, None
            raise InvalidError(f"the server refused points of a batch of {refused}: {why}") from why


class TagValues:
    """Which values each tag was seen with today (UTC), so that an id in a tag cannot flood a server.

    Counts this process's points only: the bound of a server is that of one writer times their number.
    """

    def __init__(self) -> None:
        self._day: date | None = None
        self._seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def admit(self, point: Point, day: date) -> None:
        """Count the point's tags. Raises InvalidError naming the tag that has too many values."""
        if day != self._day:
            self._day = day
            self._seen.clear()
        for tag in measurement(point.measurement).tags:
            seen, value = self._seen[point.measurement, tag.name], point.tags[tag.name]
            if value not in seen and len(seen) >= tag.max_values:
                raise InvalidError(
                    f"tags.{tag.name} of {point.measurement} had {tag.max_values} values today; is there an id in it?",
                    f"tags.{tag.name}",
                )
            seen.add(value)


def _check_time(time: datetime, now: datetime) -> None:
    if not now - Resolution.HIGH.retention < time <= now + MOST_AHEAD:
        kept = Resolution.HIGH.retention.days
        raise InvalidError(f"time must be of the last {kept} days and at most {MOST_AHEAD} ahead; it is {time}", "time")
