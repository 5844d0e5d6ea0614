"""What every store of usage keeps: each call once, whatever is repeated, and sums by day of UTC."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.time_ids import new_time_id
from stores.domain.usage import ApiCall, DailyUsage
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import TransientError
from stores.postgres.api_usage import PostgresApiUsage
from stores.postgres.partitions import ensure_partitions
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS

if TYPE_CHECKING:
    import asyncpg

    from stores.postgres.pool import Pool
    from stores.roles.api_usage import ApiUsage

pytestmark = pytest.mark.role("api_usage")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
TODAY = date(2026, 3, 14)
MANY = 5001  # more than a megabyte


@pytest.fixture
def usage(pool: Pool) -> ApiUsage:
    """The usage of a fresh database."""
    return PostgresApiUsage(pool)


def call(at: datetime = NOON, **changes: Any) -> ApiCall:
    """A call with every field filled."""
    fields: dict[str, Any] = {
        "usage_id": new_time_id(at),
        "endpoint": "/predict/single",
        "http_method": "POST",
        "status_code": 200,
        "user_id": UUID(int=7),
        "api_key_id": UUID(int=8),
        "response_time_ms": 0.1 + 0.2,
        "rate_limit_key": "user:7",
        "requests_in_window": 3,
        "window_start": NOON,
        "client_ip": ip_address("2001:db8::1"),
        "user_agent": "test",
        "request_size_bytes": 100,
        "response_size_bytes": 2**40,
    }
    return ApiCall(**fields | changes)


async def rows_of(pool: Pool) -> list[asyncpg.Record]:
    """Every stored call, the oldest first."""
    async with pool.transaction() as connection:
        found: list[asyncpg.Record] = await connection.fetch("SELECT * FROM api_usage ORDER BY created_at, usage_id")
    return found


async def test_a_call_is_stored_as_it_was(usage: ApiUsage, pool: Pool) -> None:
    """Every field of a full and of a bare call is in the table, to the bit."""
    bare = ApiCall(usage_id=new_time_id(NOON + timedelta(seconds=1)), endpoint="/", http_method="GET", status_code=404)
    calls = [call(), bare]
    await usage.record_many(calls)
    stored = [dict(row) for row in await rows_of(pool)]
    assert stored == [asdict(one) | {"created_at": one.created_at} for one in calls]


async def test_nothing_is_stored_twice(usage: ApiUsage, pool: Pool) -> None:
    """The same calls sent again, at once and beside new ones, are there once."""
    calls = [call() for _ in range(50)]
    await asyncio.gather(*(usage.record_many(calls[start:]) for start in range(0, 50, 10)))
    await usage.record_many([*calls, calls[0], call()])
    assert len(await rows_of(pool)) == 51


async def test_many_calls_are_one_step(usage: ApiUsage, pool: Pool) -> None:
    """A number of calls that the driver sends in pieces is stored whole, or not at all when the last one fails."""
    many = [call() for _ in range(MANY)]
    async with pool.transaction() as connection:
        await connection.execute(
            "CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'enough' USING ERRCODE = 'disk_full'; END $$;"
            "CREATE TRIGGER give_up BEFORE INSERT ON api_usage_default FOR EACH ROW"
            " WHEN (NEW.endpoint = '/last') EXECUTE FUNCTION give_up()"
        )
    with pytest.raises(TransientError):
        await usage.record_many([*many, call(endpoint="/last")])
    assert await rows_of(pool) == []
    await usage.record_many(many)
    assert len(await rows_of(pool)) == MANY
    await usage.record_many([])


async def test_days_are_summed_in_utc(usage: ApiUsage, pool: Pool) -> None:
    """Both ends are included, days without calls and other users left out, whatever partition holds the rows."""
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    tokyo = timezone(timedelta(hours=9))
    calls = [
        call(midnight - timedelta(milliseconds=1), response_time_ms=1.0, response_size_bytes=1),
        call(midnight.astimezone(tokyo), response_time_ms=2.0, response_size_bytes=2, status_code=429),
        call(midnight, response_time_ms=None, response_size_bytes=None, status_code=500),
        call(midnight, response_time_ms=4.0, response_size_bytes=4, status_code=399),
        call(midnight, user_id=None),
        call(midnight, user_id=uuid4()),
        call(midnight + timedelta(days=2)),
    ]
    await usage.record_many(calls)
    expected = (
        DailyUsage(
            day=date(2026, 2, 28), requests=1, errors=0, mean_response_time_ms=1.0, request_bytes=100, response_bytes=1
        ),
        DailyUsage(
            day=date(2026, 3, 1), requests=3, errors=2, mean_response_time_ms=3.0, request_bytes=300, response_bytes=6
        ),
    )
    assert await usage.daily(UUID(int=7), date(2026, 2, 28), date(2026, 3, 2)) == expected
    await ensure_partitions(pool, NOON)
    assert await usage.daily(UUID(int=7), date(2026, 2, 28), date(2026, 3, 2)) == expected
    assert await usage.daily(UUID(int=7), date(2026, 3, 3), date(2026, 3, 2)) == ()


async def test_usage_outlives_its_user(usage: ApiUsage, pool: Pool) -> None:
    """An id as the store of users gives it is taken, and the user's deletion neither waits for usage nor takes it."""
    users = PostgresUsers(pool)
    method = AuthMethod(auth_type=AuthType.PASSWORD)
    user = await users.create(User(email="a@b", username="a", password_hash="h"), method, UserProfile())  # noqa: S106
    await usage.record_many([call(user_id=user.user_id)])
    await users.delete(user.user_id)
    assert [day.requests for day in await usage.daily(user.user_id, TODAY, TODAY)] == [1]


async def test_hostile_text_is_stored_unchanged(usage: ApiUsage, pool: Pool) -> None:
    """What a client sends is nothing but text, also inside the tuples in which rows travel."""
    texts = ("endpoint", "rate_limit_key", "user_agent")
    await usage.record_many(
        [
            call(http_method=text[:10], endpoint=text, rate_limit_key=text, user_agent=text)  # every text of a call
            for text in INJECTIONS
        ]
    )
    stored = {(*(row[name] for name in texts), row["http_method"]) for row in await rows_of(pool)}
    assert stored == {(text, text, text, text[:10]) for text in INJECTIONS}
