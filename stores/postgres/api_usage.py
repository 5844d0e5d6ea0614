"""What was asked of the API, in PostgreSQL. Calls travel as predictions do: encoded once, copied in binary."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, time, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from stores.domain.usage import DailyUsage
from stores.errors import InvalidError
from stores.postgres.copy_format import address, bigint, double, integer, moment, text, uuid
from stores.postgres.copying import CopiedRows, insert_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from uuid import UUID

    from stores.domain.usage import ApiCall
    from stores.postgres.pool import Pool

TABLE = "api_usage"
_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "usage_id": uuid,
    "created_at": moment,
    "user_id": uuid,
    "api_key_id": uuid,
    "endpoint": text,
    "http_method": text,
    "status_code": integer,
    "response_time_ms": double,
    "rate_limit_key": text,
    "requests_in_window": integer,
    "window_start": moment,
    "client_ip": address,
    "user_agent": text,
    "request_size_bytes": bigint,
    "response_size_bytes": bigint,
}
COLUMNS = tuple(_ENCODERS)
_COUNT = struct.pack(">h", len(COLUMNS))
_values = attrgetter(*COLUMNS)

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
    try:
        fields = [encoder(value) for encoder, value in zip(_ENCODERS.values(), _values(call), strict=True)]
    except (struct.error, OverflowError) as error:
        raise InvalidError(f"call {call.usage_id} cannot be stored: {error}") from error
    return b"".join((_COUNT, *fields))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
