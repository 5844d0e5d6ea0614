"""Real catalogs and warehouses for the lake's contract: servers start once per session, each test has its own lake."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from stores.lake.catalog import IcebergLake
from stores.postgres import embedded
from stores.settings import LakeSettings, S3Settings
from tests.contract.lake.work import EVENTS
from tests.servers.need import needed
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKETS_AT_ONCE = 50  # a shell takes a second to come up


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder for the servers' data under a short path: a socket's path ends at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="lake-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_url(home: Path) -> Iterator[str]:
    """The embedded PostgreSQL."""
    try:
        url = embedded.start(home / "pg")
        with psycopg.connect(url, autocommit=True) as connection:  # its stop would flush every test's database
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        embedded.stop(home / "pg")


@pytest.fixture(scope="session")
def seaweedfs(home: Path) -> Iterator[SeaweedFS]:
    """S3 and a REST catalog."""
    with needed():
        server = SeaweedFS(home / "weed")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def table_buckets(seaweedfs: SeaweedFS) -> Iterator[str]:
    """Endless empty buckets of the REST catalog."""

    def endless() -> Iterator[str]:
        for batch in itertools.count():
            names = [f"tables-{batch}-{index}" for index in range(BUCKETS_AT_ONCE)]
            seaweedfs.make_table_buckets(*names)
            yield from names

    return endless()


@pytest.fixture(params=["sqlite-disk", "postgres-disk", "sqlite-s3", "rest-s3"])
def implementation(request: pytest.FixtureRequest) -> str:
    """Catalog and warehouse that a test runs over."""
    return str(request.param)


@pytest.fixture
def settings(implementation: str, tmp_path: Path, request: pytest.FixtureRequest) -> LakeSettings:
    """An empty lake, on disk in folders that do not exist, under a name that a URI would write otherwise."""
    catalog, _, warehouse = implementation.partition("-")
    folder = tmp_path / "a home 100%" / "lake"
    catalog_uri, place, s3 = f"sqlite:///{folder}/catalog.db", f"file://{folder}/warehouse", S3Settings()
    if catalog == "postgres":
        catalog_uri = fresh_database(request.getfixturevalue("postgres_url"))
    if warehouse == "s3":
        server: SeaweedFS = request.getfixturevalue("seaweedfs")
        s3 = S3Settings(server.s3_url, "", KEY, SECRET)
        place = f"s3://{BUCKET}/{uuid4().hex}"
    if catalog == "rest":
        catalog_uri, place = server.url, f"s3://{next(request.getfixturevalue('table_buckets'))}"
    return LakeSettings(catalog_uri, place, s3)


@pytest.fixture
def lake(settings: LakeSettings) -> Iterator[IcebergLake]:
    """An open lake with the table of `tests.contract.lake.work`."""
    with closing(IcebergLake(settings)) as opened:
        opened.ensure((EVENTS,))
        yield opened


def fresh_database(url: str) -> str:
    """The URL of a new empty database of the same server."""
    name = f"lake_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.replace("/postgres?", f"/{name}?")
