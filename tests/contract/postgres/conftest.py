"""Real PostgreSQL servers for the contract suites: one of each kind per session, one fresh database per test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from stores.domain.models import ModelRecord
from stores.domain.prediction_id import new_prediction_id
from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from tests.servers.need import needed
from tests.servers.postgres import PgBouncer, Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stores.postgres.pool import Pool

NOON = datetime(2026, 3, 14, 12, 0, 0, 123000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Server:
    """The URLs of a server's database ``postgres``: as a program connects, and past any pooler.

    Its database ``migrated`` holds the schema.
    """

    url: str
    direct_url: str


def url_of(server: str, database: str) -> str:
    """The URL of another database of the same server."""
    return server.replace("/postgres?", f"/{database}?")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder for the servers' data under a short path: a socket's path ends at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def embedded_server(home: Path) -> Iterator[Server]:
    """The server of the wheel."""
    try:
        url = embedded.start(home / "pg")
        asyncio.run(_forgo_durability(url))
        asyncio.run(_make_template(url))
        yield Server(url, url)
    finally:
        embedded.stop(home / "pg")


@pytest.fixture(scope="session")
def debian_postgres(home: Path) -> Iterator[Postgres]:
    """Debian's server."""
    with needed():
        server = Postgres(home / "debian", durable=False)
    try:
        server.start()
        asyncio.run(_make_template(server.url))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def pgbouncer(home: Path, debian_postgres: Postgres) -> Iterator[PgBouncer]:
    """PgBouncer in transaction mode in front of Debian's server."""
    with needed():
        bouncer = PgBouncer(debian_postgres, home / "bouncer")
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.stop()


@pytest.fixture(scope="session", params=["embedded", "debian-15", "pgbouncer"])
def implementation(request: pytest.FixtureRequest) -> str:
    """The kind of server that a test runs over."""
    return str(request.param)


@pytest.fixture(scope="session")
def server_pair(implementation: str, request: pytest.FixtureRequest) -> Server:
    """The server of this kind, started at its first use."""
    if implementation == "embedded":
        server: Server = request.getfixturevalue("embedded_server")
        return server
    direct_url = request.getfixturevalue("debian_postgres").url
    url = request.getfixturevalue("pgbouncer").url if implementation == "pgbouncer" else direct_url
    return Server(url, direct_url)


@pytest.fixture(scope="session")
def server(server_pair: Server) -> str:
    """The URL of the server's database ``postgres``, as a program connects."""
    return server_pair.url


async def _make_template(url: str) -> None:
    await _create_database(url, "migrated", "template1")
    pool = await open_pool(url_of(url, "migrated"), 1)
    await migrate(pool)
    await pool.close()


async def _forgo_durability(url: str) -> None:
    """Flushing fifty databases at the stop takes longer than all tests; what a crash keeps is an integration test."""
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def _create_database(url: str, name: str, template: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()


async def _fresh(server: Server, template: str) -> Server:
    name = f"t_{uuid4().hex}"
    await _create_database(server.direct_url, name, template)  # a pooler would keep its connection to the template
    return Server(url_of(server.url, name), url_of(server.direct_url, name))


async def _drop(server: Server, database: Server) -> None:
    """At once: the end of the session would write and remove hundreds of them."""
    connection = await asyncpg.connect(server.direct_url)
    await connection.execute(f"DROP DATABASE {urlsplit(database.url).path[1:]} WITH (FORCE)")
    await connection.close()


@pytest.fixture(scope="session")
def make_database(server_pair: Server) -> Callable[[], str]:
    """Make a fresh database with the schema for several tests, past any pooler."""
    return lambda: asyncio.run(_fresh(server_pair, "migrated")).direct_url


@pytest.fixture
async def database_pair(server_pair: Server) -> AsyncIterator[Server]:
    """A fresh database with the schema: as a program connects, and past any pooler."""
    database = await _fresh(server_pair, "migrated")
    yield database
    await _drop(server_pair, database)


@pytest.fixture
def database(database_pair: Server) -> str:
    """The URL of a fresh database with the schema, as a program connects."""
    return database_pair.url


@pytest.fixture
def direct_database(database_pair: Server) -> str:
    """The URL of the same database past any pooler: for a bare `asyncpg.connect`, which names its statements."""
    return database_pair.direct_url


@pytest.fixture
async def bare_database(server_pair: Server) -> AsyncIterator[str]:
    """The URL of a fresh database with nothing in it, as a program connects."""
    database = await _fresh(server_pair, "template1")
    yield database.url
    await _drop(server_pair, database)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of four connections to a fresh database with the schema."""
    pool = await open_pool(database, 4)
    yield pool
    await pool.close()


@pytest.fixture
async def bare_pool(bare_database: str) -> AsyncIterator[Pool]:
    """A pool of four connections to a fresh database with nothing in it."""
    pool = await open_pool(bare_database, 4)
    yield pool
    await pool.close()


@pytest.fixture
def prediction() -> Callable[..., PredictionRecord]:
    """Make a prediction with every column filled and awkward floats; ``at`` is its moment."""

    def make(*, at: datetime = NOON, **changes: Any) -> PredictionRecord:
        return _PREDICTION._replace(prediction_id=new_prediction_id(at), **changes)

    return make


@pytest.fixture
def model() -> Callable[..., ModelRecord]:
    """Make a model record as the training hands it over."""

    def make(model_version: str = "2026.03.14", **changes: Any) -> ModelRecord:
        return replace(_MODEL, model_version=model_version, **changes)

    return make


_PREDICTION = PredictionRecord(
    prediction_id=new_prediction_id(NOON),
    request=PropRequest(
        player_names=("Faker", 'Quo"te, {Brace}', "Ünïcode 페이커"),
        prop_type=PropType.ASSISTS,
        prop_value=199.5,
        map_range=MapRange(1, 3),
        opponent="Gen.G",
        tournament="LCK Spring",
        team="T1",
        match_date=date(2026, 3, 15),
        position_roles=(Position.MID, Position.TOP, Position.SUPPORT),
        strict_mode=True,
        champions=("K'Sante", "Nunu & Willump", "Renata Glasc"),
        best_of=5,
    ),
    prediction=Side.OVER,
    confidence=57.300000000000004,
    base_model_confidence=100 / 3,
    push_probability=5e-324,
    expected_stat=0.1 + 0.2,
    confidence_interval=(1 / 7, 22 / 7),
    data_tier=DataTier.GOOD,
    model_version="2026.03.14",
    feature_version="f1",
    lake_snapshot_id=2**63 - 1,
    processing_time_ms=1.2345678901234567,
    cache_hit=True,
    warnings=("opponent was inferred", ""),
    user_id=UUID(int=7),
    client_ip=IPv6Address("2001:db8::1"),
    user_agent="test",
    api_version="v1",
    request_source="api",
)

_MODEL = ModelRecord(
    model_name="props",
    model_version="2026.03.14",
    framework="xgboost",
    algorithm="poisson",
    hyperparameters={"eta": 0.1 + 0.2, "depth": 6, "nested": {"list": [1, None, "x"]}},
    feature_schema={"kills_mean_10": "float32"},
    feature_version="f1",
    training_metrics={"log_loss": 1 / 3},
    model_artifact_path="models/props/2026.03.14",
    model_size_bytes=123456,
    checksum="ab" * 32,
    lake_snapshot_id=2**62,
    trained_at=NOON,
    test_accuracy=0.5512345678901234,
)
