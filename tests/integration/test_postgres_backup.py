"""What was backed up comes back: as a dump of any server, and as the embedded server at any moment since its copy."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from stores.errors import ConflictError, InvalidError, TransientError
from stores.postgres import backup, embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from tests.servers.need import needed
from tests.servers.postgres import PgBouncer, Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home() -> Iterator[Path]:
    """A short folder; the servers below it are stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    yield folder
    for data_dir in ("pg", "other"):
        embedded.stop(folder / data_dir)
    shutil.rmtree(folder)


@pytest.fixture
def debian(home: Path) -> Iterator[Postgres]:
    """Debian's PostgreSQL 15."""
    home.chmod(0o711)  # it has a user of its own
    with needed():
        server = Postgres(home / "debian")
        server.start()
    yield server
    server.stop()


async def _run(url: str, statement: str, *arguments: object) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()


async def _insert(url: str, value: int) -> datetime:
    """Insert a value and return a moment after its commit."""
    await _run(url, "INSERT INTO kept VALUES ($1)", value)
    return datetime.now(UTC)


async def _archived(url: str) -> None:
    """Wait until the log up to now is in the archive."""
    (name,) = await _run(url, "SELECT pg_walfile_name(pg_switch_wal())")
    deadline = asyncio.get_running_loop().time() + 30
    while await _run(url, "SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal >= $1", name) == []:
        assert asyncio.get_running_loop().time() < deadline


async def test_a_dump_holds_the_whole_schema_and_all_rows(home: Path) -> None:
    """A dump made while the server runs is loaded into an empty database, once, and never over another one."""
    url = embedded.start(home / "pg")
    pool = await open_pool(url, 1)
    await migrate(pool)
    await pool.close()
    await _run(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
    backup.dump(url, home)
    other = embedded.start(home / "other")
    backup.load(other, home)
    counts = "SELECT count(*) FROM schema_migrations UNION ALL SELECT sum(value) FROM kept"
    assert await _run(other, counts) == await _run(url, counts)
    with pytest.raises(TransientError, match="already exists"):
        backup.load(other, home)
    assert await _run(other, counts) == await _run(url, counts)


async def test_a_dump_is_loaded_into_an_older_server_and_never_made_through_a_pooler(debian: Postgres) -> None:
    """The newest program writes settings that version 15 refuses; a dump would change sessions that a pooler shares."""
    await _run(debian.url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
    await _run(debian.url, "CREATE DATABASE other")
    await backup.check_direct(debian.url)
    backup.dump(debian.url, debian.folder)
    other = debian.url.replace("/postgres?", "/other?")
    backup.load(other, debian.folder)
    assert await _run(other, "SELECT sum(value) FROM kept") == [500_500]
    bouncer = PgBouncer(debian, debian.folder / "bouncer")
    bouncer.start()
    try:
        with pytest.raises(InvalidError, match="RIFTLINE_DATABASE_DIRECT_URL"):
            await backup.check_direct(bouncer.url)
    finally:
        bouncer.stop()


async def test_any_moment_since_the_copy_can_be_restored(home: Path) -> None:
    """Rows until the asked moment are there, later ones are not; without a moment, all that was archived is."""
    url = embedded.start(home / "pg")
    await _run(url, "CREATE TABLE kept (value INT)")
    await _insert(url, 1)
    folder = home / "backup"
    await backup.archive_to(home / "pg", folder)
    backup.copy_base(home / "pg", folder)
    await _insert(url, 2)
    moment = await _insert(url, 3)
    await _insert(url, 4)
    await _archived(url)
    embedded.stop(home / "pg")
    restored = await backup.restore_base(folder, home / "other", moment)
    assert await _run(restored, "SELECT value FROM kept ORDER BY value") == [1, 2, 3]
    embedded.stop(home / "other")
    shutil.rmtree(home / "other")
    restored = await backup.restore_base(folder, home / "other")
    assert await _run(restored, "SELECT value FROM kept ORDER BY value") == [1, 2, 3, 4]
    await _insert(restored, 5)  # it is a server of its own
    with pytest.raises(ConflictError, match="move it away"):
        await backup.restore_base(folder, home / "other")


async def test_a_moment_that_is_not_in_the_archive_is_refused(home: Path) -> None:
    """Neither a copy without a log nor a moment beyond the log's end is restored as something else."""
    url = embedded.start(home / "pg")
    await _run(url, "CREATE TABLE kept (value INT)")
    bare, folder = home / "bare", home / "backup"
    bare.mkdir()
    backup.copy_base(home / "pg", bare)
    with pytest.raises(InvalidError, match="no archived log"):
        await backup.restore_base(bare, home / "other", datetime.now(UTC))
    await backup.archive_to(home / "pg", folder)
    backup.copy_base(home / "pg", folder)
    with pytest.raises(InvalidError, match="could not be replayed"):
        await backup.restore_base(folder, home / "other", datetime(2100, 1, 1, tzinfo=UTC))
    assert not (home / "other").exists()
    embedded.stop(home / "pg")
    with pytest.raises(TransientError, match="does not run"):
        backup.copy_base(home / "pg", home / "third")


async def test_a_damaged_copy_is_never_started(home: Path) -> None:
    """Two flipped bytes of a table are found before anything is made of the copy."""
    url = embedded.start(home / "pg")
    await _run(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
    (path,) = await _run(url, "SELECT pg_relation_filepath('kept')")
    backup.copy_base(home / "pg", home)
    damaged = home / backup.BASE / str(path)
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 255
    damaged.write_bytes(content)
    with pytest.raises(InvalidError, match="damaged"):
        await backup.restore_base(home, home / "other")
    assert not (home / "other").exists()


def test_a_password_is_never_an_argument(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may list the arguments of a process; the error does not repeat the password either."""
    seen: list[str] = []
    real = subprocess.run

    def watched(command: list[str], **settings: Any) -> Any:
        seen.extend(command)
        assert settings["env"]["PGPASSWORD"] == "se/cret"
        return real(command, **settings)

    monkeypatch.setattr(subprocess, "run", watched)
    for url in ("postgresql://user:se%2Fcret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db?user=u&password=se%2Fcret"):
        with pytest.raises(TransientError) as caught:
            backup.dump(url, home)
        assert seen
        assert "cret" not in str(seen) + str(caught.value)
