"""Riftline beyond its capacity: what it refuses and how, what it still answers, its memory, and how soon it recovers.

Needs a running Riftline (`riftline up`). In each round a closed loop finds the sustained rate; then so many times that
rate is offered on a schedule that waits for nobody, over a bounded number of connections. A probe asks one question
after the other all the time; recovered is when from there on all its answers come within 50 ms. Memory is that of the
gateway's replicas. The load generator shares the cores.
"""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import contenders, processes, report, rounds
from benchmarks.open_load import OpenLoad
from benchmarks.open_loop import MOST_PER_SECOND, SUSTAINED_S, sustained_rate
from benchmarks.questions import supply

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import psutil

    from benchmarks.contenders import Contender
    from benchmarks.open_load import OpenReport
    from benchmarks.questions import Supply
    from stores.settings import Settings

EXAMPLE = "python -m benchmarks.overload --seconds 8 --connections 512 --times 2 4"
PROBE_EVERY_S = 0.05
WITHIN_S = 0.05  # a probe's answer is in time
STEADY_S = 1.0  # so long all probes must be in time
GIVEN_UP_S = 30.0
PROBE_TIMEOUT_S = 15.0
MEMORY_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe: when it began on the machine's monotonic clock, how long it took, whether it was answered."""

    begun_s: float
    took_s: float
    answered: bool

    @property
    def in_time(self) -> bool:
        """Whether it was answered within WITHIN_S."""
        return self.answered and self.took_s <= WITHIN_S


def recovered_after_s(probes: Sequence[Probed], ended_s: float) -> float | None:
    """Seconds from the end of the load to the first probe from which on all were in time, for STEADY_S at least.

    A probe under way at the end counts; None if it has not come to that yet.
    """
    after = [one for one in probes if one.begun_s + one.took_s >= ended_s]
    steady = list(itertools.takewhile(lambda one: one.in_time, reversed(after)))
    if not steady or steady[0].begun_s - steady[-1].begun_s < STEADY_S:
        return None
    return max(steady[-1].begun_s - ended_s, 0.0)


class Probe:
    """Asks the first question again and again from a thread of its own."""

    def __init__(self, contender: Contender, question: bytes) -> None:
        self.probes: list[Probed] = []
        self._url = f"http://{contender.host}:{contender.port}{contender.path}"
        self._question = question
        self._client = httpx.Client(headers={"content-type": "application/json"}, timeout=PROBE_TIMEOUT_S)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def ask(self) -> None:
        """One probe."""
        begun = time.monotonic()
        try:
            answered = self._client.post(self._url, content=self._question).status_code == 200
        except httpx.HTTPError:
            answered = False
        self.probes.append(Probed(begun, time.monotonic() - begun, answered))


@contextmanager
def every(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call again and again within the block, from a thread, with a pause of so many seconds."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            call()

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            yield
        finally:
            ended.set()
            working.result()


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    ours = contenders.riftline(settings)
    most = plan.rounds * len(plan.times) * (SUSTAINED_S + max(plan.times) * plan.seconds / 2)
    questions = supply(settings, int(MOST_PER_SECOND * most))
    sustained_rate(ours, questions)  # warms up
    done = []
    for times in plan.times * plan.rounds:
        done.append(_offered(settings, ours, questions, plan, times))
        report.note(f"{times:g} times: {done[-1]['outcomes']}, recovered after {done[-1]['recovered_s']} s")
    return {"questions_repeated": questions.repeated, "rounds": done}


def _offered(
    settings: Settings, ours: Contender, questions: Supply, plan: argparse.Namespace, times: float
) -> dict[str, Any]:
    sustained = sustained_rate(ours, questions)
    load = OpenLoad.like(ours.load(plan.seconds, plan.connections), times * sustained)
    replicas = processes.replicas(settings)
    before, during = processes.resident_mb(replicas), [processes.resident_mb(replicas)]
    probe = Probe(ours, questions.upcoming(1)[0])
    with every(PROBE_EVERY_S, probe.ask):
        with every(MEMORY_EVERY_S, lambda: during.append(processes.resident_mb(replicas))):
            found = rounds.generate_open(load, questions.upcoming(int(1.1 * load.rate * load.seconds) + 100))
        questions.asked(found.sent)
        recovered_s = _awaited(probe, found.ended_s)
    probe.close()
    memory = {"before": sum(before), "most": max(map(sum, during)), "after": sum(processes.resident_mb(replicas))}
    return {
        "times": times,
        "sustained_per_second": sustained,
        "replicas": len(replicas),
        "replicas_lost": _lost(replicas),
        "memory_mb": {name: round(value, 1) for name, value in memory.items()},
        "recovered_s": None if recovered_s is None else round(recovered_s, 2),
        "probes_in_time": _share(probe.probes, found),
        **found.to_json(),
    }


def _lost(replicas: Sequence[psutil.Process]) -> int:
    return sum(not process.is_running() for process in replicas)


def _share(probes: Sequence[Probed], found: OpenReport) -> float:
    """Of the probes during the load, those that were answered in time."""
    during = [one for one in probes if found.ended_s - found.seconds <= one.begun_s <= found.ended_s]
    return round(sum(one.in_time for one in during) / max(len(during), 1), 3)


def _awaited(probe: Probe, ended_s: float) -> float | None:
    deadline = ended_s + GIVEN_UP_S
    while (recovered_s := recovered_after_s(list(probe.probes), ended_s)) is None and time.monotonic() < deadline:
        time.sleep(PROBE_EVERY_S)
    return recovered_s


def show(document: Mapping[str, Any]) -> None:
    """The tables, a row for each round."""
    answered, cost = [], []
    for one in document["rounds"]:
        other = sum(count for name, count in one["outcomes"].items() if name not in {"200", "429", "503"})
        counts = [one["outcomes"].get(status, 0) for status in ("200", "429", "503")]
        lost = (other, one["unsent"], one["unanswered"], one["refused_without_retry_after"])
        offered = f"{one['times']:g} x {one['sustained_per_second']:,.0f}"
        answered.append((offered, *(f"{count:,}" for count in counts), *lost, f"{one['per_second']:,.0f}"))
        latency = [f"{one[kind][name]:,.1f}" for kind in ("from_written", "from_due") for name in ("p95_ms", "p99_ms")]
        memory = [f"{value:,.0f}" for value in one["memory_mb"].values()]
        again = f"over {GIVEN_UP_S:.0f}" if one["recovered_s"] is None else f"{one['recovered_s']:.2f}"
        cost.append((offered, *latency, *memory, one["replicas_lost"], f"{one['probes_in_time']:.0%}", again))
    refused = ("200", "429", "503", "other", "unsent", "unanswered", "without Retry-After")
    report.table("what became of the requests", ("offered/s", *refused, "answered/s"), answered)
    latency_head = ("p95 written", "p99 written", "p95 due", "p99 due")
    memory_head = ("MB before", "most", "after")
    head = ("offered/s", *latency_head, *memory_head, "replicas lost", "probes in time", "recovered s")
    report.table("answers in ms, memory of the replicas, a probe beside", head, cost)
    print(f"gateway replicas: {document['rounds'][0]['replicas']}; unsent: no connection was free until the end")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    report.add_effort(parser, rounds=1, seconds=6.0, connections=512)
    parser.add_argument("--times", type=float, nargs="+", default=[2.0, 4.0], help="the sustained rate (2 4)")
    report.run("overload", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
