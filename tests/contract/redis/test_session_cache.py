"""Sessions: sliding, revocable at once, and never let back in by someone who read them before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.user_sessions import UserSession, new_session_token, session_id_of
from stores.errors import InvalidError
from stores.redis_store import keys
from stores.redis_store.session_cache import RedisSessionCache
from tests.contract.redis.lifetimes import expire, left_s

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("session cache")

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)


def session(user_id: UUID | None = None, **changes: Any) -> UserSession:
    """A session of a week with every field filled."""
    fields = {
        "session_id": session_id_of(new_session_token()),
        "user_id": user_id or uuid4(),
        "created_at": NOON,
        "last_activity_at": NOON,
        "expires_at": NOON + timedelta(days=7),
        "device_fingerprint": "fp_abc123",
        "ip_address": IPv6Address("2001:db8::1"),
        "user_agent": 'Ünïcode "{}" \r\n*3',
        "location_data": {"city": "Seoul", "at": [37.5, None]},
    }
    return UserSession(**{**fields, **changes})


@pytest.fixture
def cache(connection: RedisConnection) -> RedisSessionCache:
    """The adapter over an empty server."""
    return RedisSessionCache(connection)


@pytest.mark.parametrize(
    "kept",
    [
        session(),
        session(device_fingerprint=None, ip_address=None, user_agent=None, location_data=None),
        session(device_fingerprint="", ip_address=IPv4Address("192.0.2.1"), user_agent="", location_data={}),
    ],
    ids=["full", "without", "empty"],
)
async def test_what_is_put_is_got(cache: RedisSessionCache, kept: UserSession) -> None:
    """A session comes back equal, used now; one that is unknown is a miss."""
    assert await cache.put(kept, NOON)
    later = NOON + timedelta(minutes=1)
    assert await cache.get(kept.session_id, later) == replace(kept, last_activity_at=later)
    assert await cache.get(session().session_id, NOON) is None
    assert cache.garbled == 0


async def test_use_keeps_a_session_alive(cache: RedisSessionCache, connection: RedisConnection) -> None:
    """Each use gives it its 30 minutes again and notes the moment; a use just after writes nothing."""
    kept = session()
    await cache.put(kept, NOON)
    key = keys.session(kept.session_id)
    assert 1795 < await left_s(connection, key) <= 1800
    await expire(connection, key, 60)
    await cache.get(kept.session_id, NOON + timedelta(minutes=29))
    assert 1795 < await left_s(connection, key) <= 1800
    await expire(connection, key, 1795)
    await cache.get(kept.session_id, NOON + timedelta(minutes=29, seconds=5))
    assert await left_s(connection, key) <= 1795
    noted = await connection.run(lambda redis: redis.hget(key, "last_activity"))
    assert noted.decode() == (NOON + timedelta(minutes=29)).isoformat()


async def test_no_use_keeps_it_beyond_its_end(cache: RedisSessionCache, connection: RedisConnection) -> None:
    """Near its end a session gets what is left, at its end it is gone, and later it is not taken."""
    kept = session(expires_at=NOON + timedelta(minutes=10))
    assert await cache.put(kept, NOON)
    key = keys.session(kept.session_id)
    assert 595 < await left_s(connection, key) <= 600
    await expire(connection, key, 1)
    assert await cache.get(kept.session_id, NOON + timedelta(minutes=9)) is not None
    assert 55 < await left_s(connection, key) <= 60
    assert await cache.get(kept.session_id, NOON + timedelta(minutes=10)) is None
    assert not await cache.put(kept, NOON + timedelta(minutes=10))
    assert await cache.get(kept.session_id, NOON) is None


async def test_an_inactive_session_is_not_taken(cache: RedisSessionCache) -> None:
    """What the users' store has closed cannot be put."""
    kept = session(is_active=False)
    assert not await cache.put(kept, NOON)
    assert await cache.get(kept.session_id, NOON) is None


async def test_a_revoked_session_stays_out(cache: RedisSessionCache, connection: RedisConnection) -> None:
    """Revoked, it is a miss, and whoever read it from the truth before cannot put it back."""
    kept, never_cached, other = session(), session(), session()
    for each in (kept, other):
        await cache.put(each, NOON)
    for each in (kept, never_cached):
        await cache.revoke(each.session_id)
        assert await cache.get(each.session_id, NOON) is None
        assert not await cache.put(each, NOON)
        assert await cache.get(each.session_id, NOON) is None
        assert 1790 < await left_s(connection, keys.session(each.session_id)) <= 1800
    assert await cache.get(other.session_id, NOON) is not None
    assert cache.garbled == 0


async def test_all_sessions_of_a_user_can_be_revoked(cache: RedisSessionCache) -> None:
    """All of a user's sessions end, cached or not yet; others' go on, and a login afterwards works."""
    user = uuid4()
    own = [session(user) for _ in range(20)]
    other = session()
    for each in (*own, other):
        assert await cache.put(each, NOON)
    assert await cache.of_user(user) == sorted(each.session_id for each in own)
    now = NOON + timedelta(minutes=5)
    assert await cache.revoke_all(user, now) == 20
    assert await cache.of_user(user) == []
    assert await cache.revoke_all(user, now - timedelta(minutes=1)) == 0
    late = session(user, created_at=now)
    for each in (*own, late):
        assert not await cache.put(each, now)
        assert await cache.get(each.session_id, now) is None
    fresh = session(user, created_at=now + timedelta(seconds=1))
    assert await cache.put(fresh, now + timedelta(seconds=1))
    assert await cache.get(fresh.session_id, now + timedelta(seconds=1)) is not None
    assert await cache.get(other.session_id, now) is not None


async def test_no_session_slips_through_a_revocation(cache: RedisSessionCache) -> None:
    """Whatever puts and a revocation of all run at once: afterwards no session that began before is alive."""
    for _ in range(10):
        user = uuid4()
        own = [session(user) for _ in range(10)]
        await asyncio.gather(*(cache.put(each, NOON) for each in own), cache.revoke_all(user, NOON))
        assert [await cache.get(each.session_id, NOON) for each in own] == [None] * 10


async def test_the_index_outlives_every_session_in_it(cache: RedisSessionCache, connection: RedisConnection) -> None:
    """A session kept alive by use can still be found to be revoked; what has ended leaves the index."""
    user = uuid4()
    long, short = session(user), session(user, expires_at=NOON + timedelta(minutes=5))
    await cache.put(long, NOON)
    await cache.put(short, NOON)
    assert timedelta(days=7).total_seconds() - 5 < await left_s(connection, keys.user_sessions(user))
    await cache.put(session(user), NOON + timedelta(minutes=6))
    assert short.session_id not in await cache.of_user(user)
    assert long.session_id in await cache.of_user(user)


@pytest.mark.parametrize(
    "damage",
    [
        {"user_id": "me"},
        {"created_at": "2026-03-14T12:00:00"},
        {"last_activity": ""},
        {"expires_at": "never"},
        {"expires_at_s": "never"},
        {"ip_address": "localhost"},
        {"user_agent": b"\xff"},
        {"location_data": "[]"},
        {"device_fingerprint": "7"},
    ],
)
async def test_a_garbled_session_is_a_miss(
    cache: RedisSessionCache, connection: RedisConnection, damage: dict[str, Any]
) -> None:
    """A field that cannot be read makes a counted miss, and the next put heals it."""
    kept = session()
    await cache.put(kept, NOON)
    await connection.run(lambda redis: redis.hset(keys.session(kept.session_id), mapping=damage))
    assert await cache.get(kept.session_id, NOON) is None
    assert cache.garbled == 1
    await cache.put(kept, NOON)
    assert await cache.get(kept.session_id, NOON) is not None


async def test_half_a_session_is_a_miss(cache: RedisSessionCache, connection: RedisConnection) -> None:
    """Without one of its fields, or as another type, a session is a counted miss, and the next put heals it."""
    kept = session()
    key = keys.session(kept.session_id)
    await cache.put(kept, NOON)
    await connection.run(lambda redis: redis.hdel(key, "user_id"))
    assert await cache.get(kept.session_id, NOON) is None
    await connection.run(lambda redis: redis.set(key, "x"))
    assert await cache.get(kept.session_id, NOON) is None
    assert cache.garbled == 2
    await cache.put(kept, NOON)
    assert await cache.get(kept.session_id, NOON) is not None


async def test_no_id_reaches_another_session(cache: RedisSessionCache, hostile_texts: list[str]) -> None:
    """Ids that try to leave their key find nothing and break nothing."""
    kept = session()
    await cache.put(kept, NOON)
    for text in (*hostile_texts, f"{kept.session_id}}}", f"{{{kept.session_id}"):
        assert await cache.get(text, NOON) is None
        await cache.revoke(text)
    assert await cache.get(kept.session_id, NOON) is not None


@pytest.mark.parametrize("session_id", ["", "\0", "\ud800", "x" * 300])
async def test_ids_that_no_server_should_see_are_refused(cache: RedisSessionCache, session_id: str) -> None:
    """A blank, over-long or broken id is refused by name, and a naive time too."""
    with pytest.raises(InvalidError, match="session_id"):
        await cache.get(session_id, NOON)
    with pytest.raises(InvalidError, match="now"):
        await cache.get("a", datetime(2026, 1, 1))  # noqa: DTZ001  # what is refused
