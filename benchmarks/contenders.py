"""Who is measured: the running Riftline, and the peers that are started beside it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

from benchmarks.load import Load
from stores.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.settings import Settings

START_TIMEOUT_S = 60.0
FIRST_PORT, LAST_PORT = 9200, 9999  # Ray's workers take 10002 to 19999
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Contender:
    """A name for the table, and where requests go."""

    name: str
    host: str
    port: int
    method: str = "POST"
    path: str = "/predict/single"
    workers: int = 0
    repeats: int = 0  # so many questions, asked again and again; 0: each is asked once

    def load(self, seconds: float, connections: int, samples: int = 0) -> Load:
        """Closed-loop load on it."""
        return Load(self.host, self.port, self.method, self.path, seconds, connections, samples)


def riftline(settings: Settings) -> Contender:
    """The running service. Raises TransientError unless it is ready."""
    host, port = settings.cluster.http_host, settings.cluster.http_port
    try:
        answer = httpx.get(f"http://{host}:{port}/ready", timeout=5)
    except httpx.HTTPError as error:
        raise TransientError(f"Riftline does not answer on {host}:{port}; start it with `riftline up`") from error
    if answer.status_code != 200:
        raise TransientError(f"Riftline on {host}:{port} is not ready ({answer.text[:200]}); run `riftline up`")
    return Contender("riftline", host, port)


@contextlib.contextmanager
def started_peer(workers: int) -> Iterator[tuple[Contender, psutil.Process]]:
    """The peer with so many workers, all of them ready; ended with the block."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peer:create", "--factory", "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "warning", "--no-access-log"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            _wait_for(port, workers, process)
            contender = Contender(f"peer, {workers} worker{'s'[: workers - 1]}", "127.0.0.1", port, workers=workers)
            yield contender, psutil.Process(process.pid)
        finally:
            process.terminate()


def free_port() -> int:
    """The first port from FIRST_PORT on that nobody listens on."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise TransientError(f"no port from {FIRST_PORT} to {LAST_PORT} is free")


def _wait_for(port: int, workers: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    seen: set[int] = set()
    while len(seen) < workers:
        if process.poll() is not None or time.monotonic() > deadline:
            raise TransientError(f"only {len(seen)} of the peer's {workers} workers answered")
        with contextlib.suppress(httpx.HTTPError):
            seen.add(httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["pid"])
        time.sleep(0.05)
