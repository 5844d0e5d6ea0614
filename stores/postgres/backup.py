"""Backup and restore of PostgreSQL: a dump of any server, and of the embedded one a base backup to any later moment.

All by the server's own programs; passwords travel in the environment, never in an argument that others can list.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from stores.errors import ConflictError, InvalidError, RiftlineError, TransientError
from stores.postgres import embedded
from stores.postgres.pool import address_of, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

DUMP = "database.dump"
BASE, WAL = "base", "wal"
CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S = 5.0, 30.0
COPY_TIMEOUT_S = 4 * 3600
REPLAY_TIMEOUT_S = 3600.0
NOTHING_ARCHIVED = "/bin/true"
_NEWER_SETTING = "SET transaction_timeout = 0;\n"  # of version 17 and later; older servers refuse it
PREAMBLE_LINES = 60  # of a dump; rows come later and are left as they are


async def check_direct(url: str) -> None:
    """Raise InvalidError when a pooler stands between: a dump would change the sessions that it shares with others."""
    async with _connected(url) as connection:
        if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
            raise InvalidError(
                f"{address_of(url)} is reached through a pooler; set RIFTLINE_DATABASE_DIRECT_URL to the server itself",
                "RIFTLINE_DATABASE_DIRECT_URL",
            )


def dump(url: str, folder: Path) -> Path:
    """Write a consistent dump of the whole database into ``folder`` while it is used; returns the file.

    ``url`` leads to the server itself (`check_direct`). Raises TransientError when the server went away or the disk is
    full: the file is then not there.
    """
    file, draft = folder / DUMP, folder / f"{DUMP}.part"
    _client("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={draft}")
    draft.rename(file)
    return file


def load(url: str, folder: Path) -> None:
    """Bring a dump into an empty database of any supported version: all of it or nothing."""
    script = folder / f"{DUMP}.sql.part"
    try:
        _program("pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(folder / DUMP))
        with script.open() as lines, script.with_suffix(".older").open("w") as older:
            older.writelines(line for line in islice(lines, PREAMBLE_LINES) if line != _NEWER_SETTING)
            shutil.copyfileobj(lines, older)
        arguments = ("--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
        _client("psql", url, *arguments, f"--file={script.with_suffix('.older')}")
    finally:
        script.unlink(missing_ok=True)
        script.with_suffix(".older").unlink(missing_ok=True)


def copy_base(data_dir: Path, folder: Path) -> None:
    """Copy the running embedded server of ``data_dir`` as it is at the end of the call, checked against its manifest.

    Raises TransientError when it does not run or the copy failed.
    """
    base = folder / BASE
    _client("pg_basebackup", _running(data_dir), "--wal-method=stream", "--checkpoint=fast", f"--pgdata={base}")
    verify_base(folder)


def verify_base(folder: Path) -> None:
    """Read every file of a copy. Raises InvalidError when one is missing or is not what was copied."""
    try:
        _program("pg_verifybackup", "--quiet", str(folder / BASE))
    except TransientError as error:
        raise InvalidError(f"the copy in {folder} is damaged: {error}", "folder") from None


async def archive_to(data_dir: Path, folder: Path) -> None:
    """From now on copy every finished piece of the log of the embedded server into ``folder``, at least each minute.

    With a base copy in the same folder, `restore_base` can then go to any moment. Raises InvalidError when the server
    was made without archiving: it is then switched on, and works after the next restart.
    """
    archive = folder / WAL
    archive.mkdir(parents=True)
    embedded.give_to_server(archive)
    target = shlex.quote(str(archive))
    part = f"{target}/%f.part"
    copy = f"cmp -s %p {target}/%f || (! test -e {target}/%f && cp %p {part} && sync {part} && mv {part} {target}/%f)"
    async with _connected(_running(data_dir)) as connection:
        await _archive_by(connection, copy, "60s")
        if await connection.fetchval("SHOW archive_mode") == "on":
            return
        await _set(connection, "archive_mode", "on")
    raise InvalidError("archiving begins after the next restart: run `riftline down`, `riftline up`, and this again")


async def archiving_to(data_dir: Path) -> str:
    """The command that archives the log now."""
    async with _connected(_running(data_dir)) as connection:
        return str(await connection.fetchval("SHOW archive_command"))


async def archive_by(data_dir: Path, command: str) -> None:
    """Archive by this command, one that `archiving_to` gave, or by none: then the log is kept for crashes alone."""
    async with _connected(_running(data_dir)) as connection:
        await _archive_by(connection, command, "0" if command == NOTHING_ARCHIVED else "60s")


async def restore_base(folder: Path, data_dir: Path, until: datetime | None = None) -> str:
    """Make the embedded server of ``data_dir`` from a base copy, start it and return its URL.

    With an archived log it goes to its end, or to ``until``; without one, to the end of the copy. Raises ConflictError
    when ``data_dir`` holds something, InvalidError when ``until`` cannot be reached: nothing is left there then.
    """
    _lay_out(folder, data_dir, until)
    try:
        url = embedded.start(data_dir)
        await _wait_for_recovery(url)
        await archive_by(data_dir, NOTHING_ARCHIVED)  # the copy must not write into the archive that it came from
    except RiftlineError as error:
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
    verify_base(folder)
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
    async with _connected(url) as connection:
        await connection.execute(
            "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.05); END LOOP; END $$",
            timeout=REPLAY_TIMEOUT_S,
        )
        for name in ("restore_command", "recovery_target_time", "recovery_target_action"):
            await connection.execute(f"ALTER SYSTEM RESET {name}")


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own: what is set here cannot be set in a transaction."""
    with translated(address_of(url)):
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S, statement_cache_size=0
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)


async def _archive_by(connection: asyncpg.Connection, command: str, at_least_each: str) -> None:
    await _set(connection, "archive_command", command)
    await _set(connection, "archive_timeout", at_least_each)
    await connection.execute("SELECT pg_reload_conf()")


async def _set(connection: asyncpg.Connection, name: str, value: str) -> None:
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", value)
    await connection.execute(f"ALTER SYSTEM SET {name} = {quoted}")


def _running(data_dir: Path) -> str:
    url = embedded.running_url(data_dir)
    if url is None:
        raise TransientError(f"the embedded PostgreSQL of {data_dir} does not run; start it by `riftline up`")
    return url


def _client(program: str, url: str, *arguments: str) -> None:
    """Run a client program against ``url``, whose password goes into the environment."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    query = parse_qsl(parts.query)
    passwords = [unquote(password), *(value for name, value in query if name == "password")]
    plain = parts._replace(
        netloc=f"{user}@{host}" if user else host,
        query=urlencode([(name, value) for name, value in query if name != "password"]),
    )
    _program(program, f"--dbname={urlunsplit(plain)}", *arguments, password=max(passwords, key=len))


def _program(program: str, *arguments: str, password: str = "") -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if password:
        environment["PGPASSWORD"] = password
    try:
        done = subprocess.run(  # noqa: S603  # the server's own programs, no shell
            [str(embedded.program(program)), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COPY_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransientError(f"{program} did not end within {COPY_TIMEOUT_S} s") from None
    if done.returncode:
        raise TransientError(f"{program} failed: {done.stderr.strip()[-500:]}")
