"""A real ClickHouse over HTTP: chdb's engine, of the same source, behind a door of its own (`clickhouse_door`).

No package index carries a current server; what differs from one is the door, not what runs the SQL.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.servers.process import MissingServerError, ServerProcess, free_port

DOOR = Path(__file__).with_name("clickhouse_door.py")
USER, PASSWORD = "riftline", "p@ss/wörd"  # awkward on purpose, of a server that lives for minutes


def fetch() -> None:
    """Raise MissingServerError where chdb, a dependency of the project, is not installed."""
    if importlib.util.find_spec("chdb") is None:
        raise MissingServerError("chdb is missing; install the project's dependencies")


class ClickHouse:
    """One server process over ``folder``, which keeps its data over `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        fetch()
        self.port = free_port()
        self._data = folder / "data"
        command = [sys.executable, str(DOOR), str(self._data), str(self.port), USER, PASSWORD]
        self._process = ServerProcess("ClickHouse", command, folder, self._answers)

    @property
    def url(self) -> str:
        """The URL without a database, for its one user."""
        return f"http://{USER}:p%40ss%2Fw%C3%B6rd@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process.start()

    def stop(self) -> None:
        """End it politely."""
        self._process.stop()

    def kill(self) -> None:
        """End it by SIGKILL, in the middle of what it does."""
        self._process.kill()

    def restart(self) -> None:
        """Kill it and start it again over the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """It keeps its sockets and answers nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._process.resume()

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=1) as answer:
            return bool(answer.read() == b"Ok.\n")
        return False
