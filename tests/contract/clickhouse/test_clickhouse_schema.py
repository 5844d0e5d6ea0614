"""The schema: what is declared is what the server has, and any number of processes may bring it there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stores.clickhouse.migrate import migrate, shipped_migrations
from stores.clickhouse.rows import TABLES
from stores.errors import ConflictError
from stores.migration_files import read_migrations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection

pytestmark = pytest.mark.role("clickhouse schema")


async def test_the_declared_tables_and_columns_are_the_servers(connection: ClickHouseConnection) -> None:
    """In their order; what else is there is the ledger and what keeps and fills the states."""
    rows = await connection.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"
    )
    found: dict[str, tuple[str, ...]] = {}
    for table, column in rows:
        found[table] = (*found.get(table, ()), column)
    assert {table: columns for table, columns in found.items() if table in TABLES} == TABLES
    hidden = {
        f"{view}_hourly_{part}" for view in ("user_activity", "model_performance") for part in ("states", "writer")
    }
    assert set(found) - set(TABLES) == hidden | {"schema_migrations"}


async def test_every_table_knows_a_repeated_delivery(connection: ClickHouseConnection) -> None:
    """A table without a window would double what is delivered twice; one without fsync could forget it."""
    rows = await connection.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
        " AND engine LIKE '%MergeTree' AND name != 'schema_migrations'"
    )
    assert len(rows) == 5
    for name, engine in rows:
        assert "non_replicated_deduplication_window = 100000" in engine, name
        assert "fsync_after_insert = 1" in engine, name
        assert "SummingMergeTree" not in engine, name


async def test_migrating_again_changes_nothing(connection: ClickHouseConnection) -> None:
    """Every process migrates when it starts."""
    assert await migrate(connection) == []


async def test_processes_may_migrate_at_once(connect: Callable[[], Awaitable[ClickHouseConnection]]) -> None:
    """Each finds the whole schema when it is done, and the ledger names the file once."""
    connections = [await connect() for _ in range(4)]
    await asyncio.gather(*(migrate(connection) for connection in connections))
    for connection in connections:
        assert await connection.query("SELECT count() FROM model_performance_hourly") == [(0,)]
    assert await connections[0].query("SELECT version, name FROM schema_migrations FINAL") == [
        (1, "0001_analytics.sql")
    ]


async def test_a_migration_that_was_cut_is_finished_by_the_next(bare_connection: ClickHouseConnection) -> None:
    """There are no transactions: a crash leaves the first statements."""
    (first, *_) = read_migrations(shipped_migrations())
    for cut in range(1, len(first.statements)):
        await bare_connection.command(first.statements[cut - 1])
    assert await migrate(bare_connection) == [first.name]
    assert await bare_connection.query("SELECT count() FROM user_activity_hourly") == [(0,)]


async def test_files_are_applied_once_in_order_and_must_not_change(
    bare_connection: ClickHouseConnection, tmp_path: Path
) -> None:
    """A new file is added beside what was applied; a changed one is an error that names it."""
    (tmp_path / "0001_a.sql").write_text("-- a; comment\nCREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = Memory;\n")
    assert await migrate(bare_connection, tmp_path) == ["0001_a.sql"]
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE a ADD COLUMN IF NOT EXISTS y UInt8;")
    assert await migrate(bare_connection, tmp_path) == ["0002_b.sql"]
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE IF NOT EXISTS a (x UInt16) ENGINE = Memory;")
    with pytest.raises(ConflictError, match=r"0001_a\.sql was changed after it was applied"):
        await migrate(bare_connection, tmp_path)
