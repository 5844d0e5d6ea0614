"""What every store of time series keeps when its server is killed, stopped, away or wrong."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from stores import point_queue
from stores.clock import utc_now
from stores.domain.measurements import Point
from stores.domain.series_query import Aggregate, SeriesQuery
from stores.downsampling import floor
from stores.errors import InvalidError, OverloadedError, RiftlineError, TransientError
from stores.influx.connection import open_influx
from stores.influx.time_series import InfluxTimeSeries
from stores.postgres.migrate import migrate
from stores.postgres.pool import Deadlines, open_pool
from stores.postgres.time_series import PostgresTimeSeries
from stores.settings import InfluxSettings
from tests.servers.influxdb import ORG, TOKEN, InfluxServer
from tests.servers.need import needed
from tests.servers.postgres import PASSWORD, Postgres, url_of
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stores.roles.connection import Connection
    from stores.roles.time_series import TimeSeries

pytestmark = pytest.mark.role("time_series")

DEADLINE_S = 1.0
WITHIN_S = 20.0  # far beyond every deadline, and far from for ever
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module", params=["debian-15", "influxdb-2"])
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of the implementation under test."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(implementation: str) -> Iterator[Postgres | InfluxServer]:
    """A server of this module only. It waits for the disk, as in earnest."""
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    with needed():
        server = Postgres(folder / "pg") if implementation == "debian-15" else InfluxServer(folder / "influx")
    try:
        with needed():
            server.start()
        yield server
    finally:
        server.resume()
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture
def victim(server: Postgres | InfluxServer) -> Iterator[Postgres | InfluxServer]:
    """The server, which the test may kill and pause."""
    yield server
    server.resume()
    if server.pid is None:
        server.start()


@pytest.fixture
def small_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores opened after this hold a hundred points and wait for room a moment only."""
    monkeypatch.setattr(point_queue, "MAX_QUEUED", 100)
    monkeypatch.setattr(point_queue, "ADD_TIMEOUT_S", 0.2)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores opened after this send a hundred points at a time, so that a kill falls between two of them."""
    monkeypatch.setattr(point_queue, "MAX_BATCH", 100)


@pytest.fixture
async def store(victim: Postgres | InfluxServer) -> AsyncIterator[TimeSeries]:
    """A store on the victim with short deadlines."""
    connection: Connection
    if isinstance(victim, Postgres):
        name = f"t{uuid4().hex}"
        admin = await asyncpg.connect(victim.url)
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        connection = pool = await open_pool(url_of(victim.port, name), 4, Deadlines(DEADLINE_S, DEADLINE_S, DEADLINE_S))
        await migrate(pool)
        store: TimeSeries = PostgresTimeSeries(pool)
    else:
        connection = influx = await open_influx(InfluxSettings(victim.url, TOKEN, ORG), DEADLINE_S)
        store = InfluxTimeSeries(influx, f"t{uuid4().hex}")
    await store.ensure(utc_now())
    yield store
    await store.close()
    await connection.close()


BASE = floor(utc_now(), HOUR) - 3 * HOUR
QUERY = SeriesQuery(
    measurement="cache_metrics",
    fields=("latency",),
    since=BASE,
    until=BASE + HOUR,
    every=HOUR,
    aggregate=Aggregate.COUNT,
)


def _points(first: int, last: int) -> list[Point]:
    tags = {"cache_type": "redis", "operation": "get"}
    return [
        Point("cache_metrics", tags, {"latency": number}, BASE + number * timedelta(milliseconds=1))
        for number in range(first, last)
    ]


async def _kept(store: TimeSeries) -> tuple[float, float]:
    """How many points there are, and their sum."""
    counted = await store.query(QUERY)
    summed = await store.query(replace(QUERY, aggregate=Aggregate.SUM))
    return (counted[0].values["latency"], summed[0].values["latency"]) if counted else (0.0, 0.0)


@pytest.mark.usefixtures("small_batches")
async def test_a_server_killed_in_a_burst_keeps_what_was_flushed(
    store: TimeSeries, victim: Postgres | InfluxServer
) -> None:
    """Killed three times in the middle of writing: after every restart nothing that was flushed is lost or doubled."""
    written = 0
    for _ in range(3):
        await store.write(_points(written, written + 2000))
        await store.flush(WITHIN_S)
        flushed = written + 2000
        burst = asyncio.create_task(_burst(store, flushed))
        while (await _kept_or_none(store) or 0) <= flushed:
            continue  # until a part of the burst is there
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)
        assert await _kept_or_none(store, patiently=True) >= flushed  # type: ignore[operator]
        await burst
        await store.flush(WITHIN_S)
        written = flushed + 6000
        assert await _kept(store) == (written, sum(range(written)))


async def _burst(store: TimeSeries, first: int) -> None:
    for start in range(first, first + 6000, 500):
        await store.write(_points(start, start + 500))


async def _kept_or_none(store: TimeSeries, *, patiently: bool = False) -> float | None:
    while True:
        try:
            return (await _kept(store))[0]
        except TransientError:
            if not patiently:
                return None


async def test_a_stopped_server_ends_every_call_in_time(store: TimeSeries, victim: Postgres | InfluxServer) -> None:
    """A server that keeps its sockets and answers nothing: TransientError, and all is well once it goes on."""
    await store.write(_points(0, 10))
    await store.flush(WITHIN_S)
    victim.pause()
    async with asyncio.timeout(WITHIN_S):
        for call in (store.query(QUERY), store.downsample(utc_now()), store.ensure(utc_now())):
            with pytest.raises(TransientError):
                await call
        await store.write(_points(10, 20))
        with pytest.raises(TransientError):
            await store.flush(0.5)
    victim.resume()
    await store.flush(WITHIN_S)
    assert (await _kept(store))[0] == 20


@pytest.mark.usefixtures("small_queue")
async def test_a_full_queue_pushes_back_and_loses_nothing(victim: Postgres | InfluxServer, store: TimeSeries) -> None:
    """While the server is away writers wait, then hear OverloadedError; what was queued arrives when it is back."""
    victim.kill()
    await store.write(_points(0, 60))
    with pytest.raises(OverloadedError):
        await store.write(_points(60, 120))
    victim.start()
    await store.flush(WITHIN_S)
    assert (await _kept(store))[0] == 60


async def test_a_server_that_is_away_is_named(victim: Postgres | InfluxServer, store: TimeSeries) -> None:
    """A refused connection is TransientError with the address, now and at the opening, and without any secret."""
    victim.kill()
    for call in (store.query(QUERY), _open(victim, victim.port), _open(victim, free_port())):
        with pytest.raises(TransientError) as caught:
            await call
        _tells_no_secret(caught.value)
        assert "127.0.0.1:" in str(caught.value)
    victim.start()
    assert await store.query(QUERY) == []


async def test_a_wrong_secret_is_invalid(victim: Postgres | InfluxServer) -> None:
    """A wrong password or token names the variable to mend, and is not repeated in the error."""
    with pytest.raises(InvalidError) as caught:
        await _open(victim, victim.port, secret="wr0ng-secret")  # noqa: S106
    assert caught.value.field in {"RIFTLINE_DATABASE_URL", "RIFTLINE_INFLUX_TOKEN"}
    assert "127.0.0.1:" in str(caught.value)
    _tells_no_secret(caught.value)


async def _open(victim: Postgres | InfluxServer, port: int, secret: str = "") -> None:
    if isinstance(victim, Postgres):
        url = url_of(port).replace(PASSWORD, secret or PASSWORD)
        await (await open_pool(url, 1)).close()
    else:
        settings = InfluxSettings(f"http://127.0.0.1:{port}", secret or TOKEN, ORG)
        await (await open_influx(settings, DEADLINE_S)).close()


def _tells_no_secret(error: RiftlineError) -> None:
    for secret in (PASSWORD, TOKEN, "wr0ng-secret"):
        assert secret not in f"{error!s} {error!r}"
