"""Monthly partitions of prediction_requests, made ahead of time. Months are of UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from stores.postgres.pool import Pool

PARTITION_LOCK = 0x52494655  # the neighbour of the migrations' lock
MONTHS_BEFORE = 1  # late records of a retry or of a slow clock
MONTHS_AHEAD = 2  # a daily job may fail for weeks before the default partition takes over


@dataclass(frozen=True, slots=True)
class MonthPartition:
    """The partition of the rows with ``start`` <= created_at < ``end``."""

    name: str
    start: datetime
    end: datetime


def partitions_around(now: datetime) -> tuple[MonthPartition, ...]:
    """The partitions that should exist at ``now``, the oldest first."""
    moment = now.astimezone(UTC)
    month = moment.year * 12 + moment.month - 1
    return tuple(_partition(month + offset) for offset in range(-MONTHS_BEFORE, MONTHS_AHEAD + 1))


async def ensure_partitions(pool: Pool, now: datetime) -> list[str]:
    """Make the partitions that are missing around ``now`` and return their names. Idempotent and safe at once.

    Rows that the default partition took in their stead are moved in the same transaction. Call it at start and daily;
    if nobody does, no row is lost: the default partition takes them.
    """
    async with pool.transaction() as connection:
        if not await _missing(connection, now):  # the daily case takes no lock
            return []
        await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
        missing = await _missing(connection, now)
        for partition in missing:
            await _create(connection, partition)
        return [partition.name for partition in missing]


def _partition(month: int) -> MonthPartition:
    start, end = (datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC) for index in (month, month + 1))
    return MonthPartition(f"prediction_requests_{start:%Y_%m}", start, end)


async def _missing(connection: asyncpg.Connection, now: datetime) -> list[MonthPartition]:
    """Asked of the catalog's rows: to_regclass would answer from a cache that a wait for the lock does not renew."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'prediction_requests'::regclass"
    )
    present = {row["relname"] for row in rows}
    return [partition for partition in partitions_around(now) if partition.name not in present]


async def _create(connection: asyncpg.Connection, partition: MonthPartition) -> None:
    """Make a table, move its rows out of the default partition, attach it: writers wait only for the move."""
    name, start, end = partition.name, partition.start.isoformat(), partition.end.isoformat()
    await connection.execute(
        f"""
        LOCK TABLE prediction_requests IN SHARE UPDATE EXCLUSIVE MODE;
        LOCK TABLE prediction_requests_default IN ACCESS EXCLUSIVE MODE;
        CREATE TABLE {name} (LIKE prediction_requests INCLUDING ALL);
        WITH moved AS (
            DELETE FROM prediction_requests_default
            WHERE created_at >= '{start}' AND created_at < '{end}' RETURNING *
        ) INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE prediction_requests ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}');
        """  # noqa: S608  # DDL takes no parameters; name and bounds are made of a month's number
    )
