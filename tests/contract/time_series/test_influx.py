"""What is InfluxDB's own: its buckets, its tasks, its retention, and what it says to wrong settings."""

# mypy: allow-untyped-calls
# The client has types in some of its modules only.

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from influxdb_client.service.buckets_service import BucketsService
from influxdb_client.service.tasks_service import TasksService

from stores.clock import utc_now
from stores.domain.measurements import Point
from stores.domain.series_query import Aggregate, Resolution, SeriesQuery
from stores.downsampling import floor
from stores.errors import InvalidError, NotFoundError, TransientError
from stores.influx.buckets import ensure_bucket, ensure_task
from stores.influx.connection import InfluxConnection, open_influx
from stores.influx.time_series import InfluxTimeSeries
from stores.settings import InfluxSettings
from tests.servers.influxdb import ORG, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WITHIN_S = 30.0


@pytest.fixture
async def connection(influx_server: str) -> AsyncIterator[InfluxConnection]:
    """An open connection."""
    connection = await open_influx(InfluxSettings(influx_server, TOKEN, ORG))
    yield connection
    await connection.close()


@pytest.fixture
def prefix() -> str:
    """Of the test's own buckets."""
    return f"t{uuid4().hex}"


@pytest.fixture
async def series(connection: InfluxConnection, prefix: str) -> AsyncIterator[InfluxTimeSeries]:
    """A store whose buckets and tasks are made."""
    series = InfluxTimeSeries(connection, prefix)
    await series.ensure(utc_now())
    yield series
    await series.close()


def _point(time: datetime) -> Point:
    return Point("cache_metrics", {"cache_type": "redis", "operation": "get"}, {"latency": 1.5}, time)


def _counts(since: datetime, resolution: Resolution = Resolution.HIGH, every: timedelta = MINUTE) -> SeriesQuery:
    return SeriesQuery(
        measurement="cache_metrics",
        fields=("latency",),
        since=since,
        until=since + DAY,
        every=every,
        aggregate=Aggregate.COUNT,
        resolution=resolution,
    )


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110  # a server's state has no event
            await asyncio.sleep(0.05)


async def _buckets(connection: InfluxConnection, prefix: str) -> dict[str, Any]:
    found = await BucketsService(connection.client.api_client).get_buckets_async(org_id=connection.org_id, limit=100)
    return {bucket.name: bucket for bucket in found.buckets if bucket.name.startswith(prefix)}


async def _tasks(connection: InfluxConnection, prefix: str) -> list[Any]:
    found = await TasksService(connection.client.api_client).get_tasks_async(org_id=connection.org_id, limit=500)
    return [task for task in found.tasks if task.name.startswith(prefix)]


async def test_three_buckets_with_the_retention_of_the_sources(
    connection: InfluxConnection, prefix: str, series: InfluxTimeSeries
) -> None:
    """7 days, 90 days, 2 years; a retention that was changed by hand is set right."""
    expected = {f"{prefix}_high": 7, f"{prefix}_medium": 90, f"{prefix}_low": 730}
    await ensure_bucket(connection, f"{prefix}_low", 3 * DAY)
    assert (await _buckets(connection, prefix))[f"{prefix}_low"].retention_rules[0].every_seconds == 3 * 86400
    await series.ensure(utc_now())
    found = await _buckets(connection, prefix)
    assert {name: bucket.retention_rules[0].every_seconds // 86400 for name, bucket in found.items()} == expected


async def test_many_processes_make_one_of_each(connection: InfluxConnection, prefix: str) -> None:
    """Five that come up at once leave three buckets and two tasks."""
    stores = [InfluxTimeSeries(connection, prefix) for _ in range(5)]
    await asyncio.gather(*(store.ensure(utc_now()) for store in stores))
    await stores[0].ensure(utc_now())
    assert len(await _buckets(connection, prefix)) == 3
    assert sorted(task.name for task in await _tasks(connection, prefix)) == [f"{prefix}_low", f"{prefix}_medium"]


async def test_a_changed_task_is_set_right(connection: InfluxConnection, prefix: str, series: InfluxTimeSeries) -> None:
    """The script of this version replaces the one that is there."""
    before = {task.name: task.flux for task in await _tasks(connection, prefix)}
    name = f"{prefix}_medium"
    other = f'option task = {{name: "{name}", every: 1h}}\nfrom(bucket: "{prefix}_high") |> range(start: -1h)'
    await ensure_task(connection, name, other)
    assert {task.name: task.flux for task in await _tasks(connection, prefix)} != before
    await series.ensure(utc_now())
    assert {task.name: task.flux for task in await _tasks(connection, prefix)} == before


async def test_the_servers_own_tasks_fold(connection: InfluxConnection, prefix: str, series: InfluxTimeSeries) -> None:
    """Run by the server, they leave the same windows as `downsample`: the last minutes, and the hours made of them."""
    since = floor(utc_now(), HOUR) - HOUR
    await series.write([_point(since + number * timedelta(seconds=20)) for number in range(6 * 60)])
    await series.flush()
    tasks = {task.name: task.id for task in await _tasks(connection, prefix)}
    queries = [_counts(since, Resolution.MEDIUM, MINUTE), _counts(since, Resolution.LOW, HOUR)]
    by_task = []
    for name, query in zip(("medium", "low"), queries, strict=True):
        await _run(connection, tasks[f"{prefix}_{name}"])
        by_task.append(await series.query(query))
    assert by_task[0]
    assert {window.values["latency"] for window in by_task[0]} == {3.0}
    assert [window.start for window in by_task[1]] == [since]
    await series.downsample(utc_now())
    folded = await series.query(queries[0])
    assert all(window in folded for window in by_task[0])


async def _run(connection: InfluxConnection, task_id: str) -> None:
    """Have the server run its task now, and wait until it succeeded."""
    service = TasksService(connection.client.api_client)
    run = await service.post_tasks_id_runs_async(task_id)

    async def succeeded() -> bool:
        found = await service.get_tasks_id_runs_async(task_id)
        states = {one.id: one.status for one in found.runs}
        assert states.get(run.id) != "failed", await service.get_tasks_id_runs_id_logs_async(task_id, run.id)
        return states.get(run.id) == "success"

    await _until(succeeded)


async def test_the_server_drops_what_is_past_its_retention(
    connection: InfluxConnection, prefix: str, series: InfluxTimeSeries
) -> None:
    """A day's points go once the bucket keeps less; younger ones stay."""
    old, young = utc_now() - 5 * DAY, utc_now() - MINUTE
    await series.write([_point(old), _point(young)])
    await series.flush()
    assert await series.query(_counts(old - MINUTE))
    await ensure_bucket(connection, f"{prefix}_high", 2 * DAY)

    async def gone() -> bool:
        return not await series.query(_counts(old - MINUTE))

    await _until(gone)
    assert await series.query(_counts(young - MINUTE))


async def test_a_point_that_the_server_refuses_is_told_at_the_flush(
    connection: InfluxConnection, prefix: str, series: InfluxTimeSeries
) -> None:
    """The flush names the refusal once; the others of the batch are there."""
    await ensure_bucket(connection, f"{prefix}_high", 2 * DAY)
    now = utc_now()
    await series.write([_point(now - 5 * DAY), _point(now)])
    with pytest.raises(InvalidError, match="retention"):
        await series.flush()
    await series.flush()
    assert len(await series.query(_counts(now - MINUTE))) == 1


async def test_a_missing_bucket_is_told(connection: InfluxConnection, prefix: str) -> None:
    """Without `ensure` a query is NotFound, and a flush says what became of the points."""
    series = InfluxTimeSeries(connection, prefix)
    with pytest.raises(NotFoundError, match=prefix):
        await series.query(_counts(utc_now() - DAY))
    await series.write([_point(utc_now())])
    with pytest.raises(InvalidError, match=prefix):
        await series.flush()
    await series.close()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "postgresql://host/db"}, "RIFTLINE_INFLUX_URL"),
        ({"url": "http://user:s3cret@127.0.0.1:1"}, "RIFTLINE_INFLUX_URL"),
        ({"url": "http://127.0.0.1:99999"}, "RIFTLINE_INFLUX_URL"),
        ({"token": ""}, "RIFTLINE_INFLUX_TOKEN"),
        ({"token": "a\r\nX-Header: b"}, "RIFTLINE_INFLUX_TOKEN"),
        ({"token": "wrong"}, "RIFTLINE_INFLUX_TOKEN"),
        ({"org": "nobody's"}, "RIFTLINE_INFLUX_ORG"),
    ],
)
async def test_wrong_settings_name_their_variable(influx_server: str, changes: dict[str, str], field: str) -> None:
    """At the opening, without the secret that was given."""
    settings = {"url": influx_server, "token": TOKEN, "org": ORG} | changes
    with pytest.raises(InvalidError) as caught:
        await open_influx(InfluxSettings(**settings))
    assert caught.value.field == field
    for secret in (TOKEN, "s3cret", "X-Header"):
        assert secret not in str(caught.value)


async def test_a_token_that_is_withdrawn_is_transient(influx_server: str) -> None:
    """In the life of a connection a refused token is waited out, as while it is rotated."""
    connection = await open_influx(InfluxSettings(influx_server, TOKEN, ORG))
    await connection.ping()
    connection.client.api_client.set_default_header("Authorization", "Token withdrawn")
    with pytest.raises(TransientError, match="InfluxDB at 127"):
        await connection.ping()
    await connection.close()
    await connection.close()


def test_a_prefix_is_no_place_for_flux() -> None:
    """Names of buckets become text of scripts, so that only plain ones are taken."""
    for prefix in ('x" |> drop()', "", "a-b", "é", "A"):
        with pytest.raises(InvalidError):
            InfluxTimeSeries(None, prefix)  # type: ignore[arg-type]
