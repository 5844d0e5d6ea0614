"""Ways to do the same work, timed in turns: A B, then B A, so that a slow moment of the machine meets both."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from benchmarks.rounds import machine
from tests.servers.process import MissingServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    Races = Callable[[int], AsyncIterator[dict[str, Any]]]

T = TypeVar("T")

ROUNDS = 7
MISSING = 3  # exit status: a server's program is not here


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do the work. ``run`` does some of it and returns how many items it did; it alone is timed.

    ``prepare`` makes what it works on, ``check`` raises AssertionError when the result is wrong. ``beside`` names the
    way that it is compared with, empty for the first one.
    """

    name: str
    run: Callable[[], Awaitable[int]]
    prepare: Callable[[], Awaitable[None]] | None = None
    check: Callable[[], Awaitable[None]] | None = None
    beside: str = ""


async def race(title: str, unit: str, ways: Sequence[Way], rounds: int = ROUNDS) -> dict[str, Any]:
    """Time every way in each round, after one round that warms up. The first way is the naive peer.

    Returns the document that `show` prints, with the rate of every round.
    """
    load = [psutil.getloadavg()[0]]
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            rate = await _rate(way)
            if number:
                rates[way.name].append(rate)
    load.append(psutil.getloadavg()[0])
    rows = summary(rates, {way.name: way.beside or ways[0].name for way in ways})
    return {"title": title, "unit": unit, "rounds": rounds, "ways": rows, "load": load, "machine": machine()}


def summary(rates: Mapping[str, Sequence[float]], beside: Mapping[str, str]) -> list[dict[str, Any]]:
    """Per way the median and the worst rate, and the same of its ratio to the way ``beside`` it in the same round."""
    rows = []
    for name, ours in rates.items():
        ratios = [one / of for one, of in zip(ours, rates[beside[name]], strict=True)]
        rows.append(
            {
                "way": name,
                "median": statistics.median(ours),
                "worst": min(ours),
                "beside": beside[name],
                "ratio": statistics.median(ratios),
                "worst_ratio": min(ratios),
                "rates": list(ours),
            }
        )
    return rows


def show(document: dict[str, Any]) -> None:
    """Print one race as a table."""
    before, after = document["load"]
    print(
        f"\n{document['title']}: {document['unit']}, median (worst) of {document['rounds']} rounds, "
        f"load {before:.1f} before, {after:.1f} after"
    )
    ways = document["ways"]
    numbers = {row["way"]: number for number, row in enumerate(ways, 1)}
    print("| # | way | median | worst | us each | beside | ratio | worst ratio |\n|---|---|---|---|---|---|---|---|")
    for row in ways:
        figures = f"{row['median']:,.0f} | {row['worst']:,.0f} | {1e6 / row['median']:,.1f}"
        ratios = f"{numbers[row['beside']]} | {row['ratio']:.2f} | {row['worst_ratio']:.2f}"
        print(f"| {numbers[row['way']]} | {row['way']} | {figures} | {ratios} |", flush=True)


async def by_callers(callers: int, items: Iterable[T], call: Callable[[T], Awaitable[object]]) -> None:
    """Call with each item, from so many concurrent tasks, each taking the next item when its call returned."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await call(item)

    await asyncio.gather(*(take() for _ in range(callers)))


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """The items in order, ``size`` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def command(description: str | None, module: str, races: Races) -> None:
    """Run the races of a program, show each, and write them as JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=description, epilog=f"example: python -m {module} --rounds 7")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed rounds of every way")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: give 1 or more")
    try:
        documents = asyncio.run(_shown(races(options.rounds)))
    except MissingServerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISSING)
    if options.json:
        options.json.write_text(json.dumps(documents, indent=2))


async def _shown(documents: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    shown = []
    async for document in documents:
        show(document)
        shown.append(document)
    return shown


async def _rate(way: Way) -> float:
    """Items a second of one run."""
    if way.prepare is not None:
        await way.prepare()
    gc.collect()  # one way's garbage is not another's time
    begun = time.perf_counter()
    done = await way.run()
    taken_s = time.perf_counter() - begun
    if way.check is not None:
        await way.check()
    return done / taken_s
