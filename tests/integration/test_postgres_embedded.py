"""The embedded server: one per folder, alive after its starter, whole after a kill, gone after a stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest

from stores.errors import InvalidError
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from tests.examples import a_prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

START = """
import sys
from pathlib import Path
from stores.postgres import embedded
print(embedded.start(Path(sys.argv[1])))
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that does not exist yet, under a short path, stopped and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))  # short: a socket's path ends at 107 bytes
    yield home / "pg"
    embedded.stop(home / "pg")
    shutil.rmtree(home)


def _query(url: str, sql: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postmaster.pid").read_text().splitlines()[0]))


def _await_death(data_dir: Path) -> None:
    deadline = time.monotonic() + 10
    while embedded.running_url(data_dir) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _processes(data_dir: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and str(data_dir) in process.cwd():
                found.append(process.pid)
    return found


def test_a_start_is_idempotent_and_a_stop_leaves_no_process(data_dir: Path) -> None:
    """Starting twice gives the same server; stopping twice is quiet, and every process of it is gone."""
    assert embedded.running_url(data_dir) is None
    url = embedded.start(data_dir)
    pid = _postmaster(data_dir).pid
    assert embedded.start(data_dir) == embedded.running_url(data_dir) == url
    assert _postmaster(data_dir).pid == pid
    assert _processes(data_dir)
    embedded.stop(data_dir)
    embedded.stop(data_dir)
    assert embedded.running_url(data_dir) is None
    assert _processes(data_dir) == []


def test_a_stop_of_nothing_is_quiet(tmp_path: Path) -> None:
    """A folder that never existed is stopped already and is not made."""
    embedded.stop(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_its_settings_are_durable_and_the_same_everywhere(data_dir: Path) -> None:
    """Nothing trades safety for speed, nothing listens on TCP, and sorting does not follow the machine's locale."""
    url = embedded.start(data_dir)
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert _query(url, f"SHOW {setting}") == "on"
    assert _query(url, "SHOW listen_addresses") == ""
    assert _query(url, "SELECT datlocale FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"
    assert (data_dir.stat().st_mode & 0o077) == 0


def test_the_server_outlives_the_process_that_started_it(data_dir: Path) -> None:
    """A child starts the server and ends; the server still answers."""
    child = subprocess.run([sys.executable, "-c", START, str(data_dir)], check=True, capture_output=True, text=True)
    assert child.stdout.strip() == embedded.running_url(data_dir)
    assert _query(child.stdout.strip(), "SELECT 1") == 1


def test_parallel_starts_give_one_server(data_dir: Path) -> None:
    """Six processes start an absent database at once; all get the URL of the same single server."""
    command = [sys.executable, "-c", START, str(data_dir)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    urls = {child.communicate()[0].strip() for child in children}
    assert [child.returncode for child in children] == [0] * 6
    assert urls == {embedded.running_url(data_dir)}
    assert len([pid for pid in _processes(data_dir) if psutil.Process(pid).ppid() not in _processes(data_dir)]) == 1


def test_a_kill_loses_nothing_that_was_acknowledged(data_dir: Path) -> None:
    """After kill -9 in the middle of writing, a new start has every row whose commit had returned."""
    acknowledged = asyncio.run(_write_until_killed(embedded.start(data_dir), _postmaster(data_dir)))
    _await_death(data_dir)
    url = embedded.start(data_dir)
    assert acknowledged > 0
    kept = _query(url, "SELECT count(*) FROM kept")
    assert kept in {acknowledged, acknowledged + 1}  # one may have been committed without its answer


async def _write_until_killed(url: str, postmaster: psutil.Process) -> int:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (id INTEGER)")
    backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    acknowledged = 0
    try:
        while True:
            await connection.execute("INSERT INTO kept VALUES (1)")
            acknowledged += 1
            if acknowledged == 100:
                postmaster.kill()
                backend.kill()
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
        return acknowledged


def test_records_go_on_through_a_kill_and_a_new_start(data_dir: Path) -> None:
    """While the server is killed and started again, every record is acknowledged in the end and stored once."""
    stored = asyncio.run(_record_through_a_kill(data_dir))
    assert stored == 400


async def _record_through_a_kill(data_dir: Path) -> int:
    pool = await open_pool(embedded.start(data_dir), 2)
    await migrate(pool)
    store = PostgresPredictions(pool)

    under_way = asyncio.Event()

    async def write() -> None:
        for number in range(50):
            await store.record(a_prediction())
            if number == 5:
                under_way.set()

    async def kill() -> None:
        await under_way.wait()
        _postmaster(data_dir).kill()
        await asyncio.to_thread(_await_death, data_dir)
        await asyncio.to_thread(embedded.start, data_dir)

    await asyncio.gather(kill(), *(write() for _ in range(8)))
    stored = await store.count()
    await pool.close()
    return stored


def test_a_recycled_process_id_is_not_taken_for_the_server(data_dir: Path) -> None:
    """A pid file that names a living stranger neither counts as running, nor gets it stopped, nor hinders a start."""
    embedded.start(data_dir)
    names = ("postmaster.pid", ".s.PGSQL.5432.lock")
    locks = {name: (data_dir / name).read_text().splitlines()[1:] for name in names}
    embedded.stop(data_dir)
    stranger = subprocess.Popen(["/bin/sleep", "600"], user=data_dir.stat().st_uid)
    try:
        for name, lines in locks.items():
            (data_dir / name).write_text("\n".join([str(stranger.pid), *lines]) + "\n")
        assert embedded.running_url(data_dir) is None
        embedded.stop(data_dir)
        assert stranger.poll() is None
        assert _query(embedded.start(data_dir), "SELECT 1") == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_an_initdb_that_was_cut_short_is_healed(data_dir: Path) -> None:
    """A starter killed while it makes the database leaves a draft; the next start makes a whole one."""
    starter = subprocess.Popen([sys.executable, "-c", START, str(data_dir)], start_new_session=True)
    draft = data_dir.with_name(".pg.draft")
    deadline = time.monotonic() + 30
    while not (draft / "PG_VERSION").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(starter.pid, 9)
    starter.wait()
    assert not (data_dir / "PG_VERSION").exists()
    assert _query(embedded.start(data_dir), "SELECT 1") == 1
    assert not draft.exists()


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma & percent%"])
def test_a_path_that_fits_no_socket_works(data_dir: Path, name: str) -> None:
    """A long or odd path gets its socket in a short private folder, which the stop removes."""
    odd = data_dir.parent / name / "pg"
    url = embedded.start(odd)
    try:
        assert _query(url, "SELECT 1") == 1
        socket_dir = Path(url.split("host=")[1].split("&")[0])
        assert (socket_dir.stat().st_mode & 0o077) == 0
        assert embedded.start(odd) == url
    finally:
        embedded.stop(odd)
    assert not socket_dir.exists()


def test_the_environment_of_the_starter_does_not_matter(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for another PostgreSQL lead neither the server nor its clients astray."""
    for name, value in {"PGPORT": "6000", "PGDATA": "/nowhere", "PGHOST": "elsewhere", "LC_ALL": "xx_YY"}.items():
        monkeypatch.setenv(name, value)
    assert _query(embedded.start(data_dir), "SELECT 1") == 1


def test_a_folder_of_other_files_is_refused(data_dir: Path) -> None:
    """A folder that holds someone's files is named, and the files stay."""
    data_dir.mkdir()
    (data_dir / "letter.txt").write_text("dear")
    with pytest.raises(InvalidError, match="other files"):
        embedded.start(data_dir)
    assert [entry.name for entry in data_dir.iterdir()] == ["letter.txt"]


def test_a_folder_of_another_version_is_refused(data_dir: Path) -> None:
    """Data of an older PostgreSQL is refused with both versions named."""
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("15\n")
    with pytest.raises(InvalidError, match="PostgreSQL 15"):
        embedded.start(data_dir)
