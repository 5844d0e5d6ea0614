"""Feedback in PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.prediction_id import created_at
from stores.domain.time_ids import moment_of
from stores.errors import InvalidError, NotFoundError
from stores.postgres.fresh_ids import found_when_delivered
from stores.postgres.prediction_rows import COLUMNS, record_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

MAX_MANY = 10_000
_TYPES = {
    "prediction_id": "uuid",
    "predicted_at": "timestamptz",
    "feedback_source": "text",
    "actual_result": "text",
    "given_at": "timestamptz",
    "actual_stat_value": "float8",
    "match_completed_at": "timestamptz",
    "user_id": "uuid",
    "confidence_score": "float8",
    "notes": "text",
}
_CORRECTED = ("actual_result", "actual_stat_value", "match_completed_at", "user_id", "confidence_score", "notes")
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES.values(), 1))
_WRITTEN = ("prediction_id", "predicted_at", "feedback_source", *_CORRECTED)
# Every row is locked in the order of its key, so that two writers of the same rows queue instead of deadlocking.
_RECORD = f"""
    WITH given AS (SELECT * FROM unnest({_ARRAYS}) AS row({", ".join(_TYPES)})),
    known AS (
        SELECT given.* FROM given JOIN prediction_requests asked
        ON asked.prediction_id = given.prediction_id AND asked.created_at = given.predicted_at
        WHERE asked.created_at BETWEEN ${len(_TYPES) + 1} AND ${len(_TYPES) + 2}
    ),
    written AS (
        INSERT INTO prediction_feedback ({", ".join(_WRITTEN)}, created_at, updated_at)
        SELECT {", ".join(_WRITTEN)}, given_at, given_at FROM known ORDER BY prediction_id, feedback_source
        ON CONFLICT (prediction_id, predicted_at, feedback_source) DO UPDATE
        SET {", ".join(f"{name} = excluded.{name}" for name in _CORRECTED)}, updated_at = excluded.updated_at
        WHERE prediction_feedback.updated_at < excluded.updated_at
    )
    SELECT DISTINCT prediction_id FROM known
"""  # noqa: S608  # constants
GET = f"""
    SELECT {", ".join(_WRITTEN)}, updated_at AS given_at FROM prediction_feedback
    WHERE prediction_id = $1 AND predicted_at = $2
"""  # noqa: S608  # constants
# Ids sort by time, so the key's own order is the order of the pages.
_OF_TIME = f"""
    SELECT {COLUMNS} FROM prediction_requests asked
    WHERE created_at >= $1 AND created_at < $2
    AND ($4::uuid IS NULL OR (created_at >= $3::timestamptz AND prediction_id > $4))
    AND {{is_told}} (
        SELECT FROM prediction_feedback told
        WHERE told.prediction_id = asked.prediction_id AND told.predicted_at = asked.created_at
        AND told.predicted_at >= $1 AND told.predicted_at < $2
    )
    ORDER BY prediction_id LIMIT $5
"""  # noqa: S608  # constants
PENDING = _OF_TIME.format(is_told="NOT EXISTS")
TOLD = _OF_TIME.format(is_told="EXISTS")
_SAID = f"""
    SELECT {", ".join(_WRITTEN)}, updated_at AS given_at FROM prediction_feedback
    WHERE prediction_id = ANY($1) AND predicted_at BETWEEN $2 AND $3
"""  # noqa: S608  # constants
_RELIABLE_FIRST = tuple(reversed(FeedbackSource))


class PostgresFeedback:
    """`roles.feedback.Feedback` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, feedback: Feedback) -> None:
        (error,) = await self.record_many([feedback])
        if error is not None:
            raise error

    async def record_many(self, feedback: Sequence[Feedback]) -> list[NotFoundError | None]:
        if len(feedback) > MAX_MANY:
            raise InvalidError(f"{len(feedback)} outcomes at once; at most {MAX_MANY}", "feedback")
        if not feedback:
            return []
        # One statement must not write a row twice: of what a source says at once of one prediction the latest counts.
        latest = {(it.prediction_id, it.source): it for it in sorted(feedback, key=lambda it: it.given_at)}

        async def write(prediction_ids: Collection[UUID]) -> dict[UUID, None]:
            return await self._write([it for it in latest.values() if it.prediction_id in prediction_ids])

        known = await found_when_delivered(write, {it.prediction_id for it in feedback})
        return [None if it.prediction_id in known else _unknown(it.prediction_id) for it in feedback]

    async def _write(self, feedback: Sequence[Feedback]) -> dict[UUID, None]:
        """Write what is said of predictions that are there, and return their ids."""
        columns = zip(*(_row(it) for it in feedback), strict=True)
        times = sorted(it.predicted_at for it in feedback)
        async with self._pool.transaction() as connection:
            rows = await connection.fetch(_RECORD, *(list(column) for column in columns), times[0], times[-1])
        return dict.fromkeys(row["prediction_id"] for row in rows)

    async def get(self, prediction_id: UUID) -> tuple[Feedback, ...]:
        async with self._pool.transaction(readonly=True) as connection:
            rows = await connection.fetch(GET, prediction_id, created_at(prediction_id))
        return _reliable_first(rows)

    async def pending(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 1000
    ) -> tuple[PredictionRecord, ...]:
        async with self._pool.transaction(readonly=True) as connection:
            rows = await connection.fetch(PENDING, since, until, *_page(after, limit))
        return tuple(record_of(row) for row in rows)

    async def told(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 1000
    ) -> tuple[tuple[PredictionRecord, tuple[Feedback, ...]], ...]:
        async with self._pool.transaction(readonly=True) as connection:
            records = [record_of(row) for row in await connection.fetch(TOLD, since, until, *_page(after, limit))]
            if not records:
                return ()
            ids = [record.prediction_id for record in records]
            rows = await connection.fetch(_SAID, ids, records[0].created_at, records[-1].created_at)
        said: defaultdict[UUID, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            said[row["prediction_id"]].append(row)
        return tuple((record, _reliable_first(said[record.prediction_id])) for record in records)


def _page(after: UUID | None, limit: int) -> tuple[datetime | None, UUID | None, int]:
    if not 1 <= limit <= MAX_MANY:
        raise InvalidError(f"limit {limit} is not 1 to {MAX_MANY}", "limit")
    return (None if after is None else moment_of(after, "after", "the id of a prediction")), after, limit


def _unknown(prediction_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no prediction {prediction_id}")


def _row(feedback: Feedback) -> tuple[object, ...]:
    values = {"feedback_source": feedback.source.value, "actual_result": feedback.actual_result.value}
    return tuple(values[name] if name in values else getattr(feedback, name) for name in _TYPES)


def _reliable_first(rows: Sequence[asyncpg.Record]) -> tuple[Feedback, ...]:
    return tuple(sorted((_feedback(row) for row in rows), key=lambda it: _RELIABLE_FIRST.index(it.source)))


def _feedback(row: asyncpg.Record) -> Feedback:
    values = {name: value for name, value in row.items() if name not in {"predicted_at", "feedback_source"}}
    values["actual_result"] = ActualResult(row["actual_result"])
    return Feedback(source=FeedbackSource(row["feedback_source"]), **values)
