"""Measurements over time: written in bulk, read in windows, thinned out as they age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from stores.domain.measurements import Point
    from stores.domain.series_query import SeriesQuery, Window


class TimeSeries(Protocol):
    """Points by series (measurement and tags) and time, in three resolutions: 7 days of points, 90 of minutes, 2 years
    of hours.

    Points wait in this process and go to the server by size or age. When the process dies, those that no `flush` had
    acknowledged may be lost: about a second's worth while the server answers, at most the whole queue while it does
    not. What was acknowledged survives the kill of the server. A point written again is there once, and a batch whose
    outcome is unknown is simply repeated. Belongs to one event loop; any number of callers at once.
    """

    async def ensure(self, now: datetime) -> None:
        """Make what is missing: buckets with their retention, tables, tasks. Idempotent, safe from many at once."""
        ...

    async def write(self, points: Sequence[Point]) -> None:
        """Queue the points, all or none, waiting while the queue is full.

        Raises InvalidError for a time that is past the points' retention or over an hour ahead, for a tag with too many
        values, or for more points than the queue can ever hold; OverloadedError when the queue stays full.
        """
        ...

    async def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until every queued point is durable on the server. Raises TransientError after the timeout.

        Raises InvalidError when the server refused points since the last flush: they are gone, the others are durable.
        """
        ...

    async def query(self, query: SeriesQuery) -> list[Window]:
        """The windows that hold points, by start, then tags. Sees what is durable.

        Every server gives the same windows; means and sums may differ in their last bit. Raises InvalidError when there
        are more rows than a caller should hold.
        """
        ...

    async def downsample(self, now: datetime) -> None:
        """Bring minutes and hours up to the last whole one before ``now``, and drop what is past its retention.

        Goes on where the last call ended, or 7 days back; everything of the last hour is folded again, so a point that
        comes up to an hour late is counted. Repeating changes nothing; a call that was cut short is made good by the
        next. Call it once a minute where the server has no tasks of its own, and after outages and daily anywhere. What
        is past its retention is gone a day later at most.
        """
        ...

    async def close(self) -> None:
        """Send what waits, then stop; the connection stays open.

        Raises TransientError when points were given up, InvalidError as `flush` does.
        """
        ...
