"""The partitions of every partitioned table: made ahead of time, dropped by age, beside writers who do not wait.

Bounds are of UTC. DETACH PARTITION CONCURRENTLY is refused beside a default partition, and the default is what keeps a
row when nobody made its partition. So a change takes its locks plainly, but waits for them a moment only: behind a
change that waits, every writer would queue. What comes in between is tried again.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.backoff import pauses_s
from stores.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import asyncpg

    from stores.postgres.pool import Pool

    _Change = Callable[[asyncpg.Connection, "Partition"], Awaitable[None]]

PARTITION_LOCK = 0x52494655  # the neighbour of the migrations' lock
MOST_ASTRAY = 31  # days of late rows per run: a program with a broken clock must not make partitions without end
LOCK_TIMEOUT_MS = 100  # the longest that a writer queues behind a change that waits
FIRST_PAUSE_S, MOST_PAUSE_S, RETRY_WITHIN_S = 0.1, 2.0, 30.0
UNITS_BEFORE = 1  # late rows of a retry or of a slow clock
UNITS_AHEAD = {"day": 7, "month": 2}  # a daily job may fail that long before the default partition takes over
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARTITIONS = """
    SELECT parent.relname AS parent, partition.relname AS partition
    FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class partition ON partition.oid = inhrelid
    WHERE parent.oid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) AND parent.relkind = 'p'
"""


class Unit(StrEnum):
    """How much time a partition covers."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table partitioned by the range of ``column``. A partition is dropped when its last row is ``kept`` old."""

    name: str
    column: str
    kept: timedelta
    unit: Unit = Unit.MONTH

    @property
    def default(self) -> str:
        """The partition that takes the rows of a time whose own is not made yet."""
        return f"{self.name}_default"


METRICS_KEPT = timedelta(days=30)
_YEAR = timedelta(days=366)
TABLES = (
    PartitionedTable("prediction_requests", "created_at", 3 * _YEAR),  # training and its audit look back two seasons
    PartitionedTable("prediction_feedback", "predicted_at", 3 * _YEAR),  # go with their predictions
    PartitionedTable("prediction_curves", "predicted_at", 3 * _YEAR),
    PartitionedTable("predictions", "created_at", _YEAR),
    PartitionedTable("prediction_metrics", "time", METRICS_KEPT, Unit.DAY),
    PartitionedTable("metrics_hourly", "bucket", 2 * _YEAR),
    PartitionedTable("measurements_high", "time", timedelta(days=7), Unit.DAY),
    PartitionedTable("model_performance_metrics", "metric_date", 3 * _YEAR),
    PartitionedTable("api_usage", "created_at", timedelta(days=90)),
    PartitionedTable("audit_logs", "created_at", 7 * _YEAR),  # what is asked of financial records, the longest of all
)


@dataclass(frozen=True, slots=True)
class Partition:
    """The partition of the rows with ``start`` <= the table's column < ``end``."""

    table: PartitionedTable
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """``prediction_requests_2026_03``; of a day ``prediction_metrics_2026_03_14``."""
        return f"{self.table.name}_{self.start:%Y_%m}" + (f"_{self.start:%d}" if self.table.unit is Unit.DAY else "")


def partitions_around(table: PartitionedTable, now: datetime) -> tuple[Partition, ...]:
    """The partitions that should exist at ``now``, the oldest first."""
    start = now.astimezone(UTC)
    for _ in range(UNITS_BEFORE):
        start = _start(start, table.unit) - timedelta(days=1)
    found = []
    for _ in range(UNITS_BEFORE + 1 + UNITS_AHEAD[table.unit]):
        found.append(partition_of(table, start))
        start = found[-1].end
    return tuple(found)


def partition_of(table: PartitionedTable, moment: datetime) -> Partition:
    """The partition that holds ``moment``."""
    start = _start(moment.astimezone(UTC), table.unit)
    longer_than_a_unit = timedelta(days=1 if table.unit is Unit.DAY else 31)
    return Partition(table, start, _start(start + longer_than_a_unit, table.unit))


def is_expired(partition: Partition, now: datetime) -> bool:
    """Whether every row that the partition can hold is too old."""
    return partition.end <= now - partition.table.kept


async def ensure_partitions(pool: Pool, now: datetime, tables: Iterable[PartitionedTable] = TABLES) -> list[str]:
    """Make the partitions that are missing around ``now`` and return their names. Idempotent and safe at once.

    Rows that the default partition took in their stead are moved in the same transaction, also those of other times.
    Call it at start and daily; if nobody does, no row is lost: the default partition takes them. A table that does not
    exist, or that TimescaleDB keeps, is left alone. Raises TransientError when a reader held a lock all the time; what
    was made stays.
    """
    made = []
    for table, present in (await _partitions(pool, tables)).items():
        wanted = (*partitions_around(table, now), *await _astray(pool, table))
        missing = {partition.name: partition for partition in wanted if partition.name not in present}
        made += [one.name for one in missing.values() if await _change(pool, one, _create, present=False)]
    return made


async def drop_expired(pool: Pool, now: datetime, tables: Iterable[PartitionedTable] = TABLES) -> list[str]:
    """Drop the partitions whose rows are all too old at ``now`` and return their names. Idempotent and safe at once.

    Raises TransientError when a reader held a lock all the time; what was dropped stays so.
    """
    present = await _partitions(pool, tables)
    found = [_parsed(table, name) for table, names in present.items() for name in sorted(names)]
    expired = [partition for partition in found if partition is not None and is_expired(partition, now)]
    return [partition.name for partition in expired if await _change(pool, partition, _drop, present=True)]


def _start(moment: datetime, unit: Unit) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if unit is Unit.DAY else midnight.replace(day=1)


def _parsed(table: PartitionedTable, name: str) -> Partition | None:
    """The partition of a name that was made here; of another none, so that it is left alone."""
    digits = re.fullmatch(rf"{table.name}_(\d{{4}})_(\d{{2}})(?:_(\d{{2}}))?", name)
    if digits is None or (digits[3] is None) == (table.unit is Unit.DAY):
        return None
    return partition_of(table, datetime(int(digits[1]), int(digits[2]), int(digits[3] or 1), tzinfo=UTC))


async def _partitions(pool: Pool, tables: Iterable[PartitionedTable]) -> dict[PartitionedTable, set[str]]:
    """The names of each table's partitions; tables that are not natively partitioned are left out."""
    by_name = {table.name: table for table in tables}
    async with pool.transaction(readonly=True) as connection:
        rows = await connection.fetch(_PARTITIONS, list(by_name))
    found: dict[PartitionedTable, set[str]] = {}
    for row in rows:
        found.setdefault(by_name[row["parent"]], set()).add(row["partition"])
    return found


async def _astray(pool: Pool, table: PartitionedTable) -> list[Partition]:
    """The partitions that rows of the default partition should lie in; late rows have a policy too."""
    async with pool.transaction(readonly=True) as connection:
        rows = await connection.fetch(
            f"SELECT DISTINCT floor(extract(epoch FROM {table.column}) / 86400)::bigint AS day"  # noqa: S608  # constants
            f" FROM {table.default} ORDER BY day LIMIT {MOST_ASTRAY}"
        )
    return [partition_of(table, _EPOCH + timedelta(days=row["day"])) for row in rows]


async def _change(pool: Pool, partition: Partition, change: _Change, *, present: bool) -> bool:
    """Make the change unless another process did, trying again while its locks cannot be had at once."""
    pauses = pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, RETRY_WITHIN_S)
    while True:
        try:
            async with pool.transaction() as connection:
                await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
                # Asked of the catalog's rows: to_regclass would answer from a cache that the wait does not renew.
                rows = await connection.fetch(_PARTITIONS, [partition.table.name])
                if (partition.name in {row["partition"] for row in rows}) != present:
                    return False
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                await change(connection, partition)
                return True
        except TransientError:
            pause_s = next(pauses, None)
            if pause_s is None:
                raise
            await asyncio.sleep(pause_s)


async def _create(connection: asyncpg.Connection, partition: Partition) -> None:
    """Make a table, move its rows out of the default partition, attach it: writers wait only for the move."""
    table, name, start, end = partition.table, partition.name, partition.start.isoformat(), partition.end.isoformat()
    await connection.execute(
        f"""
        LOCK TABLE {table.name} IN SHARE UPDATE EXCLUSIVE MODE;
        LOCK TABLE {table.default} IN ACCESS EXCLUSIVE MODE;
        CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL);
        ALTER TABLE {table.default} DISABLE TRIGGER USER; -- that of an append-only table would refuse the move
        WITH moved AS (
            DELETE FROM {table.default} WHERE {table.column} >= '{start}' AND {table.column} < '{end}' RETURNING *
        ) INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE {table.default} ENABLE TRIGGER USER;
        ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}');
        """  # noqa: S608  # DDL takes no parameters; names are constants, bounds are made of dates
    )


async def _drop(connection: asyncpg.Connection, partition: Partition) -> None:
    """One transaction: a crash leaves no detached table behind. The files go after the locks are given back."""
    await connection.execute(f"DROP TABLE {partition.name}")
