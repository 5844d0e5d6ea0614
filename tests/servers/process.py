"""A real server as a child process: started, waited for, killed, restarted, and never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CACHE = Path(os.environ.get("RIFTLINE_SERVERS", Path(__file__).resolve().parents[2] / ".servers"))
PORTS = range(21000, 32000)  # above those of Ray's workers, below those that the kernel gives to clients
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0


class MissingServerError(Exception):
    """A server's program is not here; the message says which, and how to get it."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now."""
    while True:
        port = random.choice(PORTS)  # noqa: S311  # two runs at once should not meet
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def accepts(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool], what: str, within_s: float = START_TIMEOUT_S) -> None:
    """Wait until the condition holds. Raises TimeoutError naming ``what``."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.05)


class ServerProcess:
    """One server process. Its output goes to ``folder/log``; it leads a process group of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> None:
        """``ready`` is asked again and again after the start; ``popen`` goes to subprocess.Popen (``user=``)."""
        self.name = name
        self.folder = folder
        self._command = tuple(command)
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._popen = popen
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process, None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError with the end of its log when it dies first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._env, start_new_session=True, **self._popen
            )
        wait_for(self._ready_or_dead, f"the start of {self.name}")
        if self.pid is None:
            raise RuntimeError(f"{self.name} did not start:\n{self.log_tail()}")

    def stop(self) -> None:
        """End it politely, then by force, and wait until it is gone. Idempotent."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End it and its children by SIGKILL and wait until it is gone. Idempotent."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Stop it in the middle of what it does: it keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines of its output."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-30:])

    def _ready_or_dead(self) -> bool:
        return self.pid is None or self._ready()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # the leader may be gone while its group is not
                os.killpg(self._process.pid, number)
