"""Rounds, and what they add up to: medians and worst values, and ratios within each round."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from benchmarks.contenders import ROOT
from benchmarks.cpu import spent
from benchmarks.load import LoadReport
from benchmarks.open_load import OpenReport
from stores.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.cpu import Usage
    from benchmarks.load import Load
    from benchmarks.open_load import OpenLoad

GRACE_S = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round:
    """One contender in one round. ``cpu_s`` are the seconds of each kind of process, the generator's own among them."""

    name: str
    report: LoadReport
    cpu_s: dict[str, float]
    load_average: float

    def to_json(self) -> dict[str, Any]:
        """All but the samples."""
        report = asdict(self.report)
        del report["samples"]
        return {"name": self.name, "per_second": self.report.per_second, **report} | {
            "cpu_s": self.cpu_s,
            "load_average": self.load_average,
        }


def generate(load: Load, items: Sequence[bytes]) -> LoadReport:
    """Run the closed-loop generator in a process of its own. Raises TransientError if nothing was answered."""
    report = LoadReport.from_json(_fed("benchmarks.load", load, items))
    if not report.answers:
        raise TransientError(f"{load.path} on port {load.port} answered nothing: {report.errors}")
    return report


def generate_open(load: OpenLoad, items: Sequence[bytes]) -> OpenReport:
    """Run the open-loop generator in a process of its own."""
    return OpenReport.from_json(_fed("benchmarks.open_load", load, items))


def _fed(module: str, load: Load, items: Sequence[bytes]) -> bytes:
    """What the generator printed; its options are called like the load's fields."""
    options = asdict(load)
    command = [sys.executable, "-m", module, options.pop("method"), options.pop("path")]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    timeout_s = load.seconds + GRACE_S
    done = subprocess.run(
        command, cwd=ROOT, input=b"\n".join(items), stdout=subprocess.PIPE, check=True, timeout=timeout_s
    )
    return done.stdout


def measured(name: str, read_cpu: Callable[[], Usage], load: Callable[[], LoadReport]) -> Round:
    """One round with what the processes spent meanwhile."""
    before = read_cpu()
    report = load()
    return Round(
        name,
        report,
        {**spent(before, read_cpu()), "generator": report.generator_cpu_s},
        psutil.getloadavg()[0],
    )


def summary(rounds: Mapping[str, Sequence[Round]], peers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row per contender: median and worst over the rounds; a ratio is to that peer in the same round."""
    rows = []
    for name, ours in rounds.items():
        row: dict[str, Any] = {"name": name}
        row["per_second"] = median_and_worst([one.report.per_second for one in ours], min)
        for figure in ("p50_ms", "p95_ms", "p99_ms", "max_ms"):
            row[figure] = median_and_worst([getattr(one.report.latency, figure) for one in ours], max)
        row["ratios"] = {peer: median_and_worst(_ratios(ours, rounds[peer]), min) for peer in peers}
        row["errors"] = dict(sum((Counter(one.report.errors) for one in ours), Counter()))
        row["cpu_us_per_answer"] = _cpu_per_answer(ours)
        rows.append(row)
    return rows


def orders(who: Sequence[T], rounds: int) -> Iterator[Sequence[T]]:
    """Everyone, once for each round; each round begins with the next one."""
    for number in range(rounds):
        start = number % len(who)
        yield (*who[start:], *who[:start])


def _ratios(ours: Sequence[Round], peers: Sequence[Round]) -> list[float]:
    return [one.report.per_second / of.report.per_second for one, of in zip(ours, peers, strict=True)]


def _cpu_per_answer(rounds: Sequence[Round]) -> dict[str, float]:
    kinds = sorted({kind for one in rounds for kind in one.cpu_s})
    return {
        kind: round(statistics.median(one.cpu_s.get(kind, 0.0) / max(one.report.answers, 1) * 1e6 for one in rounds), 1)
        for kind in kinds
    }


def median_and_worst(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> tuple[float, float]:
    """Of the rounds."""
    return round(statistics.median(values), 3), round(worst(values), 3)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 — git of the PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_average": psutil.getloadavg(),
        "commit": commit.stdout.strip() or "unknown",
    }
