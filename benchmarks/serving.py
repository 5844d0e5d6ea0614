"""`/predict/single` of the running Riftline beside FastAPI + xgboost, interleaved on the same cores.

Needs a running Riftline (`riftline up`); starts the peers itself. Every question is asked once, answers are checked.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import contenders, cpu, rounds
from benchmarks.checked import check_peer, check_riftline
from benchmarks.questions import draw, players_of
from benchmarks.released import read_released
from cluster import head
from stores.clock import utc_now
from stores.errors import RiftlineError, TransientError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.checked import Verdict
    from benchmarks.contenders import Contender
    from benchmarks.rounds import Round

EXAMPLE = "example: python -m benchmarks.serving --rounds 7 --seconds 4 --connections 32"
PEER, IDLE = "peer, 2 workers", "riftline, /health"
WORKERS = (2, 1)
MOST_PER_SECOND = 8_000  # questions kept ready; if someone is faster, the table says that questions were repeated
WARM_UP_S = 3.0
SAMPLES_PER_ROUND = 20
RESULTS = contenders.ROOT / "benchmarks" / "results" / "serving.json"
NOT_READY, WRONG_ANSWERS = 3, 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard."""

    rounds: int
    seconds: float
    connections: int


class Course:
    """Runs the contenders by turns; each turn takes questions that nobody was asked before, the same for all."""

    def __init__(self, plan: Plan, questions: Iterator[bytes], settings: Settings, peers: frozenset[int]) -> None:
        self._plan = plan
        self._questions = questions
        self._read_cpu = partial(cpu.cpu_now, _processes(settings), peers)

    def warm_up(self, who: Sequence[Contender]) -> None:
        """Let caches fill and pools open."""
        bodies = self._bodies(WARM_UP_S)
        for contender in who:
            rounds.generate(contender, bodies, WARM_UP_S, self._plan.connections, 0)

    def run(self, who: Sequence[Contender]) -> dict[str, list[Round]]:
        """All rounds; each begins with the next contender."""
        done: dict[str, list[Round]] = {contender.name: [] for contender in who}
        for number in range(self._plan.rounds):
            bodies = self._bodies(self._plan.seconds)
            start = number % len(who)
            for contender in (*who[start:], *who[:start]):
                one = self._round(contender, bodies)
                done[contender.name].append(one)
                print(f"round {number + 1}: {contender.name:<18} {one.report.per_second:8.0f}/s", file=sys.stderr)
        return done

    def _round(self, contender: Contender, bodies: Sequence[bytes]) -> Round:
        plan = self._plan
        load = partial(rounds.generate, contender, bodies, plan.seconds, plan.connections, _samples(contender))
        return rounds.measured(contender.name, self._read_cpu, load)

    def _bodies(self, seconds: float) -> list[bytes]:
        return list(islice(self._questions, int(MOST_PER_SECOND * seconds)))


def _samples(contender: Contender) -> int:
    return SAMPLES_PER_ROUND if contender.method == "POST" else 0


def _processes(settings: Settings) -> frozenset[int]:
    """Riftline's: the cluster of this home, and its embedded PostgreSQL if it has one."""
    found = {process.pid for process in head.processes(settings)}
    pid_file = settings.postgres.data_dir / "postmaster.pid"
    if not settings.postgres.url and pid_file.exists():
        found |= cpu.family(psutil.Process(int(pid_file.read_text().split()[0])))
    return frozenset(found)


def measure(settings: Settings, plan: Plan) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    ours = contenders.riftline(settings)
    idle = replace(ours, name=IDLE, method="GET", path="/health")
    before = rounds.machine()
    needed = int(MOST_PER_SECOND * (plan.rounds * plan.seconds + WARM_UP_S))
    questions = draw(players_of(read_released(settings).view), needed)
    with ExitStack() as stack:
        peers = [stack.enter_context(contenders.started_peer(workers)) for workers in WORKERS]
        who = [ours, *(peer for peer, _ in peers), idle]
        pids = frozenset().union(*(cpu.family(process) for _, process in peers))
        course = Course(plan, questions, settings, pids)
        course.warm_up(who)
        done = course.run(who)
    return {
        "measured_at": utc_now().isoformat(),
        "plan": asdict(plan),
        "machine": before,
        "versions": {name: metadata.version(name) for name in ("ray", "xgboost", "fastapi", "uvicorn", "pydantic")},
        "summary": rounds.summary(done, PEER),
        "questions_repeated": any(one.report.times_sent > 1 for name in done if name != IDLE for one in done[name]),
        "checked": {name: asdict(verdict) for name, verdict in _verdicts(settings, done).items()},
        "rounds": [[one.to_json() for one in of_one] for of_one in done.values()],
    }


def _verdicts(settings: Settings, done: Mapping[str, Sequence[Round]]) -> dict[str, Verdict]:
    samples = {name: [sample for one in of_one for sample in one.report.samples] for name, of_one in done.items()}
    peers = [sample for name, of_one in samples.items() if name.startswith("peer") for sample in of_one]
    return {"riftline": check_riftline(settings, samples["riftline"]), "peer": check_peer(settings, peers)}


def show(document: Mapping[str, Any]) -> None:
    """The tables, median and worst of each figure."""
    console = Console(width=140)
    head_row = ("", "requests/s", "p50 ms", "p95 ms", "p99 ms", f"ratio to {PEER}", "errors")
    table = Table(*head_row, title="median (worst) of the rounds", title_justify="left")
    for row in document["summary"]:
        cells = [_pair(row["per_second"], 0), *(_pair(row[name], 1) for name in ("p50_ms", "p95_ms", "p99_ms"))]
        table.add_row(row["name"], *cells, _pair(row["ratio"], 2), str(row["errors"]))
    console.print(table)
    kinds = sorted({kind for row in document["summary"] for kind in row["cpu_us_per_answer"]})
    spent = Table("", *kinds, title="processor time per answer, us, by process", title_justify="left")
    for row in document["summary"]:
        spent.add_row(row["name"], *(f"{row['cpu_us_per_answer'].get(kind, 0):.0f}" for kind in kinds))
    console.print(spent)
    machine, plan = document["machine"], document["plan"]
    during = [one["load_average"] for of_one in document["rounds"] for one in of_one]
    print(
        f"{plan['rounds']} rounds of {plan['seconds']} s, {plan['connections']} connections; {machine['cores']} cores;"
    )
    print(f"load average {machine['load_average'][0]:.1f} before, {min(during):.1f} to {max(during):.1f} during;")
    print(f"commit {machine['commit']}; {', '.join(f'{name} {of}' for name, of in document['versions'].items())}")
    print(f"questions repeated: {'yes' if document['questions_repeated'] else 'no'}")
    for name, verdict in document["checked"].items():
        print(f"answers of {name} checked: {verdict['checked']}, wrong: {len(verdict['faults'])}")
        for fault in verdict["faults"][:3]:
            print(f"  {fault[:500]}")


def _pair(values: Sequence[float], digits: int) -> str:
    return f"{values[0]:.{digits}f} ({values[1]:.{digits}f})"


def _plan() -> Plan:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 (default)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one contender's turn in a round (4)")
    parser.add_argument("--connections", type=int, default=32, help="kept alive, one request at a time each (32)")
    return Plan(**vars(parser.parse_args()))


def main() -> None:
    """Measure, print, write the JSON. Exit code 3 if Riftline is not ready, 1 if an answer was wrong."""
    plan = _plan()
    try:
        document = measure(Settings.from_env(os.environ), plan)
    except RiftlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_READY if isinstance(error, TransientError) else 1)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    show(document)
    print(f"written to {RESULTS.relative_to(contenders.ROOT)}")
    if any(verdict["faults"] for verdict in document["checked"].values()):
        sys.exit(WRONG_ANSWERS)


if __name__ == "__main__":
    main()
