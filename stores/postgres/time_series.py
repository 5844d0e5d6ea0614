"""Time series in PostgreSQL, for whoever runs no InfluxDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from stores.clock import utc_now
from stores.domain.series_query import Resolution, windows
from stores.downsampling import spans
from stores.point_queue import PointQueue
from stores.postgres.measurement_sql import ADD_SERIES, FIND_SERIES, WRITE, fold_sql, query_sql
from stores.postgres.partitions import PartitionedTable, Unit, drop_expired, ensure_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from stores.domain.measurements import Point
    from stores.domain.series_query import SeriesQuery, Window
    from stores.postgres.pool import Pool

    Series = tuple[str, str, str]

FOLD_LOCK = 0x52494657  # one at a time, in whatever process
POINTS = PartitionedTable("measurements_high", "time", Resolution.HIGH.retention, Unit.DAY)
MAX_KNOWN_SERIES = 200_000  # about 60 MB


class PostgresTimeSeries:
    """`TimeSeries` in measurement_series and measurements_high, _medium and _low, which the migrations make."""

    def __init__(self, pool: Pool, clock: Callable[[], datetime] = utc_now) -> None:
        self._pool = pool
        self._queue = PointQueue(self._deliver, clock)
        self._series: dict[Series, int] = {}

    async def ensure(self, now: datetime) -> None:
        """As `TimeSeries.ensure`: the partitions of these days. Points of other days wait in the default partition."""
        await ensure_partitions(self._pool, now, (POINTS,))

    async def write(self, points: Sequence[Point]) -> None:
        """As `TimeSeries.write`."""
        await self._queue.add(points)

    async def flush(self, timeout_s: float = 30.0) -> None:
        """As `TimeSeries.flush`."""
        await self._queue.flush(timeout_s)

    async def query(self, query: SeriesQuery) -> list[Window]:
        """As `TimeSeries.query`."""
        statement, arguments = query_sql(query)
        async with self._pool.transaction(readonly=True) as connection:
            rows = await connection.fetch(statement, *arguments)
        return windows(
            (row["start"], tuple((name, row["by"][name]) for name in query.by), row["field"], row["value"])
            for row in rows
        )

    async def downsample(self, now: datetime) -> None:
        """As `TimeSeries.downsample`. Each stretch is a transaction of its own; jobs at once queue up."""
        await self.ensure(now)
        for resolution in (Resolution.MEDIUM, Resolution.LOW):
            async with self._pool.transaction(readonly=True) as connection:
                reached = await connection.fetchval(f"SELECT max(time) FROM measurements_{resolution}")  # noqa: S608
            for since, until in spans(resolution, reached, now):
                async with self._pool.transaction() as connection:
                    await connection.execute("SELECT pg_advisory_xact_lock($1)", FOLD_LOCK)
                    await connection.execute(fold_sql(resolution), resolution.step, since, until)
        await self._expire(now)

    async def close(self) -> None:
        """As `TimeSeries.close`."""
        await self._queue.close()

    async def _expire(self, now: datetime) -> None:
        await drop_expired(self._pool, now, (POINTS,))
        for resolution in (Resolution.MEDIUM, Resolution.LOW):
            async with self._pool.transaction() as connection:
                statement = f"DELETE FROM measurements_{resolution} WHERE time < $1"  # noqa: S608  # an enum's value
                await connection.execute(statement, now - resolution.retention)

    async def _deliver(self, points: list[Point]) -> None:
        given = [
            ((point.measurement, name, tags), point.time, number)
            for point, tags in ((point, orjson.dumps(point.tags).decode()) for point in points)
            for name, number in point.fields.items()
        ]
        await self._learn({series for series, _, _ in given})
        rows = {(self._series[series], time): number for series, time, number in given}  # the later one stays
        ordered = sorted(rows.items())  # the same order in every process: no deadlock
        async with self._pool.transaction() as connection:
            await connection.execute(
                WRITE,
                [series_id for (series_id, _), _ in ordered],
                [time for (_, time), _ in ordered],
                [number for _, number in ordered],
            )

    async def _learn(self, series: Collection[Series]) -> None:
        """Have an id for each of these series. They are committed before a point names them."""
        if len(self._series) > MAX_KNOWN_SERIES:
            self._series.clear()
        new = [one for one in series if one not in self._series]
        if not new:
            return
        columns = [list(column) for column in zip(*new, strict=True)]
        async with self._pool.transaction() as connection:
            await connection.execute(ADD_SERIES, *columns)
            rows = await connection.fetch(FIND_SERIES, *columns)
        self._series |= {one: row["series_id"] for one, row in zip(new, rows, strict=True)}
