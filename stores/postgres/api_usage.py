"""What was asked of the API, in PostgreSQL. Calls travel as predictions do: encoded once, copied in binary."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from stores.domain.usage import DailyUsage
from stores.errors import InvalidError
from stores.postgres.copy_format import (
    MILLISECONDS_2000,
    address,
    bigint,
    double,
    integer,
    moment,
    text,
    uuid,
)
from stores.postgres.copying import CopiedRows, insert_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from stores.domain.usage import ApiCall
    from stores.postgres.pool import Pool

TABLE = "api_usage"
COLUMNS = (
    *("usage_id", "created_at", "user_id", "api_key_id", "endpoint", "http_method", "status_code", "response_time_ms"),
    *("rate_limit_key", "requests_in_window", "window_start", "client_ip", "user_agent"),
    *("request_size_bytes", "response_size_bytes"),
)
_HEAD = struct.Struct(">hi16siq")  # how many columns, then id and moment, each behind its length

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
        if calls:
            await insert_once(self._pool, [CopiedRows(TABLE, COLUMNS, [encode(call) for call in calls])])

    async def daily(self, user_id: UUID, first: date, last: date) -> tuple[DailyUsage, ...]:
        """The sums of a user's days."""
        start, end = _midnight(first), _midnight(last + timedelta(days=1))
        rows = await self._pool.read(lambda connection: connection.fetch(DAILY, user_id, start, end))
        return tuple(DailyUsage(**dict(row)) for row in rows)


def encode(call: ApiCall) -> bytes:
    """The call as a tuple of COLUMNS. Raises InvalidError where a value does not fit its column."""
    identity = call.usage_id.int
    try:
        return b"".join(
            (
                _HEAD.pack(len(COLUMNS), 16, identity.to_bytes(16), 8, ((identity >> 80) - MILLISECONDS_2000) * 1000),
                uuid(call.user_id),
                uuid(call.api_key_id),
                text(call.endpoint),
                text(call.http_method),
                integer(call.status_code),
                double(call.response_time_ms),
                text(call.rate_limit_key),
                integer(call.requests_in_window),
                moment(call.window_start),
                address(call.client_ip),
                text(call.user_agent),
                bigint(call.request_size_bytes),
                bigint(call.response_size_bytes),
            )
        )
    except (struct.error, OverflowError) as error:
        raise InvalidError(f"call {call.usage_id} cannot be stored: {error}") from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
