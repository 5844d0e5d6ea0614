"""Forward migrations: numbered SQL files, each applied once, in order, in a transaction of its own."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from stores.errors import ConflictError
from stores.migration_files import read_migrations

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import asyncpg

    from stores.migration_files import Migration
    from stores.postgres.pool import Pool

MIGRATION_LOCK = 0x52494654  # "RIFT": one advisory lock per database
MIGRATION_TIMEOUT_S = 600.0  # waits for another process's migration, which may rewrite a table


def shipped_migrations() -> Traversable:
    """The folder of migrations inside the package."""
    return files("stores.postgres") / "migrations"


async def migrate(pool: Pool, folder: Traversable | None = None) -> list[str]:
    """Apply what is pending and return its file names; nothing is returned when all was there.

    Safe from many processes at once: they queue on an advisory lock, and each file is applied by one of them. What was
    applied stays when a later file fails. A database that is ahead of this code is left alone, so that an older replica
    can start during a rolling upgrade. Raises ConflictError naming an applied file whose text was changed.
    """
    migrations = read_migrations(folder or shipped_migrations())
    return [migration.name for migration in migrations if await _apply(pool, migration)]


async def _apply(pool: Pool, migration: Migration) -> bool:
    async with pool.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK, timeout=MIGRATION_TIMEOUT_S)
        await _ensure_ledger(connection)
        row = await connection.fetchrow("SELECT checksum FROM schema_migrations WHERE version = $1", migration.version)
        if row is not None:
            if row["checksum"] != migration.checksum:
                raise ConflictError(
                    f"{migration.name} was changed after it was applied to {pool.address}; "
                    "restore its text and put the change into a new migration"
                )
            return False
        await connection.execute(migration.sql, timeout=MIGRATION_TIMEOUT_S)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )
        return True


async def _ensure_ledger(connection: asyncpg.Connection) -> None:
    """Make the ledger under the lock: CREATE IF NOT EXISTS alone fails when two processes run it at once."""
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    )
