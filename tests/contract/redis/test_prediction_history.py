"""A user's newest predictions: in order, capped, and never shorter than the truth without saying so."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from stores.domain.prediction_id import new_prediction_id
from stores.errors import InvalidError
from stores.redis_store import keys
from stores.redis_store.prediction_history import RedisPredictionHistory
from tests.contract.redis.lifetimes import expire, left_s

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("prediction history")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def ids(count: int, first: int = 0) -> list[UUID]:
    """Predictions a second apart, oldest first."""
    return [new_prediction_id(NOON + timedelta(seconds=index)) for index in range(first, first + count)]


@pytest.fixture
def history(connection: RedisConnection) -> RedisPredictionHistory:
    """The adapter over an empty server, capped at 20."""
    return RedisPredictionHistory(connection, most=20)


@pytest.fixture
def user() -> UUID:
    """A user of this test."""
    return uuid4()


async def test_the_newest_come_first(history: RedisPredictionHistory, user: UUID) -> None:
    """Added in any order, one by one or together, twice or once, they come back newest first."""
    made = ids(10)
    shuffled = random.Random(1).sample(made, len(made))  # noqa: S311  # an order, no secret
    await history.add(user, shuffled[:4])
    await asyncio.gather(*(history.add(user, [prediction_id]) for prediction_id in shuffled[3:]))
    await history.add(user, [])
    assert await history.newest(user, 10) == made[::-1]
    assert await history.newest(user, 3) == made[:-4:-1]


async def test_it_says_when_it_may_lack_some(history: RedisPredictionHistory, user: UUID) -> None:
    """None for a user it does not know and for more than it saw added; all once it was filled, though they be few."""
    assert await history.newest(user, 5) is None
    made = ids(6)
    await history.add(user, made[3:])
    assert await history.newest(user, 3) == made[:2:-1]
    assert await history.newest(user, 4) is None
    await history.fill(user, made[:5])  # read before the last was added
    assert await history.newest(user, 20) == made[::-1]
    assert await history.newest(user, 6) == made[::-1]


async def test_a_user_without_any_is_known_to_have_none(history: RedisPredictionHistory, user: UUID) -> None:
    """Filled with nothing, the answer is an empty list and no longer "ask the truth"."""
    await history.fill(user, [])
    assert await history.newest(user, 5) == []


@pytest.mark.parametrize("filled", [True, False])
async def test_it_is_capped(
    history: RedisPredictionHistory, connection: RedisConnection, user: UUID, filled: bool
) -> None:
    """Beyond the cap the oldest leave, and those that stay are all there."""
    made = ids(50)
    if filled:
        await history.fill(user, made[:30])
    await history.add(user, made[30:])
    assert await history.newest(user, 20) == made[:29:-1]
    held = await connection.run(lambda redis: redis.zcard(keys.user_predictions(user)))
    assert held == 20 + filled


async def test_users_are_apart_and_can_be_forgotten(history: RedisPredictionHistory, user: UUID) -> None:
    """Each user has their own; forgetting one leaves the others."""
    other, made = uuid4(), ids(2)
    await history.fill(user, made[:1])
    await history.fill(other, made[1:])
    await history.forget(user)
    await history.forget(user)
    assert await history.newest(user, 5) is None
    assert await history.newest(other, 5) == made[1:]


async def test_a_gap_ends_with_the_day(
    history: RedisPredictionHistory, connection: RedisConnection, user: UUID
) -> None:
    """The 24 hours begin with the first entry; later ones do not renew them, so nothing missing is missing for ever."""
    key = keys.user_predictions(user)
    await history.add(user, ids(1))
    assert 86390 < await left_s(connection, key) <= 86400
    await expire(connection, key, 100)
    await history.add(user, ids(1, first=5))
    await history.fill(user, ids(1, first=7))
    assert await left_s(connection, key) <= 100


async def test_a_key_of_another_type_is_unknown(
    history: RedisPredictionHistory, connection: RedisConnection, user: UUID
) -> None:
    """A text in its place is "ask the truth", and out of the way afterwards."""
    await connection.run(lambda redis: redis.set(keys.user_predictions(user), "x"))
    assert await history.newest(user, 5) is None
    await history.fill(user, [])
    assert await history.newest(user, 5) == []


async def test_foreign_members_are_unknown(
    history: RedisPredictionHistory, connection: RedisConnection, user: UUID
) -> None:
    """A member that is no id makes the history unknown, not an error."""
    await history.fill(user, ids(2))
    await connection.run(lambda redis: redis.zadd(keys.user_predictions(user), {b"\xff": 9e15}))
    assert await history.newest(user, 2) is None
    await history.fill(user, ids(2))
    assert await history.newest(user, 2) is not None


@pytest.mark.parametrize("limit", [0, -1, 21])
async def test_limits_beyond_the_cap_are_refused(history: RedisPredictionHistory, user: UUID, limit: int) -> None:
    """A page that could not be whole is refused by name; so is an id that carries no moment."""
    with pytest.raises(InvalidError, match="limit"):
        await history.newest(user, limit)
    with pytest.raises(InvalidError, match="prediction id"):
        await history.add(user, [uuid4()])
