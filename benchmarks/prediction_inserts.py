"""Predictions acknowledged per second: asyncpg used plainly, the store that shares commits among callers,
and a gateway's journal, from which PostgreSQL gets them during and after the time.

Every way is as durable: fsync and synchronous_commit are on, and a call returns when its rows are on disk.
"""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from benchmarks.fresh_server import started
from benchmarks.paired import Way, by_callers, chunks, command, race
from serve_apps.destinations import Destinations
from serve_apps.write_behind import encoded, opened_write_behind
from stores.clock import utc_now
from stores.domain.prediction_id import new_prediction_id
from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, PropRequest, PropType, Side
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from serve_apps.write_behind import WriteBehind
    from stores.postgres.pool import Pool

    Write = Callable[[Sequence[PredictionRecord]], Awaitable[object]]

PLAYERS = 500  # about those of the major leagues
DRIVERS_POOL = 10  # asyncpg's own choice
OUR_POOL = 4  # ours, see PostgresSettings
DELIVERED_WITHIN_S = 60.0
COMPARED = 5  # records of a run that are read back and compared
COLUMNS = (
    *("prediction_id", "created_at", "user_id", "player_names", "prop_type", "prop_value", "map_range", "opponent"),
    *("tournament", "team", "match_date", "position_roles", "strict_mode", "prediction", "confidence"),
    *("base_model_confidence", "push_probability", "expected_stat", "confidence_interval", "data_tier"),
    *("model_version", "feature_version", "lake_snapshot_id", "processing_time_ms", "cache_hit", "warnings"),
    *("client_ip", "user_agent", "api_version", "request_source", "champions", "best_of"),
)
INSERT = (
    f"INSERT INTO prediction_requests ({', '.join(COLUMNS)}) "  # noqa: S608  # constants
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(COLUMNS) + 1))})"
)
SAMPLE = PredictionRecord(
    prediction_id=UUID(int=0),  # each record has its own
    request=PropRequest(
        player_names=("Player",),
        prop_type=PropType.KILLS,
        prop_value=3.5,
        map_range=MapRange(1, 2),
        opponent="Gen.G",
        tournament="LCK",
        team="T1",
        match_date=date(2026, 3, 15),
    ),
    prediction=Side.OVER,
    confidence=57.300000000000004,
    base_model_confidence=100 / 3,
    push_probability=0.0,
    expected_stat=0.1 + 0.2,
    confidence_interval=(1 / 7, 22 / 7),
    data_tier=DataTier.DIRECT,
    model_version="2026.03.14",
    feature_version="f1",
    lake_snapshot_id=2**62,
    processing_time_ms=0.2345678901234567,
    api_version="v1",
    request_source="api",
)


def new_records(count: int) -> list[PredictionRecord]:
    """Records with ids of now, of many players."""
    questions = [replace(SAMPLE.request, player_names=(f"Player {number}",)) for number in range(PLAYERS)]
    return [
        SAMPLE._replace(prediction_id=new_prediction_id(utc_now()), request=questions[number % PLAYERS])
        for number in range(count)
    ]


def row_of(record: PredictionRecord) -> tuple[Any, ...]:
    """The record as a plain INSERT takes it, in the order of COLUMNS."""
    request = record.request
    values = {field.name: getattr(request, field.name) for field in fields(request)}
    values |= record._asdict()
    values |= {"created_at": record.created_at, "map_range": (request.map_range.first, request.map_range.last)}
    return tuple(values[name] for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class PlainInserts:
    """The driver as it is plainly used. None of it may be repeated after a lost answer: a known id is an error."""

    alone: asyncpg.Connection
    pool: asyncpg.Pool

    async def one_by_one(self, records: Sequence[PredictionRecord]) -> None:
        """A transaction each, on one connection."""
        for record in records:
            await self.alone.execute(INSERT, *row_of(record))

    async def of_64(self, records: Sequence[PredictionRecord]) -> None:
        """A transaction each, on the connections of the pool."""
        await by_callers(64, records, lambda record: self.pool.execute(INSERT, *row_of(record)))

    async def many(self, records: Sequence[PredictionRecord]) -> None:
        """1000 a transaction."""
        for part in chunks(records, 1000):
            await self.alone.executemany(INSERT, [row_of(record) for record in part])

    async def copied(self, records: Sequence[PredictionRecord]) -> None:
        """1000 a transaction, by COPY."""
        for part in chunks(records, 1000):
            rows = [row_of(record) for record in part]
            await self.alone.copy_records_to_table("prediction_requests", records=rows, columns=COLUMNS)


@dataclass(slots=True)
class Inserts:
    """The work of one way: fresh records for each round, written, and counted and compared afterwards."""

    pool: Pool
    count: int
    write: Write
    settle: Callable[[], Awaitable[None]] | None = None  # before the check, outside of the time
    records: Sequence[PredictionRecord] = ()

    def way(self, name: str, beside: str = "") -> Way:
        """It, for a race."""
        return Way(name, self.run, self.prepare, self.check, beside)

    async def prepare(self) -> None:
        """Make the records."""
        self.records = new_records(self.count)

    async def run(self) -> int:
        """Write them."""
        await self.write(self.records)
        return self.count

    async def check(self) -> None:
        """Each id is there once, and some records are what was written, to the bit."""
        if self.settle is not None:
            await self.settle()
        ids = [record.prediction_id for record in self.records]
        async with self.pool.transaction(readonly=True) as connection:
            found = await connection.fetch(
                "SELECT prediction_id FROM prediction_requests WHERE prediction_id = ANY($1::uuid[])"
                " AND created_at BETWEEN $2 AND $3",
                ids,
                min(record.created_at for record in self.records),
                max(record.created_at for record in self.records),
            )
        assert sorted(row["prediction_id"] for row in found) == sorted(ids), f"{len(found)} of {len(ids)} rows"
        store = PostgresPredictions(self.pool)
        for record in self.records[:: max(1, self.count // COMPARED)]:
            assert await store.get(record.prediction_id) == record


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """Insert into one fresh server."""
    with started(Postgres) as server:
        async with AsyncExitStack() as stack:
            pool = await open_pool(server.url, OUR_POOL)
            stack.push_async_callback(pool.close)
            await migrate(pool)
            alone = await asyncpg.connect(server.url)
            stack.push_async_callback(alone.close)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rift-", dir="/tmp")))
            behind = await stack.enter_async_context(opened_write_behind(Destinations(folder), pool))
            plain = await asyncpg.create_pool(server.url, min_size=DRIVERS_POOL, max_size=DRIVERS_POOL)
            stack.push_async_callback(plain.close)
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await alone.fetchval(f"SHOW {setting}") == "on"
            ways = _ways(pool, PlainInserts(alone, plain), Journalled(behind))
            yield await race("Store predictions in PostgreSQL", "predictions/s", ways, rounds)


@dataclass(frozen=True, slots=True)
class Journalled:
    """As a gateway keeps its answers: on its own disk first."""

    behind: WriteBehind

    async def of_64(self, records: Sequence[PredictionRecord]) -> None:
        """One a call, by 64 callers."""
        await by_callers(64, records, self._keep)

    async def of_1000(self, records: Sequence[PredictionRecord]) -> None:
        """One a call, by 1000 callers."""
        await by_callers(1000, records, self._keep)

    async def many(self, records: Sequence[PredictionRecord]) -> None:
        """1000 a call."""
        for part in chunks(records, 1000):
            await self.behind.add(list(map(encoded, part)))

    async def delivered(self) -> None:
        """All of them are in the database."""
        await self.behind.flush(DELIVERED_WITHIN_S)

    def _keep(self, record: PredictionRecord) -> Awaitable[None]:
        return self.behind.add([encoded(record)])


def _ways(pool: Pool, plain: PlainInserts, behind: Journalled) -> list[Way]:
    store = PostgresPredictions(pool)

    async def of_64(records: Sequence[PredictionRecord]) -> None:
        await by_callers(64, records, store.record)

    async def of_1000(records: Sequence[PredictionRecord]) -> None:
        await by_callers(1000, records, store.record)

    async def many(records: Sequence[PredictionRecord]) -> None:
        for part in chunks(records, 1000):
            assert not any(await store.record_many(part))

    single, pooled = "asyncpg INSERT, one by one", f"asyncpg INSERT, 64 callers, pool of {DRIVERS_POOL}"
    bulk = "asyncpg executemany, 1000 a transaction"
    store_64, store_1000 = "riftline record, 64 callers", "riftline record, 1000 callers"
    store_many = "riftline record_many, 1000 a call"
    return [
        Inserts(pool, 300, plain.one_by_one).way(single),
        Inserts(pool, 1000, plain.of_64).way(pooled),
        Inserts(pool, 3000, of_64).way(store_64, pooled),
        Inserts(pool, 5000, of_1000).way(store_1000, pooled),
        Inserts(pool, 4000, plain.many).way(bulk),
        Inserts(pool, 5000, plain.copied).way("asyncpg COPY, 1000 a transaction", bulk),
        Inserts(pool, 5000, many).way(store_many, bulk),
        Inserts(pool, 6000, behind.of_64, behind.delivered).way("riftline journal, 64 callers", store_64),
        Inserts(pool, 10_000, behind.of_1000, behind.delivered).way("riftline journal, 1000 callers", store_1000),
        Inserts(pool, 10_000, behind.many, behind.delivered).way("riftline journal, 1000 a call", store_many),
    ]


if __name__ == "__main__":
    command(__doc__, "benchmarks.prediction_inserts", races)
