"""A curve of 25 lines beside a single question of one line: through the ingress, and in process.

Needs a running Riftline (`riftline up`). One connection asks the two by turns, about the same player, prop, maps and
opponent. The single answer is recorded durably before it is given, the curve is not, and only the single takes the fast
path past FastAPI: in process neither is in the figure.
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import orjson

from actors.answers import look
from benchmarks import contenders, cpu, processes, report, rounds
from benchmarks.checked import check_curves, check_riftline
from benchmarks.questions import Supply, supply
from benchmarks.released import read_released
from serve_apps.wire import PredictionRequest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from stores.domain.props import PropRequest
    from stores.settings import Settings

EXAMPLE = "python -m benchmarks.curves --rounds 5 --seconds 3"
LINES = tuple(count + 0.5 for count in range(25))
SINGLE, CURVE = "one line", f"curve of {len(LINES)} lines"
MOST_QUESTIONS = 100_000
MOST_PER_SECOND = 5_000  # over one connection
IN_PROCESS = 500  # questions
SAMPLES_PER_ROUND = 20


class Ratios(NamedTuple):
    """The curve's cost by the single's, median and worst."""

    processor: tuple[float, float]
    latency: tuple[float, float]


def target(question: bytes) -> bytes:
    """What follows /predict/curve/ in the URL that asks for the same distribution at all LINES."""
    asked = orjson.loads(question)
    (name,), (first, last) = asked["player_names"], asked["map_range"]
    words = {"prop_type": asked["prop_type"], "map_first": first, "map_last": last, "opponent": asked["opponent"]}
    return f"{quote(name, safe='')}?{urlencode({**words, 'prop_values': LINES}, doseq=True)}".encode()


def measure(settings: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError unless Riftline is ready."""
    ours = contenders.riftline(settings)
    questions = supply(settings, MOST_QUESTIONS).upcoming(MOST_QUESTIONS)
    targets = {target(question): question for question in questions}
    curve = replace(ours, name=CURVE, method="GET", path="/predict/curve/")
    who = [(replace(ours, name=SINGLE), Supply(questions)), (curve, Supply(targets))]
    read_cpu = partial(cpu.cpu_now, processes.of_riftline(settings), frozenset[int]())
    done: dict[str, list[rounds.Round]] = {SINGLE: [], CURVE: []}
    for contender, items in (*who, *itertools.chain(*rounds.orders(who, plan.rounds))):  # the first turn warms up
        load = contender.load(plan.seconds, plan.connections, SAMPLES_PER_ROUND)
        upcoming = items.upcoming(int(MOST_PER_SECOND * plan.seconds))
        one = rounds.measured(contender.name, read_cpu, partial(rounds.generate, load, upcoming))
        items.asked(one.report.sent)
        done[contender.name].append(one)
        report.note(f"{contender.name}: {one.report.latency.p50_ms:.2f} ms")
    done = {name: of_one[1:] for name, of_one in done.items()}
    samples = {name: [sample for one in of_one for sample in one.report.samples] for name, of_one in done.items()}
    by_target = {asked.decode(): question for asked, question in targets.items()}
    return {
        "summary": rounds.summary(done),
        "questions_repeated": any(items.repeated for _, items in who),
        "ratios": _ratios(done[CURVE], done[SINGLE])._asdict(),
        "in_process": in_process(settings, questions[:IN_PROCESS], plan.rounds),
        "checked": {
            SINGLE: check_riftline(settings, samples[SINGLE]),
            CURVE: check_curves(settings, samples[CURVE], by_target),
        },
        "rounds": [[one.to_json() for one in of_one] for of_one in done.values()],
    }


def in_process(settings: Settings, questions: Sequence[bytes], repeats: int) -> dict[str, Any]:
    """Processor microseconds of the look and one line, of the look and all LINES, and their ratio, by turns."""
    released = read_released(settings)
    requests = [PredictionRequest.model_validate_json(question).to_domain() for question in questions]

    def one_line(request: PropRequest) -> object:
        return look(request, released.view, released.ensemble).at_line(request.prop_value)

    def all_lines(request: PropRequest) -> object:
        return look(request, released.view, released.ensemble).curve(LINES)

    taken: dict[str, list[float]] = {SINGLE: [], CURVE: []}
    for number in range(repeats + 1):
        for name, call in ((SINGLE, one_line), (CURVE, all_lines)):
            spent = _spent_us(call, requests)
            if number:  # the first pass warms up
                taken[name].append(spent)
    ratios = [curve / single for single, curve in zip(taken[SINGLE], taken[CURVE], strict=True)]
    medians = {name: round(statistics.median(values), 1) for name, values in taken.items()}
    return {"us": medians, "ratio": rounds.median_and_worst(ratios, max)}


def _spent_us(call: Callable[[PropRequest], object], requests: Sequence[PropRequest]) -> float:
    begun = time.thread_time()
    for request in requests:
        call(request)
    return (time.thread_time() - begun) / len(requests) * 1e6


def _ratios(curves: Sequence[rounds.Round], singles: Sequence[rounds.Round]) -> Ratios:
    def cost(one: rounds.Round) -> float:
        return one.cpu_s.get(cpu.GATEWAY, 0.0) / one.report.answers

    pairs = list(zip(curves, singles, strict=True))
    return Ratios(
        rounds.median_and_worst([cost(one) / cost(of) for one, of in pairs], max),
        rounds.median_and_worst([one.report.latency.p50_ms / of.report.latency.p50_ms for one, of in pairs], max),
    )


def show(document: Mapping[str, Any]) -> None:
    """The tables, median and worst of each figure."""
    rows = []
    for row in document["summary"]:
        latency = [report.pair(row[name], 2) for name in ("p50_ms", "p95_ms", "p99_ms")]
        in_gateway = row["cpu_us_per_answer"].get(cpu.GATEWAY, 0.0)
        alone = document["in_process"]["us"][row["name"]]
        rows.append((row["name"], *latency, f"{in_gateway:.0f}", f"{alone:.1f}", report.causes(row["errors"])))
    head = ("", "p50 ms", "p95 ms", "p99 ms", "gateway us an answer", "in process us", "errors")
    report.table("one connection, median (worst) of the rounds", head, rows)
    ratios = {**document["ratios"], "in process": document["in_process"]["ratio"]}
    print("the curve's cost by the single's:", ", ".join(f"{name} {report.pair(of, 2)}" for name, of in ratios.items()))
    print("the single is recorded durably and takes the fast path; the curve is not and does not")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    report.add_effort(parser, rounds=5, seconds=3.0, connections=1)
    report.run("curves", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
