"""SIGKILL at random points, of the writing process and of the server: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.clickhouse.samples import make_database

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.servers.clickhouse import ClickHouse

pytestmark = pytest.mark.role("analytics, killed")

ROOT = Path(__file__).resolve().parents[3]
WRITER = Path(__file__).with_name("writer.py")
EMBEDDED_KILLS = 8
WRITER_KILLS = 12
SERVER_KILLS = 12
ROUND = 1_000_000  # numbers of one writer


class Writers:
    """Writing processes over one journal, one after another, and what they acknowledged."""

    def __init__(self, url: str, folder: Path) -> None:
        self._arguments = [url, str(folder / "data"), str(folder / "spill")]
        self._rounds = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.acknowledged: set[int] = set()
        self.calls = 0
        self.problems: list[str] = []

    def start(self) -> None:
        """Start the next writer and wait for its first acknowledgement."""
        self._rounds += 1
        self._process = self._run(str(self._rounds * ROUND))
        calls = self.calls
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait(lambda: self.calls > calls or bool(self.problems))

    def kill(self) -> None:
        """End it by SIGKILL and read what it had acknowledged."""
        assert self._process is not None
        assert self._reader is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def wait_for_calls(self, more: int) -> None:
        """Wait until so many more calls were acknowledged."""
        calls = self.calls + more
        self.wait(lambda: self.calls >= calls or self.problems)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def check(self) -> None:
        """Deliver the rest, and compare what is stored with what was acknowledged."""
        assert not self.problems
        drain = self._run("drain")
        out, _ = drain.communicate(timeout=120)
        assert drain.returncode == 0
        found = json.loads(out)
        numbers = found["numbers"]
        assert self.acknowledged - set(numbers) == set()
        assert len(numbers) == len(set(numbers))
        assert found["counted"] == found["sessions"] == len(numbers)
        assert len(self.acknowledged) > 100

    def _run(self, first: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(WRITER), *self._arguments, first]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if not line[0].isdigit() or not line.endswith("\n"):
                    self.problems.append(line)
                    continue
                first, size = map(int, line.split())
                self.acknowledged |= set(range(first, first + size))
                self.calls += 1


@pytest.fixture
def implementation(request: pytest.FixtureRequest) -> str:
    """The way to the engine."""
    return str(request.param)


@pytest.mark.parametrize("implementation", ["embedded"], indirect=True)
@pytest.mark.usefixtures("implementation")
def test_a_killed_process_loses_neither_its_journal_nor_its_engine(tmp_path: Path, dice: random.Random) -> None:
    """The engine and the journal die together, in the middle of recording and delivering."""
    writers = Writers("", tmp_path)
    for _ in range(EMBEDDED_KILLS):
        writers.start()
        writers.wait_for_calls(dice.randrange(60))
        writers.kill()
    writers.check()


@pytest.mark.parametrize("implementation", ["http"], indirect=True)
@pytest.mark.usefixtures("implementation")
async def test_killed_writers_and_servers_lose_and_double_nothing(
    own_server: ClickHouse, tmp_path: Path, dice: random.Random
) -> None:
    """The server is killed and restarted under a writer, the writer under a server, and both."""
    url = await make_database(own_server.url)
    writers = Writers(url, tmp_path)
    events = ["writer"] * WRITER_KILLS + ["server"] * SERVER_KILLS
    dice.shuffle(events)
    writers.start()
    for event in events:
        writers.wait_for_calls(dice.randrange(60))
        if event == "writer":
            writers.kill()
            writers.start()
        else:
            own_server.restart()
    writers.kill()
    writers.check()
