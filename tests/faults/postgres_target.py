"""Predictions in Debian's PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from stores.clock import utc_now
from stores.postgres.migrate import migrate
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from tests.examples import a_prediction
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stores.postgres.pool import Pool
    from tests.faults.target import Writes
    from tests.servers.process import ServerProcess


class _PredictionWrites:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._predictions = PostgresPredictions(pool, retry_delays_s=())

    async def write(self, name: str) -> None:
        await self._predictions.record(a_prediction(prediction_id=UUID(name)))

    async def close(self) -> None:
        await self._predictions.drain()
        await self._pool.close()


class PostgresTarget:
    """Debian's PostgreSQL with fsync on: the server and the writer are killed in turns."""

    name = "postgres"
    at_once = 16
    kills_writers = True
    resends = True

    def __init__(self) -> None:
        self._server: Postgres | None = None

    def start(self, folder: Path) -> ServerProcess:
        """A fresh server with the schema."""
        self._server = Postgres(folder / "pg")
        self._server.start()
        asyncio.run(_migrate(self._server.url))
        return self._server

    def options(self, folder: Path) -> dict[str, str]:
        """Its URL."""
        del folder
        assert self._server
        return {"url": self._server.url}

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Through the group commit of the predictions."""
        return _PredictionWrites(await open_pool(options["url"], 4))

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Every stored prediction."""
        pool = await open_pool(options["url"], 1)
        async with pool.transaction() as connection:
            rows = await connection.fetch("SELECT prediction_id FROM prediction_requests")
        await pool.close()
        return [str(row["prediction_id"]) for row in rows]

    def stop(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.stop()


async def _migrate(url: str) -> None:
    pool = await open_pool(url, 1)
    await migrate(pool)
    await ensure_partitions(pool, utc_now())
    await pool.close()
