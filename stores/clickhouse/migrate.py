"""Forward migrations: numbered SQL files, each applied once, in order.

ClickHouse has neither transactions for schemas nor locks between clients. So every statement must be harmless when it
is repeated (IF NOT EXISTS), and processes that migrate at once apply the same file side by side.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

from stores.backoff import pauses_s
from stores.clickhouse.failures import TABLE_EXISTS, code_of
from stores.errors import ConflictError, OutcomeUnknownError, TransientError
from stores.migration_files import read_migrations

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from stores.clickhouse.connection import ClickHouseConnection

RACE_S = 5.0  # two processes that make the same table hold each other up for moments

_LEDGER = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, name String, checksum String,"
    " applied_at DateTime('UTC') DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version"
)
_NOTE = (
    "INSERT INTO schema_migrations (version, name, checksum) SELECT {version:UInt32}, {name:String}, {checksum:String}"
)


def shipped_migrations() -> Traversable:
    """The folder of migrations inside the package."""
    return files("stores.clickhouse") / "migrations"


async def migrate(connection: ClickHouseConnection, folder: Traversable | None = None) -> list[str]:
    """Apply what is pending and return its file names; nothing is returned when all was there.

    Safe from many processes at once, and after a crash in the middle. A database that is ahead of this code is left
    alone. Raises ConflictError naming an applied file whose text was changed, TransientError when the server is away.
    """
    await _apply(connection, _LEDGER)
    rows = await connection.query("SELECT version, checksum FROM schema_migrations FINAL")
    applied = dict(rows)
    done = []
    for migration in read_migrations(folder or shipped_migrations()):
        checksum = applied.get(migration.version, "")
        if checksum == migration.checksum:
            continue
        if checksum:
            raise ConflictError(
                f"{migration.name} was changed after it was applied to {connection.address}; "
                "restore its text and put the change into a new migration"
            )
        for statement in migration.statements:
            await _apply(connection, statement)
        note = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
        await connection.command(_NOTE, note)
        done.append(migration.name)
    return done


async def _apply(connection: ClickHouseConnection, statement: str) -> None:
    """Run a statement that may be repeated; IF NOT EXISTS can still lose a race against the same statement."""
    for pause_s in pauses_s(0.05, 0.5, RACE_S):
        try:
            await connection.command(statement)
        except (TransientError, OutcomeUnknownError) as error:
            if code_of(error.__cause__) != TABLE_EXISTS:
                raise
            await asyncio.sleep(pause_s)
        else:
            return
    await connection.command(statement)
