"""Partitions are made ahead and dropped by age while writers go on, and no row is lost on the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from stores.domain.prediction_id import new_prediction_id
from stores.errors import TransientError
from stores.postgres import partitions
from stores.postgres.partitions import (
    METRICS_KEPT,
    TABLES,
    drop_expired,
    ensure_partitions,
    partition_of,
    partitions_around,
)
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    Change = Callable[[Pool, datetime, Sequence[partitions.PartitionedTable]], Coroutine[None, None, list[str]]]
    MakePrediction = Callable[..., PredictionRecord]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
REQUESTS = TABLES[:1]
LATER = NOON + REQUESTS[0].kept + timedelta(days=62)  # all that was made around NOON is too old


@pytest.fixture
def store(pool: Pool) -> PostgresPredictions:
    """A store on a fresh database."""
    return PostgresPredictions(pool)


async def test_rows_fall_into_the_partition_of_their_month(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """The last millisecond of a month and the first of the next lie in different partitions, and both are found."""
    await ensure_partitions(pool, NOON, REQUESTS)
    last, first = prediction(at=MARCH - timedelta(milliseconds=1)), prediction(at=MARCH)
    await store.record_many([last, first])
    assert await _partition_of(pool, last) == "prediction_requests_2026_02"
    assert await _partition_of(pool, first) == "prediction_requests_2026_03"
    assert [await store.get(record.prediction_id) for record in (last, first)] == [last, first]


async def test_a_month_without_a_partition_loses_nothing(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Rows of an unprepared month wait in the default partition and move when theirs is made, late ones as well."""
    record, late = prediction(), prediction(at=datetime(2025, 7, 1, tzinfo=UTC))
    await store.record_many([record, late])
    assert await _partition_of(pool, record) == "prediction_requests_default"
    around = [partition.name for partition in partitions_around(REQUESTS[0], NOON)]
    assert await ensure_partitions(pool, NOON, REQUESTS) == [*around, "prediction_requests_2025_07"]
    assert await _partition_of(pool, record) == "prediction_requests_2026_03"
    assert await _partition_of(pool, late) == "prediction_requests_2025_07"
    assert [await store.get(one.prediction_id) for one in (record, late)] == [record, late]


async def test_every_partitioned_table_has_a_policy(pool: Pool) -> None:
    """The declared tables are those of the schema, and each gets partitions that take its rows from the default's."""
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'p' AND NOT relispartition")
    assert {row["relname"] for row in rows} == {table.name for table in TABLES}
    made = await ensure_partitions(pool, NOON)
    assert set(made) == {partition.name for table in TABLES for partition in partitions_around(table, NOON)}
    assert await ensure_partitions(pool, NOON) == []


async def test_bounds_of_dates_are_those_of_months(pool: Pool) -> None:
    """A table by date, not by time, is cut at the same midnights, whatever the zone of the session."""
    insert = "INSERT INTO model_performance_metrics (model_id, metric_date) VALUES ($1, $2::text::date)"
    async with pool.transaction() as connection:
        await connection.execute("SET LOCAL timezone = 'Pacific/Kiritimati'")
        for day in ("2026-02-28", "2026-03-01"):
            await connection.execute(insert, uuid4(), day)
    await ensure_partitions(pool, NOON)
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT tableoid::regclass::text FROM model_performance_metrics ORDER BY 1")
    assert [row[0] for row in rows] == [f"model_performance_metrics_2026_{month}" for month in ("02", "03")]


async def test_an_append_only_table_is_drained_too(pool: Pool) -> None:
    """The audit trail refuses every deletion but this move, and goes on refusing."""
    log_id = new_prediction_id(NOON)
    async with pool.transaction() as connection:
        await connection.execute(
            "INSERT INTO audit_logs (log_id, action, success, created_at) VALUES ($1, 'login', TRUE, $2)", log_id, NOON
        )
    await ensure_partitions(pool, NOON)
    async with pool.transaction() as connection:
        home = await connection.fetchval("SELECT tableoid::regclass::text FROM audit_logs WHERE log_id = $1", log_id)
    assert home == "audit_logs_2026_03"
    for table in ("audit_logs_2026_03", "audit_logs_default"):
        assert await _refuses_deletions(pool, table)


async def _refuses_deletions(pool: Pool, table: str) -> bool:
    async with pool.transaction() as connection:
        return bool(
            await connection.fetchval(
                "SELECT bool_or(tgenabled = 'O') FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgtype & 8 > 0",
                table,
            )
        )


async def test_partitions_are_made_while_rows_are_written(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Eight makers at once beside a stream of writes: each partition is made once and no row is lost or doubled."""

    async def write() -> None:
        for _ in range(50):
            await store.record(prediction())

    writers = [asyncio.create_task(write()) for _ in range(4)]
    made = await asyncio.gather(*(ensure_partitions(pool, NOON, REQUESTS) for _ in range(8)))
    await asyncio.gather(*writers)
    names = [partition.name for partition in partitions_around(REQUESTS[0], NOON)]
    assert sorted(name for names in made for name in names) == names
    assert await ensure_partitions(pool, NOON, REQUESTS) == []
    assert await store.count() == 200


async def test_what_is_too_old_is_dropped_and_nothing_else(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Partitions go with their rows at the end of their time; younger ones, the default and a stranger's stay."""
    await ensure_partitions(pool, NOON, REQUESTS)
    old, young = prediction(at=datetime(2026, 2, 3, tzinfo=UTC)), prediction(at=NOON)
    await store.record_many([old, young])
    async with pool.transaction() as connection:
        await connection.execute(
            "CREATE TABLE prediction_requests_ancient PARTITION OF prediction_requests"
            " FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')"
        )
    at = datetime(2026, 3, 1, tzinfo=UTC) + REQUESTS[0].kept
    assert await drop_expired(pool, at, REQUESTS) == ["prediction_requests_2026_02"]
    assert await drop_expired(pool, at, REQUESTS) == []
    assert await store.count() == 1
    assert await store.get(young.prediction_id) == young
    assert await _table_exists(pool, "prediction_requests_ancient")


async def test_metrics_are_dropped_by_the_day(pool: Pool) -> None:
    """Thirty days after its end a day's partition goes, alone."""
    metrics = [table for table in TABLES if table.name == "prediction_metrics"]
    await ensure_partitions(pool, NOON, metrics)
    end = partition_of(metrics[0], NOON).end
    assert await drop_expired(pool, end + METRICS_KEPT, metrics) == [
        "prediction_metrics_2026_03_13",
        "prediction_metrics_2026_03_14",
    ]


@pytest.mark.parametrize("change", [ensure_partitions, drop_expired])
async def test_writers_do_not_queue_behind_a_change_that_waits(
    store: PostgresPredictions,
    pool: Pool,
    prediction: MakePrediction,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
) -> None:
    """A long reader holds up the change; fifty writes in a row pass both, and the change is made when it leaves."""
    monkeypatch.setattr(partitions, "MOST_PAUSE_S", 0.1)
    await ensure_partitions(pool, NOON, REQUESTS)
    async with pool.transaction() as reader:
        await reader.fetchval("SELECT count(*) FROM prediction_requests")
        changing = asyncio.create_task(change(pool, LATER, REQUESTS))
        for _ in range(50):
            await store.record(prediction())
        await _tried_in_vain(pool)
        assert not changing.done()
        assert await store.count() == 50
    assert await changing


async def _tried_in_vain(pool: Pool) -> None:
    """Until the server has seen the change wait for a lock."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'relation' AND datname = current_database()"
    waiting = 0
    while not waiting:
        async with pool.transaction() as connection:
            waiting = await connection.fetchval(waits)


@pytest.mark.parametrize("change", [ensure_partitions, drop_expired])
async def test_a_reader_that_never_leaves_is_told(pool: Pool, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """The change gives up with a TransientError, and is made the next time."""
    monkeypatch.setattr(partitions, "RETRY_WITHIN_S", 0.2)
    await ensure_partitions(pool, NOON, REQUESTS)
    async with pool.transaction() as reader:
        await reader.fetchval("SELECT count(*) FROM prediction_requests")
        with pytest.raises(TransientError, match="lock timeout"):
            await change(pool, LATER, REQUESTS)
    assert await change(pool, LATER, REQUESTS)


async def test_writes_go_on_while_partitions_come_and_go(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Beside a stream of writes two years of partitions are made and dropped; every acknowledged row is kept."""
    written: set[UUID] = set()
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            record = prediction(at=LATER)
            await store.record(record)
            written.add(record.prediction_id)

    writers = [asyncio.create_task(write()) for _ in range(4)]
    dropped: list[str] = []
    for month in range(24):
        now = NOON + timedelta(days=31 * month)
        await ensure_partitions(pool, now, REQUESTS)
        dropped += await drop_expired(pool, now + REQUESTS[0].kept, REQUESTS)
    stop.set()
    await asyncio.gather(*writers)
    assert len(dropped) >= 20
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT prediction_id FROM prediction_requests")
    assert {row["prediction_id"] for row in rows} == written
    assert len(rows) == len(written) > 0


async def _table_exists(pool: Pool, name: str) -> bool:
    async with pool.transaction() as connection:
        return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name))


async def _partition_of(pool: Pool, record: PredictionRecord) -> str:
    async with pool.transaction() as connection:
        return str(
            await connection.fetchval(
                "SELECT tableoid::regclass::text FROM prediction_requests WHERE prediction_id = $1",
                record.prediction_id,
            )
        )
