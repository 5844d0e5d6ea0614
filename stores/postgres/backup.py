"""Backup and restore of PostgreSQL: a dump of any server, and of the embedded one a base backup to any later moment.

All by the server's own programs; passwords travel in the environment, never in an argument that others can list.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from stores.errors import ConflictError, InvalidError, TransientError
from stores.postgres import embedded
from stores.postgres.pool import address_of, translated

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

DUMP = "database.dump"
BASE, WAL = "base", "wal"
COPY_TIMEOUT_S = 4 * 3600
REPLAY_TIMEOUT_S = 3600.0
NOTHING_ARCHIVED = "/bin/true"


def dump(url: str, folder: Path) -> Path:
    """Write a consistent dump of the whole database into ``folder`` while it is used; returns the file.

    Raises TransientError when the server went away or the disk is full: the file is then not there.
    """
    file, draft = folder / DUMP, folder / f"{DUMP}.part"
    _client("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={draft}")
    draft.rename(file)
    return file


async def load(url: str, folder: Path) -> None:
    """Bring a dump into an empty database: all of it or nothing. Raises ConflictError when it holds tables."""
    with translated(address_of(url)):
        connection = await asyncpg.connect(url)
        try:
            held = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
    if held:
        raise ConflictError(f"{address_of(url)} holds {held} tables; restore into an empty database")
    arguments = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _client("pg_restore", url, *arguments, str(folder / DUMP))


def copy_base(data_dir: Path, folder: Path) -> None:
    """Copy the running embedded server of ``data_dir`` as it is at the end of the call, checked against its manifest.

    Raises TransientError when it does not run or the copy failed; a copy that is there is replaced only by a whole one.
    """
    url = _running(data_dir)
    base, draft = folder / BASE, folder / f".{BASE}.part"
    shutil.rmtree(draft, ignore_errors=True)
    _client("pg_basebackup", url, "--wal-method=stream", "--checkpoint=fast", f"--pgdata={draft}")
    _program("pg_verifybackup", "--quiet", str(draft))
    shutil.rmtree(base, ignore_errors=True)
    draft.rename(base)
    if (folder / WAL).is_dir():
        started_in = re.search(r"START WAL LOCATION: .*\(file (\w+)\)", (base / "backup_label").read_text())
        if started_in:
            _program("pg_archivecleanup", str(folder / WAL), started_in[1])


async def archive_to(data_dir: Path, folder: Path) -> None:
    """From now on copy every finished piece of the log of the embedded server into ``folder``, at least each minute.

    With a base copy in the same folder, `restore_base` can then go to any moment. Raises InvalidError when the server
    was made without archiving: it is then switched on, and works after the next restart.
    """
    archive = folder / WAL
    archive.mkdir(parents=True, exist_ok=True)
    embedded.give_to_server(archive)
    target = shlex.quote(str(archive))
    copy = (
        f"test -f {target}/%f || (cp %p {target}/%f.part && sync {target}/%f.part && mv {target}/%f.part {target}/%f)"
    )
    url = _running(data_dir)
    with translated(address_of(url)):
        connection = await asyncpg.connect(url)
        try:
            await _set(connection, "archive_command", copy)
            await _set(connection, "archive_timeout", "60s")
            on = await connection.fetchval("SHOW archive_mode") == "on"
            if not on:
                await _set(connection, "archive_mode", "on")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()
    if not on:
        raise InvalidError(
            "archiving begins after the next restart: run `riftline down`, `riftline up`, and this again"
        )


async def stop_archiving(data_dir: Path) -> None:
    """Let the log be forgotten again once it is not needed for a crash."""
    url = _running(data_dir)
    with translated(address_of(url)):
        connection = await asyncpg.connect(url)
        try:
            await _set(connection, "archive_command", NOTHING_ARCHIVED)
            await _set(connection, "archive_timeout", "0")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()


async def restore_base(folder: Path, data_dir: Path, until: datetime | None = None) -> str:
    """Make the embedded server of ``data_dir`` from a base copy, start it and return its URL.

    With an archived log it goes to its end, or to ``until``; without one, to the end of the copy. Raises ConflictError
    when ``data_dir`` holds something, InvalidError when ``until`` cannot be reached: nothing is left there then.
    """
    _lay_out(folder, data_dir, until)
    try:
        url = embedded.start(data_dir)
        await _wait_for_recovery(url)
        await stop_archiving(data_dir)  # the copy must not write into the archive that it came from
    except TransientError as error:
        embedded.stop(data_dir)
        log = embedded.log_end(data_dir)
        shutil.rmtree(data_dir)
        raise InvalidError(f"{folder} could not be replayed to {until or 'its end'}: {log}", "until") from error
    return url


def _lay_out(folder: Path, data_dir: Path, until: datetime | None) -> None:
    """Make the data folder beside its place and rename it."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise ConflictError(f"{data_dir} holds a database; move it away before restoring over it")
    archive = folder / WAL
    if until is not None and not archive.is_dir():
        raise InvalidError(f"{folder} has no archived log; only the moment of the backup can be restored", "until")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = data_dir.with_name(f".{data_dir.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(folder / BASE, draft)
    if archive.is_dir():
        _recover_from(archive, draft, until)
    draft.chmod(0o700)
    embedded.give_to_server(draft)
    shutil.rmtree(data_dir, ignore_errors=True)
    draft.rename(data_dir)


def _recover_from(archive: Path, draft: Path, until: datetime | None) -> None:
    embedded.give_to_server(archive)
    (draft / "recovery.signal").touch()
    settings = [f"restore_command = 'cp {shlex.quote(str(archive))}/%f %p'", "recovery_target_action = 'promote'"]
    if until is not None:
        settings.append(f"recovery_target_time = '{until.isoformat()}'")
    with (draft / "postgresql.auto.conf").open("a") as file:
        file.write("\n".join([*settings, f"archive_command = '{NOTHING_ARCHIVED}'", ""]))


async def _wait_for_recovery(url: str) -> None:
    """Wait for the replay; then forget its settings, which would be obeyed at the next base copy."""
    with translated(address_of(url)):
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.05); END LOOP; END $$",
                timeout=REPLAY_TIMEOUT_S,
            )
            for name in ("restore_command", "recovery_target_time", "recovery_target_action"):
                await connection.execute(f"ALTER SYSTEM RESET {name}")
        finally:
            await connection.close()


async def _set(connection: asyncpg.Connection, name: str, value: str) -> None:
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", value)
    await connection.execute(f"ALTER SYSTEM SET {name} = {quoted}")


def _running(data_dir: Path) -> str:
    url = embedded.running_url(data_dir)
    if url is None:
        raise TransientError(f"the embedded PostgreSQL of {data_dir} does not run; start it by `riftline up`")
    return url


def _client(program: str, url: str, *arguments: str) -> None:
    """Run a client program against ``url``."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    plain = urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host))
    _program(program, f"--dbname={plain}", *arguments, password=unquote(password))


def _program(program: str, *arguments: str, password: str = "") -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if password:
        environment["PGPASSWORD"] = password
    done = subprocess.run(  # noqa: S603  # the server's own programs, no shell
        [str(embedded.program(program)), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COPY_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise TransientError(f"{program} failed: {done.stderr.strip()[-500:]}")
