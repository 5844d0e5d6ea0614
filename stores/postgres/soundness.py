"""What can be wrong inside a PostgreSQL that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.migration_files import read_migrations
from stores.postgres.migrate import shipped_migrations

if TYPE_CHECKING:
    from stores.postgres.pool import Pool


async def version(pool: Pool) -> str:
    """The server's version, as it prints it."""
    async with pool.transaction() as connection:
        return str(await connection.fetchval("SHOW server_version")).split()[0]


async def tables(pool: Pool) -> list[str]:
    """The names of all tables, partitions among them."""
    async with pool.transaction() as connection:
        return [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]


async def pending(pool: Pool) -> list[str]:
    """The migrations that this code ships and the database has not; all of them for a bare one."""
    async with pool.transaction() as connection:
        ledger = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        rows = await connection.fetch("SELECT version, checksum FROM schema_migrations") if ledger else []
    applied = {row["version"]: row["checksum"] for row in rows}
    return [one.name for one in read_migrations(shipped_migrations()) if one.version not in applied]


async def faults(pool: Pool) -> list[tuple[str, str]]:
    """What is wrong, each with its remedy."""
    found = [(f"{name} was not applied", "riftline stores migrate") for name in await pending(pool)]
    async with pool.transaction() as connection:
        for statement, remedy in _QUESTIONS:
            found += [(row[0], remedy) for row in await connection.fetch(statement)]
    return found


_QUESTIONS = (
    (
        "SELECT format('index %s is not valid', indexrelid::regclass) FROM pg_index WHERE NOT indisvalid",
        "REINDEX INDEX it",
    ),
    (
        (
            "SELECT format('constraint %s of %s was never validated', conname, conrelid::regclass)"
            " FROM pg_constraint WHERE NOT convalidated"
        ),
        "ALTER TABLE … VALIDATE CONSTRAINT it",
    ),
    (
        (
            "SELECT format('%s damaged pages were read', checksum_failures) FROM pg_stat_database"
            " WHERE datname = current_database() AND checksum_failures > 0"
        ),
        "restore a backup: riftline stores restore",
    ),
    (
        (
            "SELECT format('transaction ids of %s are %s old', datname, age(datfrozenxid)) FROM pg_database"
            " WHERE datname = current_database() AND age(datfrozenxid) > 1500000000"
        ),
        "VACUUM FREEZE: after two billion the server takes no more writes",
    ),
    (
        (
            "SELECT format('the log is not archived: %s failed at %s', last_failed_wal, last_failed_time)"
            " FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"
        ),
        "see that the folder of the continuous backup is there and has room",
    ),
)
