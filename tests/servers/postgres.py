"""Debian's PostgreSQL 15, a streaming replica of it, and PgBouncer in front: on 127.0.0.1, with passwords (scram)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.servers.install import apt
from tests.servers.process import STOP_TIMEOUT_S, MissingServerError, ServerProcess, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BIN = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = Path("/usr/sbin/pgbouncer")
AUTOSTART = Path("/usr/sbin/policy-rc.d")  # Debian asks it whether an installed service may be started
SYSTEM_USER = "postgres"  # of Debian's package; PostgreSQL and PgBouncer refuse to run as root
PASSWORD = "s3cret"  # noqa: S105  # of a server that lives for one test run on 127.0.0.1
MAX_CONNECTIONS = 300  # PgBouncer keeps some per database, and every test has its own


def fetch() -> None:
    """Install what is missing, and let Debian start none of it. Raises MissingServerError."""
    with _nothing_started():
        apt(BIN / "postgres", "postgresql-15")
        apt(PGBOUNCER, "pgbouncer")


def url_of(port: int, database: str = "postgres") -> str:
    """The URL of a database on 127.0.0.1 with the password of these servers."""
    return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable"


class Postgres(ServerProcess):
    """A fresh server in ``folder``, which should be a short path. ``durable=False`` never waits for the disk."""

    def __init__(self, folder: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        fetch()
        self.port = free_port()
        self.data_dir = folder / "data"
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(self.port),
            "max_connections": str(MAX_CONNECTIONS),
            "timezone": "UTC",
            "fsync": "on" if durable else "off",
            **(settings or {}),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(BIN / "postgres"), "-D", str(self.data_dir), *arguments]
        super().__init__(f"PostgreSQL on port {self.port}", command, folder, self._accepts, **_identity())

    @property
    def url(self) -> str:
        """The URL of its database ``postgres``."""
        return url_of(self.port)

    def start(self) -> None:
        """Make the data folder when there is none, start, and wait until it accepts connections."""
        if not self.data_dir.exists():
            self._make_data()
        wait_for(lambda: not self._backends(), f"the end of the killed backends of {self.name}")
        super().start()

    def restart(self) -> None:
        """Kill it with everything it runs, then start it again."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End it at once and cleanly, whoever is connected, then by force. Idempotent."""
        self.resume()
        if self._process is not None and self.pid is not None:
            self._process.send_signal(signal.SIGINT)  # SIGTERM would wait for every client to leave
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def _make_data(self) -> None:
        password_file = self.folder / "password"
        _make_folder(self.folder)
        password_file.write_text(PASSWORD)
        options = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"]
        _run([str(BIN / "initdb"), "-D", str(self.data_dir), *options, f"--pwfile={password_file}"])

    def _accepts(self) -> bool:
        command = [str(BIN / "pg_isready"), "--quiet", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _backends(self) -> list[psutil.Process]:
        """Every process that works in the data folder: each backend leads a session of its own."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "postgres" and process.cwd() == str(self.data_dir):
                    found.append(process)
        return found

    def _signal(self, number: int) -> None:
        super()._signal(number)
        for process in self._backends() if number != signal.SIGTERM else ():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class Replica(Postgres):
    """A streaming replica: a base backup of ``primary`` that follows it and answers reads."""

    def __init__(self, primary: Postgres, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable, settings={"wal_retrieve_retry_interval": "100ms"})
        self._primary = primary

    def _make_data(self) -> None:
        _make_folder(self.folder)
        source = ["-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "postgres"]
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        _run([str(BIN / "pg_basebackup"), "-D", str(self.data_dir), *source, *options], PGPASSWORD=PASSWORD)


class PgBouncer(ServerProcess):
    """PgBouncer in transaction mode in front of every database of ``server``."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        fetch()
        self.port = free_port()
        self._server_port = server.port
        command = [str(PGBOUNCER), str(folder / "pgbouncer.ini")]
        super().__init__(f"PgBouncer on port {self.port}", command, folder, self._accepts, **_identity())

    @property
    def url(self) -> str:
        """The URL of the database ``postgres`` through it."""
        return url_of(self.port)

    def start(self) -> None:
        """Write its configuration, start, and wait until it accepts connections."""
        _make_folder(self.folder)
        (self.folder / "users.txt").write_text(f'"postgres" "{PASSWORD}"\n')
        (self.folder / "pgbouncer.ini").write_text(_PGBOUNCER_INI.format(me=self, server_port=self._server_port))
        super().start()

    def restart(self) -> None:
        """Kill it, then start it again."""
        self.kill()
        self.start()

    def _accepts(self) -> bool:
        command = [str(BIN / "pg_isready"), "--quiet", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


_PGBOUNCER_INI = """\
[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {me.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {me.folder}/users.txt
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
server_idle_timeout = 1
log_connections = 0
log_disconnections = 0
"""


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Debian's packages start a server of their own unless this file says no."""
    ours = os.geteuid() == 0 and not AUTOSTART.exists()
    if ours:
        AUTOSTART.write_text("#!/bin/sh\nexit 101\n")
        AUTOSTART.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            AUTOSTART.unlink(missing_ok=True)


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(SYSTEM_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _make_folder(folder: Path) -> None:
    """Make the folder, its user's own."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(folder, SYSTEM_USER)
        folder.parent.chmod(folder.parent.stat().st_mode | 0o001)  # may be passed through, still not listed


def _run(command: list[str], **env: str) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd="/", env={**os.environ, **env}, **_identity()
    )
    if done.returncode != 0:
        raise MissingServerError(f"{' '.join(command)} failed:\n{done.stderr[-1000:]}")
