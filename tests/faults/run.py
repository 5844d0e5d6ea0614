"""One fault run: servers and writers are killed at random moments of a burst, and the books are compared at the end."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tests.faults.books import Books, Verdict
from tests.servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.target import Target

ROOT = Path(__file__).resolve().parents[2]
BETWEEN_KILLS = 20  # acknowledgements: every kill meets a burst
MOST_DELAY_S = 0.3  # after them, so that the kill falls anywhere in the burst
PROGRESS_TIMEOUT_S = 120.0


class Writer:
    """The writer process of the moment. What it says is noted by a thread of ours."""

    def __init__(self, target: str, options: dict[str, str], books: Books, unsettled: Sequence[str]) -> None:
        job = json.dumps({"target": target, "options": options, "unsettled": list(unsettled)})
        command = [sys.executable, "-m", "tests.faults.writer", job]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = Thread(target=self._note, args=(books,), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """End it by SIGKILL; all that it said is noted when this returns."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def end(self) -> None:
        """Let it finish what is under way. Raises RuntimeError when it failed."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(PROGRESS_TIMEOUT_S)
        self._reader.join()
        if code:
            raise RuntimeError(f"the writer ended with {code}")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def _note(self, books: Books) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last one of a killed writer may be torn
                books.note(line)


def run(target: Target, kills: int, seed: int, tell: Callable[[str], None]) -> Verdict:
    """Kill ``kills`` times, server and writer in turns as the target allows, and compare the books."""
    rng = random.Random(seed)  # noqa: S311  # chooses moments, guards nothing
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    books = Books()
    try:
        server = target.start(folder)
        options = target.options(folder)
        writer = Writer(target.name, options, books, ())
        for number in range(1, kills + 1):
            _burst(books, writer)
            time.sleep(rng.uniform(0, MOST_DELAY_S))
            if server is not None and (number % 2 or not target.kills_writers):
                server.kill()
                server.start()
            else:
                writer.kill()
                writer = Writer(target.name, options, books, books.unsettled() if target.resends else ())
            tell(f"{target.name}: {number} kills, {len(books.acknowledged)} acknowledged")
        _burst(books, writer)
        writer.end()
        return books.verdict(kills, asyncio.run(target.found(options)))
    finally:
        target.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _burst(books: Books, writer: Writer) -> None:
    before = len(books.acknowledged)
    wait_for(
        lambda: len(books.acknowledged) >= before + BETWEEN_KILLS or not writer.alive,
        f"{BETWEEN_KILLS} acknowledgements",
        PROGRESS_TIMEOUT_S,
    )
    if not writer.alive:
        raise RuntimeError("the writer died by itself")
