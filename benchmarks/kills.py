"""How many requests fail while a replica of the gateway is killed every two seconds, under closed-loop load.

Needs a running Riftline with several replicas (`RIFTLINE_GATEWAY_REPLICAS=4 riftline up`). No request is asked again by
its client. A connection that ends between two requests is opened again and is no failure.
"""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import contenders, processes, report, rounds
from benchmarks.checked import check_riftline
from benchmarks.questions import supply
from stores.errors import TransientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from concurrent.futures import Future

    from benchmarks.load import LoadReport
    from stores.settings import Settings

EXAMPLE = "python -m benchmarks.kills --seconds 60 --every 2 --connections 32"
FEWEST, USUAL = 2, 4
MOST_PER_SECOND = 8_000
STARTED_S = 2.0  # by then the generator sends
SETTLED_S = 15.0  # load without kills at the end: what hangs is answered or refused by then
BACK_WITHIN_S = 120.0
SAMPLES = 50


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready, with several replicas."""
    ours = contenders.riftline(settings)
    replicas = len(processes.replicas(settings))
    if replicas < FEWEST:
        raise TransientError(
            f"{replicas} replica of the gateway runs; run `RIFTLINE_GATEWAY_REPLICAS={USUAL} riftline up`"
        )
    count = int(MOST_PER_SECOND * plan.seconds)
    questions = supply(settings, count)
    load = ours.load(plan.seconds + SETTLED_S, plan.connections, SAMPLES)
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(rounds.generate, load, questions.upcoming(count))
        living = _kill(settings, plan, loading)
        found = loading.result()
    questions.asked(found.sent)
    back_s = _wait_for(settings, replicas)
    checked = {"riftline": check_riftline(settings, found.samples)}
    return {
        "replicas": replicas,
        "kills": len([count for count in living if count]),
        "turns": len(living),
        "fewest_serving": min(living),
        "replicas_back_s": back_s,
        "questions_repeated": questions.repeated,
        "checked": checked,
        **figures(found),
    }


def figures(found: LoadReport) -> dict[str, Any]:
    """What the load tells of failures."""
    causes = {**found.errors, "not answered": found.overdue} if found.overdue else found.errors
    failures = sum(causes.values())
    requests = found.answers + failures
    return {
        "requests": requests,
        "failures": causes,
        "failures_per_10000": round(failures / requests * 10_000, 3),
        "answers_per_second": round(found.per_second, 1),
        "latency": found.latency,
        "worst_gap_s": found.worst_gap_s,
    }


def _kill(settings: Settings, plan: argparse.Namespace, loading: Future[LoadReport]) -> list[int]:
    """Kill one replica that serves, whichever, at each turn; returns how many served before it.

    Where none serves none is killed: to kill what starts up would only prove that nothing can start.
    """
    chooser = random.Random(0)  # noqa: S311 — repeatable, no secret
    living: list[int] = []
    begun = time.monotonic() + STARTED_S
    for turn in range(max(int((plan.seconds - STARTED_S) / plan.every), 1)):
        time.sleep(max(begun + turn * plan.every - time.monotonic(), 0.0))
        if loading.done():
            break
        found = processes.serving(settings)
        living.append(len(found))
        report.note(f"{len(found)} replicas serve")
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                chooser.choice(found).kill()
    return living


def _wait_for(settings: Settings, replicas: int) -> float | None:
    """Seconds until so many replicas serve again, for whatever is measured next; None if they do not come."""
    begun = time.monotonic()
    while time.monotonic() < begun + BACK_WITHIN_S:
        if len(processes.serving(settings)) >= replicas:
            return round(time.monotonic() - begun, 1)
        time.sleep(0.5)
    return None


def show(document: Mapping[str, Any]) -> None:
    """The table."""
    failures = report.causes(document["failures"])
    head = (
        "replicas (fewest)",
        "kills of turns",
        "requests",
        "requests/s",
        "failures",
        "per 10,000",
        "p99 ms",
        "worst gap s",
    )
    row = (
        f"{document['replicas']} ({document['fewest_serving']})",
        f"{document['kills']} of {document['turns']}",
        f"{document['requests']:,}",
        document["answers_per_second"],
        failures,
        document["failures_per_10000"],
        f"{document['latency']['p99_ms']:.1f} (worst {document['latency']['max_ms']:.0f})",
        document["worst_gap_s"],
    )
    report.table("one replica killed at a time, clients ask once", head, [row])
    print(f"all {document['replicas']} replicas served again {document['replicas_back_s']} s after the load")
    if document["replicas"] < USUAL:
        print(
            f"{document['replicas']} replicas; the figure is of {USUAL}: RIFTLINE_GATEWAY_REPLICAS={USUAL} riftline up"
        )


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (%(default)s)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds from kill to kill (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="one request at a time each (%(default)s)")
    report.run("kills", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
