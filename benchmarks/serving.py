"""`/predict/single` of the running Riftline beside FastAPI + xgboost and beside plain Ray Serve, on the same cores.

Needs a running Riftline (`riftline up`); starts the peers itself, the one on Ray Serve in Riftline's own cluster and
behind its ingress. They take turns; every question is asked once, but for those of the row "repeated"; answers are
checked.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from benchmarks import contenders, cpu, processes, report, rounds
from benchmarks.checked import check_peer, check_riftline
from benchmarks.questions import supply
from cluster import environment

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.checked import Verdict
    from benchmarks.contenders import Contender
    from benchmarks.load import Load, LoadReport
    from benchmarks.questions import Supply
    from benchmarks.rounds import Round
    from stores.settings import Settings

    Ask = Callable[[Contender, Load, Sequence[bytes]], LoadReport]

EXAMPLE = "python -m benchmarks.serving --rounds 7 --seconds 4 --connections 64"
PEERS, IDLE, REPEATED = ("peer, 2 workers", "peer, Ray Serve"), "riftline, /health", "riftline, repeated"
WORKERS = (2, 1)
SAME = 500  # questions of the row "repeated"
MOST_PER_SECOND = 16_000  # questions kept ready; if someone is faster, the table says that questions were repeated
WARM_UP_S = 3.0
SAMPLES_PER_ROUND = 20


class Course:
    """Runs the contenders by turns; each turn takes questions that nobody was asked before, the same for all."""

    def __init__(self, plan: argparse.Namespace, questions: Supply) -> None:
        self._plan = plan
        self._questions = questions
        self._same = questions.upcoming(SAME)
        questions.asked(SAME)

    def warm_up(self, who: Sequence[Contender]) -> None:
        """Let caches fill and pools open."""
        self._round(who, WARM_UP_S, lambda _, load, items: rounds.generate(load, items))

    def run(self, who: Sequence[Contender], settings: Settings, peers: frozenset[int]) -> dict[str, list[Round]]:
        """All rounds; each begins with the next contender."""
        read_cpu = partial(cpu.cpu_now, processes.of_riftline(settings), peers)
        done: dict[str, list[Round]] = {contender.name: [] for contender in who}

        def timed(contender: Contender, load: Load, items: Sequence[bytes]) -> LoadReport:
            one = rounds.measured(contender.name, read_cpu, partial(rounds.generate, load, items))
            done[contender.name].append(one)
            report.note(f"round {len(done[contender.name])}: {contender.name:<18} {one.report.per_second:8.0f}/s")
            return one.report

        for order in rounds.orders(who, self._plan.rounds):
            self._round(order, self._plan.seconds, timed)
        return done

    def _round(self, who: Sequence[Contender], seconds: float, ask: Ask) -> None:
        fresh = self._questions.upcoming(int(MOST_PER_SECOND * seconds))
        sent = [0]
        for contender in who:
            posts = contender.method == "POST"
            items = self._same[: contender.repeats] or (fresh if posts else [])
            load = contender.load(seconds, self._plan.connections, SAMPLES_PER_ROUND if posts else 0)
            found = ask(contender, load, items)
            if items is fresh:
                sent.append(found.sent)
        self._questions.asked(max(sent))


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    environment.enter(settings)
    from benchmarks import serve_peer  # noqa: PLC0415 — Ray reads the environment when it is imported

    ours = contenders.riftline(settings)
    others = [replace(ours, name=REPEATED, repeats=SAME), replace(ours, name=IDLE, method="GET", path="/health")]
    questions = supply(settings, SAME + int(MOST_PER_SECOND * (plan.rounds * plan.seconds + WARM_UP_S)))
    course = Course(plan, questions)
    with ExitStack() as stack:
        on_serve = stack.enter_context(serve_peer.deployed(settings))
        peers = [stack.enter_context(contenders.started_peer(workers)) for workers in WORKERS]
        who = [ours, *(peer for peer, _ in peers), on_serve, *others]
        pids = frozenset().union(*(cpu.family(process) for _, process in peers))
        course.warm_up(who)
        done = course.run(who, settings, pids)
    return {
        "versions": {name: metadata.version(name) for name in ("ray", "xgboost", "fastapi", "uvicorn", "pydantic")},
        "replicas": len(processes.replicas(settings)),
        "summary": rounds.summary(done, PEERS),
        "questions_repeated": questions.repeated,
        "checked": _verdicts(settings, done),
        "rounds": [[one.to_json() for one in of_one] for of_one in done.values()],
    }


def _verdicts(settings: Settings, done: Mapping[str, Sequence[Round]]) -> dict[str, Verdict]:
    samples = {name: [sample for one in of_one for sample in one.report.samples] for name, of_one in done.items()}
    peers = [sample for name, of_one in samples.items() if name.startswith("peer") for sample in of_one]
    ours = {name: check_riftline(settings, samples[name]) for name in ("riftline", REPEATED)}
    return {**ours, "the peers": check_peer(settings, peers)}


def show(document: Mapping[str, Any]) -> None:
    """The tables, median and worst of each figure."""
    ratios = [f"ratio to {name}" for name in PEERS]
    head = ("each question once", "requests/s", "p50 ms", "p95 ms", "p99 ms", *ratios, "errors")
    rows = {row["name"]: row for row in document["summary"]}
    apart = f"{SAME} questions again and again"
    report.table("median (worst) of the rounds", head, [_row(row) for name, row in rows.items() if name != REPEATED])
    report.table("", (apart, *head[1:]), [_row(rows[REPEATED])])
    kinds = sorted({kind for row in rows.values() for kind in row["cpu_us_per_answer"]})
    spent = [(name, *(f"{row['cpu_us_per_answer'].get(kind, 0):.0f}" for kind in kinds)) for name, row in rows.items()]
    report.table("processor time per answer, us, by process", ("", *kinds), spent)
    print(f"gateway replicas: {document['replicas']}; the peer on Ray Serve has one of each deployment, num_cpus=0,")
    print("behind the same HAProxy with the same settings, which is generous to it")
    print(", ".join(f"{name} {of}" for name, of in document["versions"].items()))


def _row(row: Mapping[str, Any]) -> list[str]:
    latency = [report.pair(row[name], 1) for name in ("p50_ms", "p95_ms", "p99_ms")]
    ratios = [report.pair(row["ratios"][name], 2) for name in PEERS]
    return [row["name"], report.pair(row["per_second"], 0), *latency, *ratios, report.causes(row["errors"])]


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    report.add_effort(parser, rounds=5, seconds=4.0, connections=64)
    report.run("serving", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
