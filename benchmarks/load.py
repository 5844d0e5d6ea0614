"""A closed-loop HTTP/1.1 load generator: each of N keep-alive connections sends its next request when answered.

Runs in its own process, one for all peers. The bodies come on standard input, one JSON document a line:

    python -m benchmarks.questions --count 100000 | python -m benchmarks.load POST /predict/single --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import orjson
import uvloop

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_END = b"\r\n\r\n"
RECONNECT_AFTER_S = 0.05
LOST = "connection lost"


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

    ``times_sent`` above 1 says that the bodies did not suffice and were cycled.
    """

    seconds: float
    answers: int
    errors: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    times_sent: int
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
        return cls(**values | {"samples": tuple(Sample(**sample) for sample in values["samples"])})


@dataclass(frozen=True, slots=True)
class Response:
    """One whole response at the head of a buffer; ``size`` is what it takes of it."""

    status: int
    body: bytes
    size: int
    keep_alive: bool


def parse_response(buffer: bytes | bytearray) -> Response | None:
    """The first response of a buffer, or None until it is whole. Raises ValueError unless it gives its length."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 ") or at < 0:
        raise ValueError(f"not an HTTP/1.1 response with a content-length: {head[:200]!r}")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    begin = end + len(HEAD_END)
    if len(buffer) < begin + length:
        return None
    keep_alive = b"\r\nconnection: close" not in head
    return Response(int(head[9:12]), bytes(buffer[begin : begin + length]), begin + length, keep_alive)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the rising values that at least this share does not exceed (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


class Recorder:
    """Counts answers and keeps a fair sample of them (each answer is equally likely to be kept)."""

    def __init__(self, samples: int) -> None:
        self.latencies_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self._wanted = samples
        self._random = random.Random(0)  # noqa: S311 — a sample, no secret

    def answered(self, request: bytes, response: Response, latency_s: float) -> None:
        """Count one response."""
        if response.status != 200:
            self.errors[str(response.status)] += 1
            return
        self.latencies_s.append(latency_s)
        seen = len(self.latencies_s)
        place = seen - 1 if seen <= self._wanted else int(self._random.random() * seen)
        if place < self._wanted:
            sample = Sample(request.decode(), response.body.decode())
            self.samples[place : place + 1] = [sample]


class Bodies:
    """Hands out the bodies in turn; starts again only when all were sent."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._bodies = bodies or (b"",)
        self.sent = 0

    def take(self) -> bytes:
        """The next body."""
        body = self._bodies[self.sent % len(self._bodies)]
        self.sent += 1
        return body

    @property
    def times_sent(self) -> int:
        """How often the body that was sent most often was sent."""
        return -(-self.sent // len(self._bodies))


class _Connection(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last is whole."""

    def __init__(self, head: bytes, bodies: Bodies, recorder: Recorder) -> None:
        self._head = head
        self._bodies = bodies
        self._recorder = recorder
        self._buffer = bytearray()
        self._body = b""
        self._sent_at = 0.0
        self._waits = False
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        assert self._transport is not None
        try:
            response = parse_response(self._buffer)
        except ValueError:
            self._recorder.errors["not understood"] += 1
            self._waits = False
            self._transport.abort()
            return
        if response is None:
            return
        self._recorder.answered(self._body, response, time.perf_counter() - self._sent_at)
        del self._buffer[: response.size]
        self._waits = False
        if response.keep_alive:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._waits:
            self._recorder.errors[LOST] += 1
        if not self.ended.done():
            self.ended.set_result(None)

    def stop(self) -> None:
        """Leave at once; the answer that is awaited does not count."""
        self._waits = False
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        assert self._transport is not None
        self._body = self._bodies.take()
        self._waits = True
        self._sent_at = time.perf_counter()
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(self._body), self._body))


async def run(load: Load, bodies: Sequence[bytes]) -> LoadReport:
    """Send for so many seconds and report; a connection that ends is opened again."""
    recorder, queue = Recorder(load.samples), Bodies(bodies)
    cpu_begun, begun = time.process_time(), time.perf_counter()
    tasks = [asyncio.create_task(_keep_connected(load, queue, recorder)) for _ in range(load.connections)]
    await asyncio.sleep(load.seconds)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ordered = [value * 1e3 for value in sorted(recorder.latencies_s)]
    p50, p95, p99 = (round(percentile(ordered, share), 3) for share in (0.5, 0.95, 0.99))
    samples = tuple(recorder.samples)
    return LoadReport(seconds, len(ordered), dict(recorder.errors), p50, p95, p99, queue.times_sent, cpu_s, samples)


async def _keep_connected(load: Load, bodies: Bodies, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    head = (
        f"{load.method} {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        "User-Agent: riftline-bench\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()
    while True:
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(head, bodies, recorder), load.host, load.port
            )
        except OSError:
            recorder.errors["not connected"] += 1
            await asyncio.sleep(RECONNECT_AFTER_S)
            continue
        try:
            await connection.ended
        finally:
            connection.stop()


def arguments(words: Sequence[str] | None = None) -> Load:
    """The command line as a load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=("GET", "POST"))
    parser.add_argument("path")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--samples", type=int, default=0, help="answers to give back for checking")
    return Load(**vars(parser.parse_args(words)))


def main() -> None:
    """Send what standard input holds and print the report as JSON."""
    load = arguments()
    bodies = sys.stdin.buffer.read().splitlines() if load.method == "POST" else []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run(load, bodies))
    sys.stdout.buffer.write(orjson.dumps(asdict(report)) + b"\n")


if __name__ == "__main__":
    main()
