"""Both ways to ClickHouse for the contract suites: the engine in this process and a server behind its HTTP door."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import ClickHouseConnection, engine_client
from stores.clickhouse.migrate import migrate
from stores.journal.journal import Bounds
from tests.contract.clickhouse.samples import http_connection, make_database
from tests.servers.clickhouse import ClickHouse
from tests.servers.need import needed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from stores.roles.analytics import Analytics


@pytest.fixture(params=["embedded", "http"])
def implementation(request: pytest.FixtureRequest) -> str:
    """The way to the engine."""
    return str(request.param)


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    """The folder of this process's engine: it can have one only."""
    folder = Path(tempfile.mkdtemp(prefix="rift-ch-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[ClickHouse]:
    """The server that the session shares: no test may stop it."""
    folder = Path(tempfile.mkdtemp(prefix="rift-ch-", dir="/tmp"))
    with needed():
        server = ClickHouse(folder)
        server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def own_server() -> Iterator[ClickHouse]:
    """A server that a test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="rift-ch-", dir="/tmp"))
    with needed():
        server = ClickHouse(folder)
        server.start()
    try:
        yield server
    finally:
        server.resume()
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
async def connect(
    implementation: str, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[[], Awaitable[ClickHouseConnection]]]:
    """Open connections to one fresh and empty database."""
    opened: list[ClickHouseConnection] = []
    if implementation == "http":
        url = await make_database(request.getfixturevalue("server").url)
    else:
        client = partial(engine_client, request.getfixturevalue("engine_folder"), f"t_{uuid4().hex}")

    async def connect() -> ClickHouseConnection:
        if implementation == "http":
            connection = await http_connection(url)
        else:
            connection = ClickHouseConnection(client, "the engine", workers=1)
        opened.append(connection)
        return connection

    yield connect
    await asyncio.gather(*(connection.close() for connection in opened))


@pytest.fixture
async def bare_connection(connect: Callable[[], Awaitable[ClickHouseConnection]]) -> ClickHouseConnection:
    """A connection to a fresh database with nothing in it."""
    return await connect()


@pytest.fixture
async def connection(bare_connection: ClickHouseConnection) -> ClickHouseConnection:
    """A connection to a fresh database with the schema."""
    await migrate(bare_connection)
    return bare_connection


@pytest.fixture
async def analytics(connection: ClickHouseConnection, tmp_path: Path) -> AsyncIterator[Analytics]:
    """Analytics over a fresh database and a fresh journal."""
    analytics: Analytics = await open_analytics(connection, tmp_path / "spill", Bounds(segment_age_s=0.01))
    yield analytics
    await analytics.close()


@pytest.fixture
def dice() -> random.Random:
    """The same numbers in each run."""
    return random.Random(20260314)  # noqa: S311  # test data
