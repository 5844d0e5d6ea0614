"""The database of this machine's Riftline: started, migrated, and asked for the model in production."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stores.clock import utc_now
from stores.domain.models import MODEL_NAME
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from stores.domain.models import ModelRecord
    from stores.settings import Settings


def start_database(settings: Settings) -> str:
    """Start the embedded PostgreSQL (unless a URL is set), bring its tables up to date, and return its URL."""
    url = settings.postgres.url or embedded.start(settings.postgres.data_dir)

    async def prepare() -> None:
        pool = await open_pool(url, 1)
        try:
            await migrate(pool)
            await ensure_partitions(pool, utc_now())
        finally:
            await pool.close()

    asyncio.run(prepare())
    return url


def released_model(database_url: str) -> ModelRecord | None:
    """The model in production."""

    async def ask() -> ModelRecord | None:
        pool = await open_pool(database_url, 1)
        try:
            return await PostgresModelRegistry(pool).production(MODEL_NAME)
        finally:
            await pool.close()

    return asyncio.run(ask())
