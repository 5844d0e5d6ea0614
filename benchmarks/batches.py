"""`/predict/batch` of 1,000 different questions: latency of one at a time, and predictions a second of several.

Needs a running Riftline (`riftline up`). With 0 connections, the default, they are as many as replicas.
Every question of every sampled batch must be answered, and some are checked.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import contenders, cpu, processes, report, rounds
from benchmarks.checked import check_batches
from benchmarks.questions import Supply, supply

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from stores.settings import Settings

EXAMPLE = "python -m benchmarks.batches --rounds 5 --seconds 6 --connections 2"
SIZE = 1000
MOST_QUESTIONS = 500_000
KEPT_READY = 400  # batches for one turn
SAMPLES_PER_ROUND = 2
CHECKED_PER_BATCH = 20
ONE = "one at a time"


def batches(questions: Sequence[bytes]) -> list[bytes]:
    """Bodies of SIZE questions each, every question in one of them; what is left over is left."""
    wholes = range(0, len(questions) - SIZE + 1, SIZE)
    return [b'{"requests":[%s]}' % b",".join(questions[start : start + SIZE]) for start in wholes]


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    ours = replace(contenders.riftline(settings), path="/predict/batch")
    replicas = len(processes.replicas(settings))
    many = plan.connections or replicas
    who = {ONE: 1, f"over {many} connections": many}
    bodies = Supply(batches(supply(settings, MOST_QUESTIONS).upcoming(MOST_QUESTIONS)))
    rounds.generate(ours.load(plan.seconds / 2, many), bodies.upcoming(KEPT_READY))  # warms up
    read_cpu = partial(cpu.cpu_now, processes.of_riftline(settings), frozenset[int]())
    done: dict[str, list[rounds.Round]] = {name: [] for name in who}
    for name, connections in itertools.chain(*rounds.orders(list(who.items()), plan.rounds)):
        load = ours.load(plan.seconds, connections, SAMPLES_PER_ROUND)
        one = rounds.measured(name, read_cpu, partial(rounds.generate, load, bodies.upcoming(KEPT_READY)))
        bodies.asked(one.report.sent)
        done[name].append(one)
        report.note(f"round {len(done[name])}: {name}: {one.report.per_second * SIZE:.0f} predictions/s")
    samples = [sample for of_one in done.values() for one in of_one for sample in one.report.samples]
    return {
        "replicas": replicas,
        "summary": rounds.summary(done),
        "questions_repeated": bodies.repeated,  # in another batch, never within one
        "checked": {"riftline": check_batches(settings, samples, CHECKED_PER_BATCH)},
        "rounds": [[one.to_json() for one in of_one] for of_one in done.values()],
    }


def show(document: Mapping[str, Any]) -> None:
    """The table, median and worst of each figure."""
    rows = []
    for row in document["summary"]:
        rate = report.pair([value * SIZE for value in row["per_second"]], 0)
        latency = [report.pair(row[name], 1) for name in ("p50_ms", "p95_ms", "p99_ms")]
        each = row["cpu_us_per_answer"].get(cpu.GATEWAY, 0.0) / SIZE
        rows.append((row["name"], rate, *latency, f"{each:.1f}", report.causes(row["errors"])))
    head = (f"batches of {SIZE}", "predictions/s", "p50 ms", "p95 ms", "p99 ms", "gateway us a prediction", "errors")
    report.table("median (worst) of the rounds", head, rows)
    print(f"gateway replicas: {document['replicas']}")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    report.add_effort(parser, rounds=5, seconds=6.0, connections=0)
    report.run("batches", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
