"""Rows a second into the lake: pyiceberg's append, and ours, which is done once however often it is called.

All write the same rows to the same kind of catalog (SQLite) and warehouse (disk), each run to a new table. A stream's
sink gathers what came in between two commits: 100 deliveries of 1,000 rows are one step.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import load_catalog

from benchmarks.paired import Way, command, race
from stores.domain.lake_commits import Step
from stores.lake.catalog import IcebergLake
from stores.lake.tables import STAMP, LakeTable, Layer
from stores.settings import LakeSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Write = Callable[["Appends"], None]

DELIVERY = 1_000  # rows
GATHERED = 100  # deliveries of one commit of a sink
COMMITS = 20  # of one delivery each, in one run
EVENTS = LakeTable(
    Layer.BRONZE,
    "events",
    pa.schema(
        [
            ("number", pa.int64()),
            ("match_id", pa.string()),
            ("player_id", pa.string()),
            ("champion", pa.string()),
            ("kills", pa.int32()),
            ("share", pa.float64()),
            ("at", STAMP),
        ]
    ),
)


def delivery(index: int) -> pa.Table:
    """The rows of one delivery."""
    random = np.random.default_rng(index)
    number = np.arange(index * DELIVERY, (index + 1) * DELIVERY)
    values = {
        "number": number,
        "match_id": [f"LCK-{one // 10}" for one in number],
        "player_id": [f"player-{one % 500}" for one in number],
        "champion": [f"champion-{one}" for one in random.integers(0, 170, DELIVERY)],
        "kills": random.poisson(3, DELIVERY),
        "share": random.random(DELIVERY),
        "at": number * 1000,
    }
    columns = [pa.array(values[field.name]).cast(field.type) for field in EVENTS.schema]
    return pa.Table.from_arrays(columns, schema=EVENTS.schema)


@dataclass(slots=True)
class Appends:
    """The work of one way: the same deliveries each round, into a new table, and counted afterwards."""

    lake: IcebergLake
    deliveries: list[pa.Table]
    write: Write
    table: LakeTable = EVENTS
    plain: Any = None  # the table as pyiceberg's own users hold it

    def way(self, name: str, beside: str = "") -> Way:
        """It, for a race."""
        return Way(name, self.run, self.prepare, self.check, beside)

    async def prepare(self) -> None:
        """Make the table."""
        self.table = replace(EVENTS, name=f"events_{uuid4().hex}")
        self.lake.ensure((self.table,))
        self.plain = load_catalog(**self.lake.catalog_kwargs).load_table(self.table.identifier)

    async def run(self) -> int:
        """Write the deliveries."""
        self.write(self)
        return sum(rows.num_rows for rows in self.deliveries)

    async def check(self) -> None:
        """Every row is there once and as it was."""
        found = self.lake.read(self.table).sort_by("number")
        assert found.equals(pa.concat_tables(self.deliveries).combine_chunks()), f"{found.num_rows} rows"


def plainly(work: Appends) -> None:
    """One commit of pyiceberg for each delivery."""
    for rows in work.deliveries:
        work.plain.append(rows)


def as_steps(work: Appends) -> None:
    """One commit of ours for each delivery."""
    for index, rows in enumerate(work.deliveries):
        work.lake.append(work.table, rows, Step("sink", index, index + 1))


def plainly_at_once(work: Appends) -> None:
    """One commit of pyiceberg for all deliveries."""
    work.plain.append(pa.concat_tables(work.deliveries))


def as_one_step(work: Appends) -> None:
    """One commit of ours for all deliveries."""
    work.lake.append(work.table, pa.concat_tables(work.deliveries), Step("sink", 0, len(work.deliveries)))


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """Append to one fresh lake."""
    few = [delivery(index) for index in range(COMMITS)]
    many = [delivery(index) for index in range(GATHERED)]
    with tempfile.TemporaryDirectory(prefix="lake-rows-") as folder:
        settings = LakeSettings(f"sqlite:///{Path(folder)}/catalog.db", f"file://{folder}/warehouse")
        with closing(IcebergLake(settings)) as lake:
            small, large = "pyiceberg append, 1,000 rows a commit", "pyiceberg append, 100,000 rows a commit"
            ways = [
                Appends(lake, few, plainly).way(small),
                Appends(lake, few, as_steps).way("riftline append, 1,000 rows a step"),
                Appends(lake, many, as_one_step).way("riftline append, 100 x 1,000 rows gathered in a step"),
                Appends(lake, many, plainly_at_once).way(large),
                Appends(lake, many, as_one_step).way("riftline append, 100,000 rows a step", large),
            ]
            yield await race("Append to the lake", "rows/s", ways, rounds)


if __name__ == "__main__":
    command(__doc__, "benchmarks.lake_rows", races)
