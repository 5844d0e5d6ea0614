"""A release under load: how long from the start of a training until its model answers, and from a rollback likewise.

Needs a running Riftline (`riftline up --data ...` for real data). Questions are asked all the time, none may fail.

    python -m benchmarks.release --connections 4
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from benchmarks import contenders, report
from benchmarks.questions import draw, players_of
from benchmarks.released import read_released
from stores.errors import RiftlineError, TransientError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTIONS = 20_000
SAME_IN_A_ROW = 10  # answers of the new version: every replica has it
MOST_S = 900.0
FAILED, NOT_READY = 1, 3


class Load:
    """Questions without a pause over so many connections, counted by the status of their answers."""

    def __init__(self, url: str, bodies: list[bytes], connections: int) -> None:
        self.statuses: Counter[str] = Counter()
        self._bodies = itertools.cycle(bodies)
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(connections)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask within the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, headers={"content-type": "application/json"}, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    status = str(client.post("/predict/single", content=next(self._bodies)).status_code)
                except httpx.HTTPError as error:
                    status = type(error).__name__
                self.statuses[status] += 1


def measure(settings: Settings, connections: int) -> dict[str, Any]:
    """Train, wait until the model answers, roll back, wait again. Raises TransientError unless Riftline is ready."""
    contenders.riftline(settings)
    url = settings.cluster.base_url
    bodies = list(draw(players_of(read_released(settings).view), QUESTIONS))
    before = _serving(url)
    load = Load(url, bodies, connections)
    with load.running():
        begun = time.monotonic()
        _riftline("train")
        trained_s = time.monotonic() - begun
        released = _wait(url, lambda version: version != before)
        released_s = time.monotonic() - begun
        begun = time.monotonic()
        _riftline("models", "rollback", "--reason", "a measurement")
        _wait(url, lambda version: version == before)
        rolled_back_s = time.monotonic() - begun
    failed = {status: count for status, count in load.statuses.items() if status != "200"}
    return {
        "before": before,
        "released": released,
        "training_s": round(trained_s, 1),
        "training_to_serving_s": round(released_s, 1),
        "rollback_to_serving_s": round(rolled_back_s, 2),
        "answers": load.statuses["200"],
        "failed": failed,
        "load_average": psutil.getloadavg()[0],
    }


def _serving(url: str) -> str:
    version: str = httpx.get(f"{url}/models/status", timeout=30).raise_for_status().json()["model_version"]
    return version


def _wait(url: str, fits: Any) -> str:
    """The version that every replica answers with, once it fits."""
    deadline, in_a_row = time.monotonic() + MOST_S, 0
    while time.monotonic() < deadline:
        version = _serving(url)
        in_a_row = in_a_row + 1 if fits(version) else 0
        if in_a_row == SAME_IN_A_ROW:
            return version
    raise TransientError(f"another version is not served after {MOST_S:.0f} s; see `riftline models list`")


def _riftline(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("riftline")), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise TransientError(f"riftline {' '.join(arguments)} failed: {done.stdout[-500:]}{done.stderr[-500:]}")


def main() -> int:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    try:
        found = measure(Settings.from_env(os.environ), options.connections)
    except RiftlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_READY
    report.write("release", found)
    for name, value in found.items():
        print(f"{name:<24}{value}")
    return FAILED if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
