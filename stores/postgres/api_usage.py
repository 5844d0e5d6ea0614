"""What was asked of the API, in PostgreSQL.

Calls travel as one JSON array, as predictions do: one parameter and one statement for any number of rows.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from stores.domain.usage import DailyUsage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from stores.domain.usage import ApiCall
    from stores.postgres.pool import Pool

MAX_ROWS = 5000  # of one statement; about 2 MB
_TYPES = {
    "usage_id": "uuid",
    "created_at": "timestamptz",
    "user_id": "uuid",
    "api_key_id": "uuid",
    "endpoint": "text",
    "http_method": "text",
    "status_code": "integer",
    "response_time_ms": "double precision",
    "rate_limit_key": "text",
    "requests_in_window": "integer",
    "window_start": "timestamptz",
    "client_ip": "inet",
    "user_agent": "text",
    "request_size_bytes": "bigint",
    "response_size_bytes": "bigint",
}

INSERT = (
    f"INSERT INTO api_usage ({', '.join(_TYPES)}) "  # noqa: S608  # constants
    f"SELECT {', '.join(_TYPES)} FROM json_to_recordset($1::text::json) "
    f"AS row({', '.join(f'{name} {kind}' for name, kind in _TYPES.items())}) ON CONFLICT DO NOTHING"
)
DAILY = """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS requests,
        count(*) FILTER (WHERE status_code >= 400) AS errors, avg(response_time_ms) AS mean_response_time_ms,
        coalesce(sum(request_size_bytes), 0)::bigint AS request_bytes,
        coalesce(sum(response_size_bytes), 0)::bigint AS response_bytes
    FROM api_usage WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
    GROUP BY day ORDER BY day
"""


class PostgresApiUsage:
    """`ApiUsage` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record_many(self, calls: Sequence[ApiCall]) -> None:
        """Store these calls, all or none."""
        async with self._pool.transaction() as connection:
            for first in range(0, len(calls), MAX_ROWS):
                rows = [_row(call) for call in calls[first : first + MAX_ROWS]]
                await connection.execute(INSERT, orjson.dumps(rows, default=str).decode())

    async def daily(self, user_id: UUID, first: date, last: date) -> tuple[DailyUsage, ...]:
        """The sums of a user's days."""
        start, end = _midnight(first), _midnight(last + timedelta(days=1))
        rows = await self._pool.read(lambda connection: connection.fetch(DAILY, user_id, start, end))
        return tuple(DailyUsage(**dict(row)) for row in rows)


def _row(call: ApiCall) -> dict[str, Any]:
    """Addresses become texts, and so do the ids that the driver makes: orjson knows neither."""
    return {name: getattr(call, name) for name in _TYPES}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
