"""What is PostgreSQL's own: partitions that age, indexes that are used, series that are shared."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from stores.domain.measurements import MAX_TAG_LENGTH, Point
from stores.domain.series_query import Aggregate, Resolution, SeriesQuery
from stores.downsampling import floor
from stores.postgres import time_series
from stores.postgres.measurement_sql import fold_sql, query_sql
from stores.postgres.pool import Pool, open_pool
from stores.postgres.time_series import PostgresTimeSeries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=one) for one in (1, 60, 3600, 86400))


@pytest.fixture
async def pool(embedded_server: str) -> AsyncIterator[Pool]:
    """A pool on a fresh database with the schema."""
    name = f"t{uuid4().hex}"
    admin = await asyncpg.connect(embedded_server)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    await admin.close()
    pool = await open_pool(embedded_server.replace("/postgres?", f"/{name}?"), 4)
    yield pool
    await pool.close()


class Clock:
    """Tells the time that it is set to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time that was set."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Noon, until it is set."""
    return Clock(NOON)


@pytest.fixture
async def store(pool: Pool, clock: Clock) -> AsyncIterator[PostgresTimeSeries]:
    """A store whose partitions are made."""
    store = PostgresTimeSeries(pool, clock)
    await store.ensure(NOON)
    yield store
    await store.close()


def _point(time: datetime, operation: str = "get") -> Point:
    return Point("cache_metrics", {"cache_type": "redis", "operation": operation}, {"latency": 1.0}, time)


async def _value(pool: Pool, statement: str, *arguments: Any) -> Any:
    async with pool.transaction() as connection:
        return await connection.fetchval(statement, *arguments)


async def _partitions(pool: Pool) -> list[str]:
    statement = "SELECT array_agg(inhrelid::regclass::text ORDER BY 1) FROM pg_inherits WHERE inhparent = $1::regclass"
    names = await _value(pool, statement, "measurements_high")
    return [name.removeprefix("measurements_high_") for name in names]


async def test_everything_ages(pool: Pool, store: PostgresTimeSeries, clock: Clock) -> None:
    """Points go after 7 days, with their partitions; minutes after 90 days, hours after 2 years."""
    kept = {}
    for age in (0, 8, 91, 731):
        clock.now = NOON + age * DAY
        await store.write([_point(clock.now - HOUR)])
        await store.flush()
        await store.downsample(clock.now)
        tables = ("measurements_high", "measurements_medium", "measurements_low")
        kept[age] = [await _value(pool, f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608
    assert kept == {0: [1, 1, 1], 8: [1, 2, 2], 91: [1, 2, 3], 731: [1, 1, 3]}
    days = [name for name in await _partitions(pool) if name != "default"]
    assert days[0] >= f"{NOON + 723 * DAY:%Y_%m_%d}"


async def test_points_without_a_partition_find_theirs(pool: Pool, store: PostgresTimeSeries) -> None:
    """A point of days ago waits in the default partition and is moved by the next job; a query sees it all along."""
    old = NOON - 5 * DAY
    await store.write([_point(old)])
    await store.flush()
    query = SeriesQuery(measurement="cache_metrics", fields=("latency",), since=old, until=old + MINUTE, every=MINUTE)
    assert f"{old:%Y_%m_%d}" not in await _partitions(pool)
    assert len(await store.query(query)) == 1
    await store.downsample(NOON)
    assert f"{old:%Y_%m_%d}" in await _partitions(pool)
    assert await _value(pool, "SELECT count(*) FROM measurements_high_default") == 0
    assert len(await store.query(query)) == 1


async def test_many_processes_share_new_series(pool: Pool) -> None:
    """Ten that meet the same new series at once give it one id, whatever text is in its tags."""
    stores = [PostgresTimeSeries(pool, lambda: NOON) for _ in range(10)]
    wide = ["🎮" * MAX_TAG_LENGTH, 'quo"te', *(f"op{number}" for number in range(50))]
    for store in stores:
        await store.write([_point(NOON, operation) for operation in wide])
    await asyncio.gather(*(store.flush() for store in stores))
    assert await _value(pool, "SELECT count(*) FROM measurement_series") == len(wide)
    assert await _value(pool, "SELECT count(*) FROM measurements_high") == len(wide)
    await asyncio.gather(*(store.close() for store in stores))


async def test_known_series_are_bounded(monkeypatch: pytest.MonkeyPatch, pool: Pool, store: PostgresTimeSeries) -> None:
    """What is forgotten is looked up again, under the same id."""
    monkeypatch.setattr(time_series, "MAX_KNOWN_SERIES", 3)
    for number in range(20):
        await store.write([_point(NOON - number * SECOND, f"op{number % 10}")])
        await store.flush()
    assert await _value(pool, "SELECT count(*) FROM measurement_series") == 10
    assert await _value(pool, "SELECT count(*) FROM measurements_high") == 20


async def test_indexes_and_partitions_are_used(pool: Pool, store: PostgresTimeSeries) -> None:
    """A query of one series and day reads that day by the key; a fold of an hour reads by time; the newest is found."""
    for day in range(5):
        await store.ensure(NOON - day * DAY)
    async with pool.transaction() as connection:
        await connection.execute(
            "INSERT INTO measurement_series (measurement, field, tags) SELECT 'cache_metrics', 'latency',"
            " jsonb_build_object('cache_type', 'redis', 'operation', number::text)"
            " FROM generate_series(1, 100) AS number"
        )
        for table, value in (("high", "1"), ("medium", "1, 1, 1, 1, 1")):
            await connection.execute(
                f"INSERT INTO measurements_{table} SELECT series_id, time, {value}"  # noqa: S608  # constants
                " FROM generate_series($1::timestamptz, $2, '5 minutes') AS time, measurement_series",
                NOON - 4 * DAY,
                NOON,
            )
        await connection.execute("ANALYZE measurements_high, measurements_medium, measurement_series")
    query = SeriesQuery(
        measurement="cache_metrics",
        fields=("latency",),
        since=NOON - HOUR,
        until=NOON,
        every=MINUTE,
        tags={"operation": "7"},
        aggregate=Aggregate.PERCENTILE,
        percentile=99.0,
    )
    statement, arguments = query_sql(query)
    plan = await _plan(pool, statement, *arguments)
    assert f"measurements_high_{NOON:%Y_%m_%d}_pkey" in plan
    assert f"measurements_high_{NOON - DAY:%Y_%m_%d}" not in plan
    since = floor(NOON - HOUR, HOUR)
    plan = await _plan(pool, fold_sql(Resolution.MEDIUM), Resolution.MEDIUM.step, since, NOON)
    assert f"measurements_high_{NOON - DAY:%Y_%m_%d}" not in plan
    plan = await _plan(pool, fold_sql(Resolution.LOW), Resolution.LOW.step, since, NOON)
    assert "measurements_medium_time" in plan
    assert "measurements_medium_time" in await _plan(pool, "SELECT max(time) FROM measurements_medium")


async def _plan(pool: Pool, statement: str, *arguments: Any) -> str:
    async with pool.transaction() as connection:
        rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
    return "\n".join(row[0] for row in rows)
