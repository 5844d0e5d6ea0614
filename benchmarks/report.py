"""A benchmark as a command: measure, write `benchmarks/results/<name>.json`, print the table and what it depends on."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ROOT
from benchmarks.rounds import machine
from stores.clock import utc_now
from stores.errors import RiftlineError, TransientError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Document = dict[str, Any]
    Measure = Callable[[Settings, argparse.Namespace], Document]
    Show = Callable[[Mapping[str, Any]], None]

RESULTS = ROOT / "benchmarks" / "results"
WRONG, NOT_READY = 1, 3


def arguments(description: str | None, example: str) -> argparse.ArgumentParser:
    """A command line that explains itself."""
    return argparse.ArgumentParser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_effort(parser: argparse.ArgumentParser, *, rounds: int, seconds: float, connections: int) -> None:
    """How long and how hard."""
    parser.add_argument("--rounds", type=int, default=rounds, help="%(default)s")
    parser.add_argument("--seconds", type=float, default=seconds, help="of one turn in a round (%(default)s)")
    parser.add_argument(
        "--connections", type=int, default=connections, help="kept alive, one request at a time each (%(default)s)"
    )


def run(name: str, options: argparse.Namespace, measure: Measure, show: Show) -> None:
    """Do it all. Exit code 3 if what is measured is not ready, 1 if a checked answer was wrong.

    The document of ``measure`` may hold ``checked``: `benchmarks.checked.Verdict` by who answered.
    """
    before = machine()
    try:
        found = measure(Settings.from_env(os.environ), options)
    except RiftlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_READY if isinstance(error, TransientError) else WRONG)
    document: Document = {
        "measured_at": utc_now().isoformat(),
        "plan": vars(options),
        "machine": before,
        "load_average_after": psutil.getloadavg()[0],
        **found,
    }
    document = write(name, document)
    show(document)
    _show_circumstances(document)
    print(f"written to {(RESULTS / name).relative_to(ROOT)}.json")
    if any(verdict["faults"] for verdict in document.get("checked", {}).values()):
        sys.exit(WRONG)


def write(name: str, document: Mapping[str, Any]) -> Document:
    """Keep the document; returns it as it is read again, without dataclasses."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(text)
    kept: Document = orjson.loads(text)
    return kept


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    shown = Table(*head, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*map(str, row))
    Console(width=150).print(shown)


def pair(values: Sequence[float], digits: int) -> str:
    """Median and worst, as a table shows them."""
    return f"{values[0]:,.{digits}f} ({values[1]:,.{digits}f})"


def causes(errors: Mapping[str, int]) -> str:
    """How many failed of what."""
    return ", ".join(f"{cause}: {count}" for cause, count in errors.items()) or "none"


def note(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def _show_circumstances(document: Mapping[str, Any]) -> None:
    machine_before, after = document["machine"], document["load_average_after"]
    load = f"load average {machine_before['load_average'][0]:.1f} before, {after:.1f} after"
    print(f"{machine_before['cores']} cores; {load}; commit {machine_before['commit']}")
    print(", ".join(f"{name} {value}" for name, value in document["plan"].items()))
    if document.get("questions_repeated"):
        print("there were not enough different questions: some were repeated")
    for who, verdict in document.get("checked", {}).items():
        print(f"answers of {who} checked: {verdict['checked']}, wrong: {len(verdict['faults'])}")
        for fault in verdict["faults"][:3]:
            print(f"  {fault[:500]}")
