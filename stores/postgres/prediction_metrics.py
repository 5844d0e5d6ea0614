"""Predictions by context and their metrics in PostgreSQL, with TimescaleDB or without it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from stores.domain.prediction_id import created_at
from stores.domain.prediction_metrics import ContextPrediction, HourlyMetric
from stores.domain.time_ids import moment_of
from stores.errors import InvalidError, NotFoundError
from stores.postgres.partitions import METRICS_KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from stores.domain.prediction_metrics import PredictionMetric
    from stores.postgres.pool import Pool

MAX_MANY = 10_000
MAX_PAGE = 200
ROLLUP_LOCK = 0x52494656  # the neighbour of the partitions' lock
HOUR = timedelta(hours=1)
_COLUMNS = "prediction_id, user_id, context_id, prediction_type, predictions, confidence, metadata"
_RECORD = f"""
    INSERT INTO predictions ({_COLUMNS}, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""  # noqa: S608  # constants
GET = f"SELECT {_COLUMNS} FROM predictions WHERE prediction_id = $1 AND created_at = $2"  # noqa: S608  # constants
HISTORICAL = f"""
    SELECT {_COLUMNS} FROM predictions WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
    AND ($4::timestamptz IS NULL OR (created_at <= $4 AND (created_at, prediction_id) < ($4, $5::uuid)))
    ORDER BY created_at DESC, prediction_id DESC LIMIT $6
"""  # noqa: S608  # constants
_STORE = """
    INSERT INTO prediction_metrics (time, prediction_id, user_id, metric_name, metric_value, tags)
    SELECT time, prediction_id, user_id, metric_name, metric_value, tags::jsonb
    FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::text[], $5::float8[], $6::text[])
    AS row(time, prediction_id, user_id, metric_name, metric_value, tags) ON CONFLICT DO NOTHING
"""
HOURLY = """
    SELECT bucket, prediction_id, metric_name, avg_value, sample_count FROM metrics_hourly
    WHERE prediction_id = $1 AND metric_name = $2 AND bucket >= $3 AND bucket < $4 ORDER BY bucket
"""
_ROLL_UP_NEW = """
    INSERT INTO metrics_hourly (bucket, prediction_id, metric_name, avg_value, sample_count)
    SELECT $1, prediction_id, metric_name, avg(metric_value), count(*) FROM prediction_metrics
    WHERE time >= $1 AND time < $2 GROUP BY prediction_id, metric_name
    ON CONFLICT (prediction_id, metric_name, bucket) DO NOTHING
"""
ROLL_UP = _ROLL_UP_NEW.replace(
    "DO NOTHING", "DO UPDATE SET avg_value = excluded.avg_value, sample_count = excluded.sample_count"
)


class PostgresPredictionMetrics:
    """`PredictionMetrics` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, prediction: ContextPrediction) -> None:
        values = (getattr(prediction, name) for name in _COLUMNS.split(", "))
        async with self._pool.transaction() as connection:
            await connection.execute(_RECORD, *values, prediction.created_at)

    async def get(self, prediction_id: UUID) -> ContextPrediction:
        async with self._pool.transaction(readonly=True) as connection:
            row = await connection.fetchrow(GET, prediction_id, created_at(prediction_id))
        if row is None:
            raise NotFoundError(f"there is no prediction {prediction_id}")
        return ContextPrediction(**row)

    async def historical(
        self, user_id: UUID, start: datetime, end: datetime, *, before: UUID | None = None, limit: int = 50
    ) -> tuple[ContextPrediction, ...]:
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidError(f"limit {limit} is not 1 to {MAX_PAGE}", "limit")
        moment = None if before is None else moment_of(before, "before", "the id of a prediction")
        rows = await self._pool.read(lambda it: it.fetch(HISTORICAL, user_id, start, end, moment, before, limit))
        return tuple(ContextPrediction(**row) for row in rows)

    async def store(self, metric: PredictionMetric) -> None:
        await self.store_many([metric])

    async def store_many(self, metrics: Sequence[PredictionMetric]) -> None:
        if len(metrics) > MAX_MANY:
            raise InvalidError(f"{len(metrics)} metrics at once; at most {MAX_MANY}", "metrics")
        if not metrics:
            return
        columns = zip(*(_row(metric) for metric in metrics), strict=True)
        async with self._pool.transaction() as connection:
            await connection.execute(_STORE, *(list(column) for column in columns))

    async def hourly(
        self, prediction_id: UUID, metric_name: str, start: datetime, end: datetime
    ) -> tuple[HourlyMetric, ...]:
        rows = await self._pool.read(lambda it: it.fetch(HOURLY, prediction_id, metric_name, start, end))
        return tuple(HourlyMetric(**row) for row in rows)

    async def rollup(self, now: datetime) -> int:
        """Whoever waits for the lock sees what its holder did: an older sum never replaces a newer one."""
        async with self._pool.transaction() as connection:
            if not await connection.fetchval("SELECT to_regclass('metrics_stale') IS NOT NULL"):
                return 0  # TimescaleDB refreshes its aggregate by itself
            await connection.execute("SELECT pg_advisory_xact_lock($1)", ROLLUP_LOCK)
            made = 0
            for hour in await _take_stale(connection):
                # of an older hour rows may be gone: what is left replaces no figure, but makes one where none is
                statement = ROLL_UP if hour >= now - METRICS_KEPT + HOUR else _ROLL_UP_NEW
                made += await connection.execute(statement, hour, hour + HOUR) != "INSERT 0 0"
            return made


async def _take_stale(connection: asyncpg.Connection) -> list[datetime]:
    """The hours to make again, oldest first."""
    rows = await connection.fetch(
        "WITH taken AS (DELETE FROM metrics_stale RETURNING bucket) SELECT DISTINCT bucket FROM taken ORDER BY bucket"
    )
    return [row["bucket"] for row in rows]


def _row(metric: PredictionMetric) -> tuple[object, ...]:
    tags = None if metric.tags is None else orjson.dumps(metric.tags).decode()
    return metric.time, metric.prediction_id, metric.user_id, metric.metric_name, float(metric.metric_value), tags
