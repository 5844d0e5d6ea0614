"""Latency of `/predict/single` at half of what Riftline sustains, with requests on a schedule that waits for nobody.

Needs a running Riftline (`riftline up`). Each round first finds the sustained rate in a closed loop, then sends at half
of it; latencies count from the moment a request was due. Every question is asked once, answers are checked.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks import contenders, processes, report, rounds
from benchmarks.checked import check_riftline
from benchmarks.open_load import OpenLoad
from benchmarks.questions import supply

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.open_load import OpenReport
    from benchmarks.questions import Supply
    from stores.settings import Settings

EXAMPLE = "python -m benchmarks.open_loop --rounds 5 --seconds 10 --share 0.5"
MOST_PER_SECOND = 16_000
MORE_THAN_ITS_MEAN = 1.2  # the schedule's number of requests is random
SUSTAINED_S = 4.0
SUSTAINED_CONNECTIONS = 32
SAMPLES_PER_ROUND = 20
FIGURES = ("p50_ms", "p95_ms", "p99_ms", "max_ms")


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    ours = contenders.riftline(settings)
    questions = supply(settings, int(MOST_PER_SECOND * plan.rounds * (SUSTAINED_S + plan.share * plan.seconds)))
    sustained_rate(ours, questions)  # warms up
    done = []
    for number in range(plan.rounds):
        sustained = sustained_rate(ours, questions)
        found = _at(ours, questions, plan, plan.share * sustained, number)
        done.append((sustained, found))
        said = f"p95 {found.from_due.p95_ms:.1f} ms, failures {report.causes(found.failures)}"
        report.note(f"round {number + 1}: {found.due / found.seconds:.0f}/s, {said}")
    samples = [sample for _, found in done for sample in found.samples]
    return {
        "replicas": len(processes.replicas(settings)),
        "summary": _summary(done),
        "questions_repeated": questions.repeated,
        "checked": {"riftline": check_riftline(settings, samples)},
        "rounds": [{"sustained_per_second": sustained, **found.to_json()} for sustained, found in done],
    }


def sustained_rate(contender: Contender, questions: Supply) -> float:
    """Answers a second in a closed loop, with questions that were not asked before."""
    found = rounds.generate(
        contender.load(SUSTAINED_S, SUSTAINED_CONNECTIONS), questions.upcoming(int(MOST_PER_SECOND * SUSTAINED_S))
    )
    questions.asked(found.sent)
    return found.per_second


def _at(ours: Contender, questions: Supply, plan: argparse.Namespace, rate: float, seed: int) -> OpenReport:
    load = OpenLoad.like(ours.load(plan.seconds, plan.connections, SAMPLES_PER_ROUND), rate, seed)
    bodies = questions.upcoming(int(MORE_THAN_ITS_MEAN * rate * plan.seconds) + 100)
    found = rounds.generate_open(load, bodies)
    questions.asked(found.sent)
    return found


def _summary(done: Sequence[tuple[float, OpenReport]]) -> dict[str, Any]:
    reports = [found for _, found in done]
    whole = {
        "sustained_per_second": rounds.median_and_worst([sustained for sustained, _ in done], min),
        "offered_per_second": rounds.median_and_worst([found.due / found.seconds for found in reports], min),
        "answered_per_second": rounds.median_and_worst([found.per_second for found in reports], min),
        "connections": max(found.connections for found in reports),
        "failures": dict(sum((Counter(found.failures) for found in reports), Counter())),
    }
    for kind in ("from_due", "from_written", "late"):
        whole[kind] = {
            name: rounds.median_and_worst([getattr(getattr(found, kind), name) for found in reports], max)
            for name in FIGURES
        }
    return whole


def show(document: Mapping[str, Any]) -> None:
    """The tables, median and worst of the rounds."""
    found = document["summary"]
    rates = [report.pair(found[f"{kind}_per_second"], 0) for kind in ("sustained", "offered", "answered")]
    head = ("sustained/s", "offered/s", "answered/s", "failures", "connections")
    report.table(
        "median (worst) of the rounds", head, [(*rates, report.causes(found["failures"]), found["connections"])]
    )
    names = {"from_due": "from the moment due", "from_written": "from the moment written", "late": "generator late by"}
    rows = [(name, *(report.pair(found[kind][figure], 2) for figure in FIGURES)) for kind, name in names.items()]
    report.table("", ("latency", "p50 ms", "p95 ms", "p99 ms", "worst ms"), rows)
    print(f"gateway replicas: {document['replicas']}")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    report.add_effort(parser, rounds=5, seconds=8.0, connections=256)
    parser.add_argument("--share", type=float, default=0.5, help="of the sustained rate (%(default)s)")
    report.run("open_loop", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
