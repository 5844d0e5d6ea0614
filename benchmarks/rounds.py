"""Rounds, and what they add up to: medians and worst values, and ratios within each round."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.contenders import ROOT, Contender
from benchmarks.cpu import spent
from benchmarks.load import LoadReport
from stores.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.cpu import Usage

GRACE_S = 30.0


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


def generate(
    contender: Contender, bodies: Sequence[bytes], seconds: float, connections: int, samples: int
) -> LoadReport:
    """Run the load generator in a process of its own. Raises TransientError if nothing was answered."""
    command = [sys.executable, "-m", "benchmarks.load", contender.method, contender.path, "--host", contender.host]
    command += ["--port", str(contender.port), "--seconds", str(seconds), "--connections", str(connections)]
    command += ["--samples", str(samples)]
    done = subprocess.run(
        command, cwd=ROOT, input=b"\n".join(bodies), stdout=subprocess.PIPE, check=True, timeout=seconds + GRACE_S
    )
    report = LoadReport.from_json(done.stdout)
    if not report.answers:
        raise TransientError(f"{contender.name} on port {contender.port} answered nothing: {report.errors}")
    return report


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


def summary(rounds: Mapping[str, Sequence[Round]], peer: str) -> list[dict[str, Any]]:
    """One row per contender: median and worst over the rounds; the ratio is to the peer in the same round."""
    rows = []
    for name, ours in rounds.items():
        ratios = [one.report.per_second / of.report.per_second for one, of in zip(ours, rounds[peer], strict=True)]
        row: dict[str, Any] = {"name": name}
        row["per_second"] = _median_and_worst([one.report.per_second for one in ours], min)
        for figure in ("p50_ms", "p95_ms", "p99_ms"):
            row[figure] = _median_and_worst([getattr(one.report, figure) for one in ours], max)
        row["ratio"] = _median_and_worst(ratios, min)
        row["errors"] = sum(sum(one.report.errors.values()) for one in ours)
        row["cpu_us_per_answer"] = _cpu_per_answer(ours)
        rows.append(row)
    return rows


def _cpu_per_answer(rounds: Sequence[Round]) -> dict[str, float]:
    kinds = sorted({kind for one in rounds for kind in one.cpu_s})
    return {
        kind: round(statistics.median(one.cpu_s.get(kind, 0.0) / max(one.report.answers, 1) * 1e6 for one in rounds), 1)
        for kind in kinds
    }


def _median_and_worst(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> tuple[float, float]:
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
