"""Migrations are applied once by whoever comes first, guarded by checksums; the pool's errors tell no secret."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, TransientError
from stores.migration_files import read_migrations
from stores.postgres.migrate import migrate, shipped_migrations
from stores.postgres.pool import Pool, address_of, open_pool, translated

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = [migration.name for migration in read_migrations(shipped_migrations())]
MIGRATE = """
import asyncio, sys
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool

async def main():
    pool = await open_pool(sys.argv[1], 1)
    print(*await migrate(pool))
    await pool.close()

asyncio.run(main())
"""


async def test_migrations_are_applied_once(bare_pool: Pool) -> None:
    """The first run applies every file in order, the second none."""
    assert await migrate(bare_pool) == SHIPPED
    assert await migrate(bare_pool) == []


async def test_concurrent_pools_apply_each_file_once(bare_pool: Pool) -> None:
    """Of eight runs at once in one process each file is applied by exactly one."""
    applied = await asyncio.gather(*(migrate(bare_pool) for _ in range(8)))
    assert sorted(name for names in applied for name in names) == SHIPPED


async def test_concurrent_processes_apply_each_file_once(bare_database: str) -> None:
    """Of four processes at once every one succeeds and each file is applied by exactly one."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, bare_database, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [(await process.communicate())[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(" ".join(outputs).split()) == SHIPPED


async def test_a_changed_file_is_refused(bare_pool: Pool, tmp_path: Path) -> None:
    """A file whose text changed after it was applied is named, and what follows it is not applied."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id INTEGER)")
    assert await migrate(bare_pool, tmp_path) == ["0001_first.sql"]
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id BIGINT)")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id INTEGER)")
    with pytest.raises(ConflictError, match=r"0001_first\.sql"):
        await migrate(bare_pool, tmp_path)
    async with bare_pool.transaction() as connection:
        assert await connection.fetchval("SELECT to_regclass('second')") is None


async def test_a_failed_file_leaves_nothing_of_itself(bare_pool: Pool, tmp_path: Path) -> None:
    """A file that fails halfway is undone whole, the one before it stays, and a mended one is applied."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id INTEGER)")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id INTEGER); SELECT 1 / 0")
    with pytest.raises(InvalidError):
        await migrate(bare_pool, tmp_path)
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id INTEGER)")
    assert await migrate(bare_pool, tmp_path) == ["0002_second.sql"]


async def test_an_older_program_accepts_a_newer_schema(bare_pool: Pool, tmp_path: Path) -> None:
    """A replica that knows fewer files than are applied starts all the same."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id INTEGER)")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id INTEGER)")
    await migrate(bare_pool, tmp_path)
    (tmp_path / "0002_second.sql").unlink()
    assert await migrate(bare_pool, tmp_path) == []


@pytest.mark.parametrize("name", ["1_short.sql", "0001_twice.sql"])
def test_a_wrong_file_name_is_refused(tmp_path: Path, name: str) -> None:
    """A number that is not four digits, or is used twice, is named."""
    (tmp_path / "0001_first.sql").touch()
    (tmp_path / name).touch()
    with pytest.raises(InvalidError, match=name):
        read_migrations(tmp_path)


async def test_a_broken_connection_is_replaced(database: str) -> None:
    """After the server ended its connection the pool raises Transient once and then works again."""
    pool = await open_pool(database, 1)
    with pytest.raises(TransientError):
        async with pool.transaction() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    async with pool.transaction() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await pool.close()


async def test_a_cancelled_transaction_leaves_a_clean_connection(database: str) -> None:
    """A caller that is cancelled in the middle leaves neither its change nor its transaction behind."""
    pool = await open_pool(database, 1)

    async def interrupted() -> None:
        async with pool.transaction() as connection:
            await connection.execute("CREATE TABLE half (id INTEGER)")
            await connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(interrupted())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.3)
    async with pool.transaction() as connection:
        assert await connection.fetchval("SELECT to_regclass('half')") is None
    await pool.close()


async def test_no_statement_is_named(pool: Pool) -> None:
    """Nothing stays prepared on the server, so PgBouncer may hand each transaction to another one."""
    async with pool.transaction() as connection:
        await connection.fetch("SELECT $1::int", 1)
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://bob:pw@db.example:6543/riftline", "PostgreSQL at db.example:6543/riftline"),
        ("postgresql://postgres@/postgres?host=/tmp/a%20b&port=5432", "PostgreSQL at /tmp/a b/postgres"),
        ("postgres:///riftline", "PostgreSQL at localhost/riftline"),
    ],
)
def test_an_address_names_the_place_alone(url: str, address: str) -> None:
    """The address of a URL holds host, port and database, and neither user nor password."""
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "mysql://bob:s3cret@db/riftline",
        "postgresql://bob:s3cret@x@db/riftline",
        "postgresql://bob:#s3cret@db/riftline",
        "postgresql://bob:a/s3cret@db/riftline",
        "postgresql://bob:s3cret@db:port/riftline",
        "postgresql://bob:[s3cret@db/riftline",
        "s3cret",
    ],
)
async def test_a_wrong_url_is_refused_without_quoting_it(url: str) -> None:
    """Whatever is wrong with a URL, the error names the variable and never shows a piece of it."""
    with pytest.raises(InvalidError) as caught:
        await open_pool(url, 1)
    assert caught.value.field == "RIFTLINE_DATABASE_URL"
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_an_absent_server_is_transient(unused_tcp_port: int) -> None:
    """When nobody listens the error is Transient and names the address, not the password."""
    with pytest.raises(TransientError, match=rf"PostgreSQL at 127\.0\.0\.1:{unused_tcp_port}/x") as caught:
        await open_pool(f"postgresql://bob:s3cret@127.0.0.1:{unused_tcp_port}/x", 1)
    assert "s3cret" not in repr(caught.value)


async def test_an_unknown_database_is_invalid(server: str) -> None:
    """A database that does not exist is a wrong setting, not a passing failure."""
    with pytest.raises(InvalidError, match="nowhere"):
        await open_pool(server.replace("/postgres?", "/nowhere?"), 1)


def test_a_mistake_in_our_own_sql_stays_visible() -> None:
    """Errors that no caller can act on pass through as they are."""
    with pytest.raises(asyncpg.UndefinedTableError), translated("PostgreSQL at here"):
        raise asyncpg.UndefinedTableError("no such table")


@pytest.mark.parametrize(
    ("lost", "committing", "ours"),
    [
        (ConnectionResetError(), False, TransientError),
        (ConnectionResetError(), True, OutcomeUnknownError),
        (asyncpg.InternalClientError("cannot switch to state 12"), False, TransientError),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), True, OutcomeUnknownError),
        (asyncpg.DeadlockDetectedError("deadlock"), True, TransientError),
        (asyncpg.UniqueViolationError("twice"), False, ConflictError),
    ],
)
def test_a_lost_connection_hides_the_outcome_of_a_commit_alone(
    lost: Exception, committing: bool, ours: type[Exception]
) -> None:
    """Before the commit nothing happened; during it nobody knows; what the server itself undid is known."""
    with pytest.raises(ours, match="PostgreSQL at here"), translated("PostgreSQL at here", committing=committing):
        raise lost
