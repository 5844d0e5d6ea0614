"""Fixtures of the integration tests."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
import ray

from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray of our own with four logical cores, whatever else runs on this machine; all modules share it."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """The URL of an embedded PostgreSQL of the session's own, under a short path."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    try:
        yield embedded.start(home / "pg")
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home)


@pytest.fixture
def database(embedded_url: str) -> str:
    """The URL of a fresh database with the schema."""
    name = f"t_{uuid4().hex}"
    url = embedded_url.replace("/postgres?", f"/{name}?")

    async def make() -> None:
        connection = await asyncpg.connect(embedded_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        pool = await open_pool(url, 1)
        await migrate(pool)
        await pool.close()

    asyncio.run(make())
    return url
