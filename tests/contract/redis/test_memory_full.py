"""A server whose memory is full: writes are refused as overload, reads go on, nothing said quotes a value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest

from stores.domain.cached_results import CachedAnswer, CachedCurve
from stores.domain.hot_features import FeatureKind, HotFeatures
from stores.domain.prediction_id import new_prediction_id
from stores.domain.props import DataTier, Side
from stores.domain.rate_limits import Demand, RateLimit, Window
from stores.domain.user_sessions import UserSession
from stores.errors import OverloadedError
from stores.redis_store.connection import open_redis
from stores.redis_store.hot_features import RedisHotFeatures
from stores.redis_store.prediction_history import RedisPredictionHistory
from stores.redis_store.rate_limits import RedisRateLimits
from stores.redis_store.result_cache import RedisResultCache
from stores.redis_store.session_cache import RedisSessionCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from stores.redis_store.connection import RedisConnection

pytestmark = [
    pytest.mark.role("memory full"),
    pytest.mark.parametrize("implementation", ["embedded", "redis-7"], indirect=True, scope="session"),
]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECRET = "quoted-nowhere"  # noqa: S105  # a value that no error may show

ANSWER = CachedAnswer(
    prediction=Side.OVER,
    confidence=57.3,
    base_model_confidence=56.0,
    push_probability=0.0,
    expected_stat=4.2,
    confidence_interval=(1.0, 7.0),
    data_tier=DataTier.GOOD,
    model_version=SECRET,
    feature_version="f1",
    lake_snapshot_id=1,
)
CURVE = CachedCurve(
    prop_values=(2.5,), predictions=(Side.OVER,), confidences=(57.3,), expected_stats=(4.2,), model_version=SECRET
)
FEATURES = HotFeatures(name=SECRET, values=np.ones(64), feature_version="f1", updated_at=NOON)
SESSION = UserSession(
    session_id="ab" * 32,
    user_id=uuid4(),
    created_at=NOON,
    last_activity_at=NOON,
    expires_at=NOON + timedelta(days=1),
    user_agent=SECRET,
)
DEMAND = Demand(SECRET, (RateLimit(Window.DAY, 10),))


@pytest.fixture
async def full(implementation: str, make_server: Callable[..., Any]) -> AsyncIterator[RedisConnection]:
    """A server that holds one of each and takes no more."""
    server = make_server(implementation)
    server.start()
    connection = await open_redis(server.url)
    await RedisResultCache(connection, now=lambda: NOON).put("known", ANSWER, 0.001)
    await RedisHotFeatures(connection).put_many(FeatureKind.PLAYER, [FEATURES])
    await RedisSessionCache(connection).put(SESSION, NOON)
    await connection.run(lambda redis: redis.config_set("maxmemory-policy", "noeviction"))
    await connection.run(lambda redis: redis.config_set("maxmemory", 1))
    yield connection
    await connection.close()
    server.stop()


async def test_every_write_is_refused_as_overload(full: RedisConnection) -> None:
    """Each adapter's write, alone or in a batch, raises OverloadedError without a word of what it held."""
    results, features, sessions = RedisResultCache(full), RedisHotFeatures(full), RedisSessionCache(full)
    history, limits = RedisPredictionHistory(full), RedisRateLimits(full)
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: results.put("q", ANSWER, 0.001),
        lambda: results.put_many({f"q{index}": ANSWER for index in range(10)}, 0.001),
        lambda: results.put("known", ANSWER, 0.001),
        lambda: results.put_curve("q", CURVE, 0.001),
        lambda: features.put_many(FeatureKind.PLAYER, [FEATURES]),
        lambda: features.put_many(FeatureKind.PLAYER, [FEATURES] * 10),
        lambda: sessions.put(SESSION, NOON),
        lambda: history.add(uuid4(), [new_prediction_id(NOON)]),
        lambda: limits.take([DEMAND]),
        lambda: limits.take([DEMAND] * 3),
    ]
    for write in writes:
        with pytest.raises(OverloadedError, match="memory") as raised:
            await write()
        assert SECRET not in str(raised.value)


async def test_reads_go_on(full: RedisConnection) -> None:
    """What is known is still answered, sessions slide, and what is asked without charging is answered."""
    assert await RedisResultCache(full, now=lambda: NOON).get("known") is not None
    assert await RedisHotFeatures(full).read_many(FeatureKind.PLAYER, [SECRET]) != [None]
    later = NOON + timedelta(minutes=20)
    await full.run(lambda redis: redis.expire(f"session:{{{SESSION.session_id}}}", 60))
    assert await RedisSessionCache(full).get(SESSION.session_id, later) is not None
    assert await full.run(lambda redis: redis.ttl(f"session:{{{SESSION.session_id}}}")) > 1790
    assert (await RedisRateLimits(full).take([DEMAND], cost=0))[0].allowed


async def test_a_session_can_still_be_revoked(full: RedisConnection) -> None:
    """A full memory keeps no revoked session alive."""
    sessions = RedisSessionCache(full)
    await sessions.revoke(SESSION.session_id)
    assert await sessions.get(SESSION.session_id, NOON) is None
