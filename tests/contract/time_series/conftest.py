"""The implementations of time series: real servers started once, empty tables or fresh buckets for every test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from stores.clock import utc_now
from stores.influx.connection import open_influx
from stores.influx.time_series import InfluxTimeSeries
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from stores.postgres.time_series import PostgresTimeSeries
from stores.settings import InfluxSettings
from tests.servers.influxdb import ORG, TOKEN, InfluxServer
from tests.servers.need import needed
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import datetime

    from stores.roles.time_series import TimeSeries

    Connect = Callable[[Callable[[], datetime]], Awaitable[TimeSeries]]

SERVERS = {"embedded": "embedded_server", "debian-15": "debian_server", "influxdb-2": "influx_server"}
EMPTY = "TRUNCATE measurement_series, measurements_high, measurements_medium, measurements_low RESTART IDENTITY"


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[str]:
    """The URL of the session's embedded PostgreSQL, with a database ``emptied`` and the template ``migrated``."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))  # short: a socket's path ends at 107 bytes
    try:
        url = embedded.start(home / "pg")
        asyncio.run(_execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
        asyncio.run(_make_template(url))
        yield url
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def debian_server() -> Iterator[str]:
    """The URL of the session's PostgreSQL 15, with a database ``emptied`` and the template ``migrated``."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    with needed():
        server = Postgres(home / "pg", durable=False)
    try:
        with needed():
            server.start()
        asyncio.run(_make_template(server.url))
        yield server.url
    finally:
        server.kill()  # its data goes too: nothing has to be flushed
        shutil.rmtree(home)


async def _make_template(url: str) -> None:
    await _execute(url, "CREATE DATABASE migrated")
    pool = await open_pool(_database(url, "migrated"), 1)
    await migrate(pool)
    await pool.close()
    await _execute(url, "CREATE DATABASE emptied TEMPLATE migrated")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def _database(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def influx_server() -> Iterator[str]:
    """The URL of the session's InfluxDB."""
    folder = Path(tempfile.mkdtemp(prefix="rift-influx-"))
    with needed():
        server = InfluxServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.kill()  # its data goes too: nothing has to be flushed
        shutil.rmtree(folder)


@pytest.fixture(params=SERVERS)
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of the implementation under test."""
    return str(request.param)


@dataclass(slots=True)
class Clock:
    """The time that the store is told; it stands still."""

    now: datetime

    def __call__(self) -> datetime:
        """The time that was set."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The real time at the test's start: a real server's own clock judges retention too."""
    return Clock(utc_now())


@pytest.fixture
def server(implementation: str, request: pytest.FixtureRequest) -> str:
    """The URL of the implementation's server."""
    return str(request.getfixturevalue(SERVERS[implementation]))


@pytest.fixture
async def connect(implementation: str, server: str) -> AsyncIterator[Connect]:
    """Make a store over the test's own tables or buckets; each call is as another process would be."""
    closers: list[Callable[[], Awaitable[None]]] = []
    name = f"t{uuid4().hex}"
    if implementation != "influxdb-2":
        await _execute(_database(server, "emptied"), EMPTY)

    async def make(clock: Callable[[], datetime]) -> TimeSeries:
        if implementation == "influxdb-2":
            connection = await open_influx(InfluxSettings(server, TOKEN, ORG))
            store: TimeSeries = InfluxTimeSeries(connection, name, clock)
            closers[:0] = [store.close, connection.close]
        else:
            pool = await open_pool(_database(server, "emptied"), 4)
            store = PostgresTimeSeries(pool, clock)
            closers[:0] = [store.close, pool.close]
        return store

    yield make
    for close in closers:
        await close()


@pytest.fixture
async def store(connect: Connect, clock: Clock) -> TimeSeries:
    """A store with nothing in it."""
    store = await connect(clock)
    await store.ensure(clock.now)
    return store
