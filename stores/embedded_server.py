"""What every embedded server needs: one start at a time, its processes, its socket, its end."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SOCKET_PATH_BYTES = 107  # of sockaddr_un on Linux, the closing zero left out
KILL_TIMEOUT_S = 30  # the kernel gives back a large server's memory first


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold ``lock`` against other processes and threads; the kernel frees it when its holder dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_until(condition: Callable[[], object], within_s: float) -> bool:
    """Whether ``condition`` came true in time."""
    deadline = time.monotonic() + within_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(met)


def program(wheel: str, pattern: str, setting: str) -> Path:
    """Where a wheel holds a program. It is found, not imported: importing may make folders and warn."""
    package = importlib.util.find_spec(wheel)
    folders = package.submodule_search_locations if package else None
    found = [path for folder in folders or () for path in Path(folder).glob(pattern)]
    if not found:
        raise InvalidError(f"{wheel} is not installed with a server for this platform; install it or set {setting}")
    return found[0]  # the only one: a wheel is of one platform


def run(command: Sequence[str], timeout_s: float, **options: Any) -> int:
    """Run a program that may leave a server behind, and return its exit code, 124 when it ran out of time."""
    null = subprocess.DEVNULL  # a pipe would stay open as long as the server lives
    try:
        done = subprocess.run(  # noqa: S603  # our own arguments, no shell
            command, check=False, stdin=null, stdout=null, stderr=null, timeout=timeout_s, **options
        )
    except subprocess.TimeoutExpired:
        return 124
    return done.returncode


def processes(name: str, folder: Path, pids: Iterable[int] | None = None) -> list[psutil.Process]:
    """The living processes of ``name`` that work in ``folder``: an id alone may be a stranger's by now."""
    found = []
    for pid in psutil.pids() if pids is None else pids:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # gone meanwhile, or another user's
            process = psutil.Process(pid)
            if process.name() == name and process.cwd() == str(folder):  # a zombie has no folder
                found.append(process)
    return found


def end_processes(name: str, folder: Path, within_s: float) -> None:
    """Wait until no process of ``name`` works in ``folder``, and kill those that take longer than ``within_s``."""
    if not wait_until(lambda: not processes(name, folder), within_s):
        for process in processes(name, folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if not wait_until(lambda: not processes(name, folder), KILL_TIMEOUT_S):
            raise TransientError(f"{name} still works in {folder} after a kill")


def fits_socket(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES


def short_socket_dir(server: str, data_dir: Path) -> Path:
    """The place of the socket when its path in ``data_dir`` does not fit: always the same one for a data folder."""
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"riftline-{server}-{digest}"


def make_private(folder: Path, owner: int) -> None:
    """Make ``folder`` one that ``owner`` alone may enter: whoever reaches the socket in it is trusted."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), owner}:
        raise InvalidError(f"{folder} belongs to someone else; who owns it could pose as the server")
    os.chown(folder, owner, -1)
    folder.chmod(0o700)


def log_end(log: Path) -> str:
    """The last lines of a server's log, on one line."""
    with suppress(FileNotFoundError):
        return " | ".join(log.read_text(errors="replace").splitlines()[-5:])
    return "no log was written"
