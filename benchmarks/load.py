"""A closed-loop HTTP/1.1 load generator: each of N keep-alive connections sends its next request when answered.

Runs in its own process, one for all peers. The items come on standard input, a line each: the bodies of a POST (JSON
documents), or what follows the path of a GET.

    python -m benchmarks.questions --count 100000 | python -m benchmarks.load POST /predict/single --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import uvloop

from benchmarks.http_connection import NOT_CONNECTED, Connection, Requests
from benchmarks.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from benchmarks.http_connection import Outcome

RECONNECT_AFTER_S = 0.05
OVERDUE_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, to whom, for how long."""

    host: str
    port: int
    method: str
    path: str
    seconds: float
    connections: int
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered request, to be checked afterwards."""

    request: str
    response: str


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came back within the time. ``errors`` counts by status or cause; only 200 counts as an answer.

    ``sent`` says how many items were sent, those at the end that nobody waited for among them; where there were fewer
    they were cycled. ``worst_gap_s`` is the longest time without an answer; ``overdue`` requests had waited for more
    than OVERDUE_S when the time was over.
    """

    seconds: float
    answers: int
    errors: dict[str, int]
    latency: Latency
    worst_gap_s: float
    overdue: int
    sent: int
    generator_cpu_s: float
    samples: tuple[Sample, ...]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    @classmethod
    def from_json(cls, text: bytes) -> LoadReport:
        """Read what the command printed."""
        values = orjson.loads(text)
        samples = tuple(Sample(**sample) for sample in values["samples"])
        return cls(**values | {"samples": samples, "latency": Latency(**values["latency"])})


class Samples:
    """A fair sample of what it is offered: each is equally likely to be kept."""

    def __init__(self, wanted: int) -> None:
        self.kept: list[Sample] = []
        self._wanted = wanted
        self._seen = 0
        self._random = random.Random(0)  # noqa: S311 — a sample, no secret

    def offer(self, request: bytes, response: bytes) -> None:
        """Keep it, or not."""
        self._seen += 1
        place = self._seen - 1 if self._seen <= self._wanted else int(self._random.random() * self._seen)
        if place < self._wanted:
            self.kept[place : place + 1] = [Sample(request.decode(), response.decode())]


class Recorder:
    """Counts outcomes; times are those of one monotonic clock, in seconds."""

    def __init__(self, samples: int, begun_s: float) -> None:
        self.latencies_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self.samples = Samples(samples)
        self._worst_gap_s = 0.0
        self._answered_s = begun_s

    def told(self, request: bytes, outcome: Outcome, sent_s: float, now_s: float) -> None:
        """Count one outcome."""
        if isinstance(outcome, str):
            self.errors[outcome] += 1
        elif outcome.status != 200:
            self.errors[str(outcome.status)] += 1
        else:
            self.latencies_s.append(now_s - sent_s)
            self._worst_gap_s = self.worst_gap_s(now_s)
            self._answered_s = now_s
            self.samples.offer(request, outcome.body)

    def worst_gap_s(self, now_s: float) -> float:
        """The longest time without an answer until now."""
        return max(self._worst_gap_s, now_s - self._answered_s)


class Items:
    """Hands out the items in turn; starts again only when all were sent."""

    def __init__(self, items: Sequence[bytes]) -> None:
        self._items = items or (b"",)
        self.sent = 0

    def take(self) -> bytes:
        """The next one."""
        item = self._items[self.sent % len(self._items)]
        self.sent += 1
        return item


class _Asker:
    """Asks over one connection after another: the next request leaves when the answer to the last is whole."""

    def __init__(self, requests: Requests, items: Items, recorder: Recorder) -> None:
        self._requests = requests
        self._items = items
        self._recorder = recorder
        self._sent_s: float | None = None

    def ask(self, connection: Connection) -> None:
        """Begin; goes on until the connection ends."""
        item = self._items.take()
        request = self._requests.of(item)
        self._sent_s = sent_s = time.perf_counter()

        def told(outcome: Outcome) -> None:
            self._sent_s = None
            self._recorder.told(item, outcome, sent_s, time.perf_counter())
            if connection.is_open:
                self.ask(connection)

        connection.ask(request, told)

    def is_overdue(self, now_s: float) -> bool:
        """Whether an answer is awaited for too long."""
        return self._sent_s is not None and now_s - self._sent_s > OVERDUE_S


async def run(load: Load, items: Sequence[bytes]) -> LoadReport:
    """Send for so many seconds and report; a connection that ends is opened again."""
    cpu_begun, begun = time.process_time(), time.perf_counter()
    recorder, queue = Recorder(load.samples, begun), Items(items)
    requests = Requests(load.method, load.path, load.host, load.port)
    askers = [_Asker(requests, queue, recorder) for _ in range(load.connections)]
    tasks = [asyncio.create_task(_keep_connected(load, asker, recorder)) for asker in askers]
    await asyncio.sleep(load.seconds)
    ended = time.perf_counter()
    cpu_s, gap_s = time.process_time() - cpu_begun, recorder.worst_gap_s(ended)
    overdue = sum(asker.is_overdue(ended) for asker in askers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return LoadReport(
        seconds=ended - begun,
        answers=len(recorder.latencies_s),
        errors=dict(recorder.errors),
        latency=Latency.of(recorder.latencies_s),
        worst_gap_s=round(gap_s, 4),
        overdue=overdue,
        sent=queue.sent,
        generator_cpu_s=cpu_s,
        samples=tuple(recorder.samples.kept),
    )


async def _keep_connected(load: Load, asker: _Asker, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, connection = await loop.create_connection(Connection, load.host, load.port)
        except OSError:
            recorder.errors[NOT_CONNECTED] += 1
            await asyncio.sleep(RECONNECT_AFTER_S)
            continue
        try:
            asker.ask(connection)
            await connection.ended
        finally:
            connection.stop()


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every generator takes."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("method", choices=("GET", "POST"))
    found.add_argument("path")
    found.add_argument("--host", default="127.0.0.1")
    found.add_argument("--port", type=int, required=True)
    found.add_argument("--seconds", type=float, default=4.0)
    found.add_argument("--connections", type=int, default=32)
    found.add_argument("--samples", type=int, default=0, help="answers to give back for checking")
    return found


def lines() -> list[bytes]:
    """The items of standard input; a terminal holds none."""
    return [] if sys.stdin.isatty() else sys.stdin.buffer.read().splitlines()


def report(work: Coroutine[object, object, object]) -> None:
    """Run it on uvloop and print what it returns, a dataclass, as JSON."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found: object = runner.run(work)
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:  # with -u, stdout writes a part only
        out.write(orjson.dumps(found) + b"\n")


def main() -> None:
    """Send what standard input holds and print the report as JSON."""
    load = Load(**vars(parser(__doc__).parse_args()))
    report(run(load, lines()))


if __name__ == "__main__":
    main()
