"""An open-loop HTTP/1.1 load generator: requests leave when they are due, whether or not earlier ones were answered.

Their moments are a Poisson process, drawn before the start. A request takes any free connection; none being free, one
more is opened, up to the bound, and at the bound the request waits. Its latency counts from the moment it was due, so
that a slow answer is not left out because nobody could ask meanwhile (Tene 2013, "How NOT to measure latency").

    python -m benchmarks.questions --count 9000 | python -m benchmarks.open_load POST /predict/single --port 8000 \
        --rate 1500 --seconds 5 --connections 64
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import orjson

from benchmarks.http_connection import NOT_CONNECTED, Connection, Requests
from benchmarks.latency import Latency
from benchmarks.load import Items, Load, Sample, Samples, lines, parser, report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.http_connection import Outcome

GRACE_S = 12.0  # for what is under way at the end: HAProxy hangs up after 10


@dataclass(frozen=True, slots=True)
class OpenLoad(Load):
    """What to send, to whom, how often a second, over how many connections at most."""

    rate: float = 100.0
    seed: int = 0

    @classmethod
    def like(cls, load: Load, rate: float, seed: int = 0) -> Self:
        """The same load at a rate."""
        return cls(**asdict(load), rate=rate, seed=seed)


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What became of the requests that were due. ``outcomes`` counts by status or cause; 200 is an answer.

    ``unsent`` were still waiting for a free connection at the end, ``unanswered`` were given up after the grace. Both
    latencies are of answers: from the moment the request was due, and from the moment it was written. ``late`` is how
    long after it was due the generator itself came to a request, free connection or not. ``ended_s`` is the machine's
    monotonic clock when the last request was due.
    """

    seconds: float
    due: int
    outcomes: dict[str, int]
    unsent: int
    unanswered: int
    refused_without_retry_after: int
    from_due: Latency
    from_written: Latency
    late: Latency
    connections: int
    sent: int
    ended_s: float
    generator_cpu_s: float
    samples: tuple[Sample, ...]

    @property
    def answers(self) -> int:
        """How many got 200."""
        return self.outcomes.get("200", 0)

    @property
    def per_second(self) -> float:
        """Answers per second of the schedule."""
        return self.answers / self.seconds

    @property
    def failures(self) -> dict[str, int]:
        """What was due and not answered, by status or cause."""
        counts = {**self.outcomes, "unsent": self.unsent, "unanswered": self.unanswered}
        return {cause: count for cause, count in counts.items() if count and cause != "200"}

    def to_json(self) -> dict[str, Any]:
        """All but the samples."""
        values = asdict(self)
        del values["samples"]
        return {"per_second": self.per_second, **values}

    @classmethod
    def from_json(cls, text: bytes) -> OpenReport:
        """Read what the command printed."""
        values = orjson.loads(text)
        latencies = {name: Latency(**values[name]) for name in ("from_due", "from_written", "late")}
        return cls(**values | latencies | {"samples": tuple(Sample(**sample) for sample in values["samples"])})


def schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """When requests are due, in seconds from the start: a Poisson process of so many a second."""
    chooser = np.random.default_rng(seed)
    count = int(chooser.poisson(rate * seconds))  # given their number, the moments are uniform (Kingman 1993, 2.4)
    moments: list[float] = np.sort(chooser.uniform(0.0, seconds, count)).tolist()
    return moments


class Due(NamedTuple):
    """A request that is due, and since when."""

    item: bytes
    due_s: float


class Ledger:
    """Keeps account of what was due and what became of it; times are of one monotonic clock, in seconds."""

    def __init__(self, samples: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.refused_without_retry_after = 0
        self.from_due_s: list[float] = []
        self.from_written_s: list[float] = []
        self.samples = Samples(samples)

    def told(self, request: Due, outcome: Outcome, written_s: float, now_s: float) -> None:
        """Count one outcome."""
        if isinstance(outcome, str):
            self.outcomes[outcome] += 1
            return
        self.outcomes[str(outcome.status)] += 1
        if outcome.status == 200:
            self.from_due_s.append(now_s - request.due_s)
            self.from_written_s.append(now_s - written_s)
            self.samples.offer(request.item, outcome.body)
        elif outcome.status in {429, 503} and not outcome.says_when_to_retry:
            self.refused_without_retry_after += 1


class Pool:
    """Connections, opened when none is free, up to a bound; what finds none waits in order."""

    def __init__(self, load: OpenLoad, ledger: Ledger) -> None:
        self.waiting: deque[Due] = deque()
        self.under_way = 0
        self.most_open = 0
        self._load = load
        self._ledger = ledger
        self._requests = Requests(load.method, load.path, load.host, load.port)
        self._free: list[Connection] = []  # the last to be free is the first to be used, so that few are open
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def send(self, request: Due) -> None:
        """Over a free connection at once, or over the next that is free."""
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                self._ask(connection, request)
                return
        self.waiting.append(request)
        self._open_one()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()

    def close(self) -> None:
        """Leave at once."""
        for task in self._opening:
            task.cancel()
        for connection in self._open:
            connection.stop()

    def _open_one(self) -> None:
        if len(self._open) + len(self._opening) < self._load.connections:
            task = asyncio.get_running_loop().create_task(self._opened())
            self._opening.add(task)
            task.add_done_callback(self._has_opened)
            self.most_open = max(self.most_open, len(self._open) + len(self._opening))

    def _has_opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self.waiting:  # what came while as many as may be were being opened
            self._open_one()

    async def _opened(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(Connection, self._load.host, self._load.port)
        except OSError:
            if self.waiting:
                self.waiting.popleft()
                self._ledger.outcomes[NOT_CONNECTED] += 1
            return
        self._open.add(connection)
        connection.ended.add_done_callback(lambda _: self._open.discard(connection))
        self._is_free(connection)

    def _is_free(self, connection: Connection) -> None:
        if self.waiting:
            self._ask(connection, self.waiting.popleft())
        else:
            self._free.append(connection)

    def _ask(self, connection: Connection, request: Due) -> None:
        text = self._requests.of(request.item)
        written_s = time.monotonic()
        self.under_way += 1
        self._idle.clear()

        def told(outcome: Outcome) -> None:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()
            self._ledger.told(request, outcome, written_s, time.monotonic())
            if connection.is_open:
                self._is_free(connection)
            else:
                self._open.discard(connection)
                if self.waiting:
                    self._open_one()

        connection.ask(text, told)


class _Sender:
    """Sends what is due."""

    def __init__(self, load: OpenLoad, items: Items, pool: Pool) -> None:
        self.moments = schedule(load.rate, load.seconds, load.seed)
        self.late_s: list[float] = []
        self.begun_s = time.monotonic()
        self._items = items
        self._pool = pool
        self._next = 0

    @property
    def left(self) -> int:
        """How many were not come to."""
        return len(self.moments) - self._next

    def send_due(self) -> None:
        """Send, or let wait, whatever is due by now."""
        now = time.monotonic()
        while self.left and (due_s := self.begun_s + self.moments[self._next]) <= now:
            self._next += 1
            self.late_s.append(now - due_s)
            self._pool.send(Due(self._items.take(), due_s))


async def run(load: OpenLoad, items: Sequence[bytes]) -> OpenReport:
    """Send what is due for so many seconds, wait for what is under way, and report."""
    ledger, queue = Ledger(load.samples), Items(items)
    pool = Pool(load, ledger)
    loop = asyncio.get_running_loop()
    cpu_begun = time.process_time()
    sender = _Sender(load, queue, pool)
    await asyncio.to_thread(_wake, sender, lambda: loop.call_soon_threadsafe(sender.send_due))
    await asyncio.sleep(max(sender.begun_s + load.seconds - time.monotonic(), 0.0))
    cpu_s, ended_s = time.process_time() - cpu_begun, time.monotonic()
    unsent = len(pool.waiting) + sender.left
    pool.waiting.clear()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(pool.idle(), GRACE_S)
    unanswered = pool.under_way
    pool.close()
    return OpenReport(
        seconds=load.seconds,
        due=len(sender.moments),
        outcomes=dict(ledger.outcomes),
        unsent=unsent,
        unanswered=unanswered,
        refused_without_retry_after=ledger.refused_without_retry_after,
        from_due=Latency.of(ledger.from_due_s),
        from_written=Latency.of(ledger.from_written_s),
        late=Latency.of(sender.late_s),
        connections=pool.most_open,
        sent=queue.sent,
        ended_s=ended_s,
        generator_cpu_s=cpu_s,
        samples=tuple(ledger.samples.kept),
    )


def _wake(sender: _Sender, call: Callable[[], object]) -> None:
    """Call at each moment, from a thread: it sleeps to a twentieth of a millisecond, libuv's timers to one."""
    for moment in sender.moments:
        wait_s = sender.begun_s + moment - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        call()


def main() -> None:
    """Send what standard input holds and print the report as JSON."""
    words = parser(__doc__)
    words.add_argument("--rate", type=float, required=True, help="requests a second")
    words.add_argument("--seed", type=int, default=0, help="of the schedule")
    report(run(OpenLoad(**vars(words.parse_args())), lines()))


if __name__ == "__main__":
    main()
