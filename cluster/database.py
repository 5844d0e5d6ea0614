"""The database of this machine's Riftline: started, migrated, and asked for the model in production."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from stores.clock import utc_now
from stores.domain.models import MODEL_NAME
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stores.domain.models import ModelRecord
    from stores.roles.model_registry import ModelRegistry
    from stores.settings import Settings

T = TypeVar("T")


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

    async def ask(registry: ModelRegistry) -> ModelRecord | None:
        return await registry.production(MODEL_NAME)

    return ask_registry(database_url, ask)


def newest_model(database_url: str) -> ModelRecord | None:
    """The version that was registered last, released or not."""

    async def ask(registry: ModelRegistry) -> ModelRecord | None:
        return next(iter(await registry.list(MODEL_NAME)), None)

    return ask_registry(database_url, ask)


def ask_registry(database_url: str, question: Callable[[ModelRegistry], Awaitable[T]]) -> T:
    """What the registry of models answers."""

    async def ask() -> T:
        pool = await open_pool(database_url, 1)
        try:
            return await question(PostgresModelRegistry(pool))
        finally:
            await pool.close()

    return asyncio.run(ask())
