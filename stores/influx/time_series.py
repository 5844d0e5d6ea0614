"""Time series in InfluxDB 2: three buckets, and tasks on the server that fold each into the next."""

from __future__ import annotations

import re
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from influxdb_client.domain.write_precision import WritePrecision

from stores.clock import utc_now
from stores.domain.series_query import Resolution, check_rows, windows
from stores.downsampling import EPOCH, floor, spans
from stores.errors import InvalidError
from stores.influx.buckets import ensure_bucket, ensure_task
from stores.influx.connection import translated
from stores.influx.flux import fold_flux, query_flux, statistics_of, task_flux
from stores.point_queue import PointQueue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from datetime import datetime

    from stores.domain.measurements import Point
    from stores.domain.series_query import SeriesQuery, Window
    from stores.influx.connection import InfluxConnection

PREFIX = re.compile(r"[a-z][a-z0-9]{0,40}")  # becomes text of Flux
REACHED = "downsampled"  # the measurement of a target bucket that says up to where it was folded by `downsample`
_ESCAPED = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


class InfluxTimeSeries:
    """`TimeSeries` in the buckets ``<prefix>_high``, ``_medium`` and ``_low`` and the tasks of the latter two's names.

    The tasks fold every minute and hour while the server runs, but do not make up for the time in which it did not:
    `downsample` does.
    """

    def __init__(
        self, connection: InfluxConnection, prefix: str = "riftline", clock: Callable[[], datetime] = utc_now
    ) -> None:
        if not PREFIX.fullmatch(prefix):
            raise InvalidError("prefix must be lower-case letters and digits", "prefix")
        self._connection = connection
        self._buckets = {resolution: f"{prefix}_{resolution}" for resolution in Resolution}
        self._queue = PointQueue(self._deliver, clock)

    async def ensure(self, now: datetime) -> None:  # noqa: ARG002  # of the role; retention is the server's here
        """As `TimeSeries.ensure`. A bucket's retention and a task's text are set right where they differ."""
        for resolution, bucket in self._buckets.items():
            await ensure_bucket(self._connection, bucket, resolution.retention)
        for resolution in (Resolution.MEDIUM, Resolution.LOW):
            name, source = self._buckets[resolution], self._buckets[resolution.source]
            await ensure_task(self._connection, name, task_flux(name, resolution, source, name))

    async def write(self, points: Sequence[Point]) -> None:
        """As `TimeSeries.write`."""
        await self._queue.add(points)

    async def flush(self, timeout_s: float = 30.0) -> None:
        """As `TimeSeries.flush`."""
        await self._queue.flush(timeout_s)

    async def query(self, query: SeriesQuery) -> list[Window]:
        """As `TimeSeries.query`."""
        script, values = query_flux(query, self._buckets[query.resolution])
        statistics = statistics_of(query)
        parts: dict[tuple[datetime, tuple[tuple[str, str], ...], str], float] = {}
        async with aclosing(self._rows(script, values)) as rows:
            async for row in rows:
                start = floor(row["_time"], query.every)  # Flux cuts the first window at ``since``
                parts[start, tuple((name, row[name]) for name in query.by), row["_field"]] = float(row["_value"])
                check_rows(len(parts) // max(1, len(statistics)))
        if not statistics:
            return windows((start, tags, name, value) for (start, tags, name), value in parts.items())
        first, *others = (f"_{statistic}" for statistic in statistics)
        return windows(
            (start, tags, name, value / parts[start, tags, name + others[0]] if others else value)  # a sum by its count
            for (start, tags, full_name), value in parts.items()
            if full_name.endswith(first)
            for name in [full_name.removesuffix(first)]
        )

    async def downsample(self, now: datetime) -> None:
        """As `TimeSeries.downsample`; what is past its retention the server drops by itself."""
        for resolution in (Resolution.MEDIUM, Resolution.LOW):
            target = self._buckets[resolution]
            script = fold_flux(resolution, self._buckets[resolution.source], target)
            for since, until in spans(resolution, await self._reached(target, resolution, now), now):
                async for _ in self._rows(script, {"since": since, "until": until}):
                    pass
                await self._write(target, f"{REACHED} until=1 {_micros(until)}".encode())

    async def close(self) -> None:
        """As `TimeSeries.close`."""
        await self._queue.close()

    async def _reached(self, bucket: str, resolution: Resolution, now: datetime) -> datetime | None:
        script = f"""from(bucket: bucket) |> range(start: since)
            |> filter(fn: (r) => r._measurement == "{REACHED}") |> last()"""
        found = None
        async for row in self._rows(script, {"bucket": bucket, "since": now - resolution.retention}):
            found = row["_time"]
        return found

    async def _rows(self, script: str, values: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        with translated(self._connection.address):
            stream = await self._connection.client.query_api().query_stream(script, params=values)
            async with aclosing(stream) as records:
                async for record in records:
                    yield record.values

    async def _deliver(self, points: list[Point]) -> None:
        await self._write(self._buckets[Resolution.HIGH], b"\n".join(_line(point) for point in points))

    async def _write(self, bucket: str, lines: bytes) -> None:
        write = self._connection.client.write_api().write
        with translated(self._connection.address):
            await write(bucket, record=lines, write_precision=WritePrecision.US)  # type: ignore[arg-type]  # it is a text


def _line(point: Point) -> bytes:
    """Line protocol. The client's own encoder is not used: it drops what it cannot write without a word."""
    tags = ",".join(f"{name}={value.translate(_ESCAPED)}" for name, value in sorted(point.tags.items()))
    fields = ",".join(f"{name}={number!r}" for name, number in point.fields.items())
    return f"{point.measurement},{tags} {fields} {_micros(point.time)}".encode()


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
