"""What the writers of these tests do, also as processes of their own."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog

from stores.domain.lake_commits import Step
from stores.errors import RiftlineError
from stores.lake.catalog import IcebergLake
from stores.lake.tables import LakeTable, Layer, PartitionBy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection

    from stores.settings import LakeSettings

EVENTS = LakeTable(
    Layer.BRONZE,
    "events",
    pa.schema(
        [
            ("number", pa.int64()),
            ("tournament", pa.string()),
            ("date", pa.date32()),
            ("share", pa.float64()),
            ("kda", pa.decimal128(5, 2)),
        ]
    ),
    partitions=(("tournament", PartitionBy.IDENTITY), ("date", PartitionBy.YEAR)),
)
TOURNAMENTS = ("LCK", "LEC Spring/Final", None)
ROWS_PER_STEP = 3

processes = multiprocessing.get_context("forkserver")  # a fork of a process that has used S3 may hang
processes.set_forkserver_preload(["tests.contract.lake.work"])


def rows(numbers: Iterable[int]) -> pa.Table:
    """One row for each number."""
    listed = list(numbers)
    columns = [
        pa.array(listed, pa.int64()),
        pa.array([TOURNAMENTS[number % len(TOURNAMENTS)] for number in listed], pa.string()),
        pa.array([date(2024, 1, 1) + timedelta(days=200 * (number % 4)) for number in listed], pa.date32()),
        pa.array([1 / (number + 3) for number in listed], pa.float64()),
        pa.array([None] * len(listed), pa.decimal128(5, 2)),
    ]
    return pa.Table.from_arrays(columns, schema=EVENTS.schema)


def step_rows(index: int, writer: int = 0) -> pa.Table:
    """The rows of a writer's step: they follow from its position."""
    first = writer * 1_000_000 + index * ROWS_PER_STEP
    return rows(range(first, first + ROWS_PER_STEP))


def numbers(table: pa.Table) -> list[int]:
    """Which rows these are, in order."""
    return sorted(table["number"].to_pylist())


def plain_table(lake: IcebergLake, table: LakeTable) -> Any:
    """The table as any other client of pyiceberg has it."""
    return load_catalog(**lake.catalog_kwargs).load_table(table.identifier)


def at_once(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
    """What ``work`` returned, or the error that it raised, for each tuple of arguments, all begun at one moment."""
    together, outcomes = processes.Barrier(len(arguments)), processes.Queue()
    running = [processes.Process(target=_run, args=(work, together, outcomes, one)) for one in arguments]
    for process in running:
        process.start()
    results = [outcomes.get(timeout=120) for _ in running]
    for process in running:
        process.join(timeout=30)
    return results


def _run(work: Callable[..., Any], together: Any, outcomes: Any, arguments: tuple[Any, ...]) -> None:
    try:
        outcomes.put(work(together, *arguments))
    except BaseException as error:  # noqa: BLE001  # the test tells
        outcomes.put(error)


def append_steps(together: Any, settings: LakeSettings, writer: int, steps: int) -> int:
    """Append so many steps as one writer; how many."""
    with closing(IcebergLake(settings)) as lake:
        together.wait(60)
        for index in range(steps):
            lake.append(EVENTS, step_rows(index, writer), Step(f"writer-{writer}", index, index + 1))
    return steps


def append_the_same(together: Any, settings: LakeSettings, index: int) -> tuple[int, bool]:
    """Append a step that others append too; its snapshot, and whether it was there already."""
    with closing(IcebergLake(settings)) as lake:
        together.wait(60)
        done = lake.append(EVENTS, step_rows(index), Step("twin", index, index + 1))
    return done.snapshot_id, done.repeated


def ensure(together: Any, settings: LakeSettings, tables: tuple[LakeTable, ...]) -> str:
    """Open the lake and bring the tables to their declarations."""
    together.wait(60)
    with closing(IcebergLake(settings)) as lake:
        lake.ensure(tables)
    return "ok"


def maintain(together: Any, settings: LakeSettings, rounds: int) -> str:
    """Compact, expire and remove orphans, again and again."""
    with closing(IcebergLake(settings)) as lake:
        together.wait(60)
        for _ in range(rounds):
            lake.compact(EVENTS)
            now = datetime.now(UTC)
            lake.expire(EVENTS, now=now + timedelta(seconds=1), keep_for=timedelta(), keep_last=2)
            lake.remove_orphans(EVENTS, now=now, grace=timedelta(hours=1))
    return "ok"


def append_for_ever(settings: LakeSettings, acknowledged: Connection) -> None:
    """Go on where the table is, and tell of each step once it is acknowledged, until killed."""
    with closing(IcebergLake(settings, retry_within_s=60)) as lake:
        known = lake.positions(EVENTS).get("writer")
        index = known.end if known else 0
        while True:
            try:
                lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1))
            except RiftlineError as error:
                acknowledged.send(error)
                return
            acknowledged.send(index)
            index += 1


def fill_the_disk(settings: LakeSettings, told: Connection) -> None:
    """Append where no file may grow beyond 1,000 bytes, as on a full disk; tell the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with closing(IcebergLake(settings, retry_within_s=0.1)) as lake:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            lake.append(EVENTS, step_rows(1), Step("writer", 1, 2))
        except BaseException as error:  # noqa: BLE001  # the test tells
            told.send(error)
        else:
            told.send(None)
