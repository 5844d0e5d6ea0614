"""Invalidations: heard by all who listen, in order, and never missed in silence."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.invalidation import Changed, Invalidation, Missed
from stores.errors import InvalidError
from stores.redis_store.connection import open_redis
from stores.redis_store.invalidation import RedisInvalidations
from stores.redis_store.keys import INVALIDATION_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("invalidation")

FAKER = Invalidation(Changed.PLAYER, ("Faker", "페이커 {}\r\n*"))


@pytest.fixture
def invalidations(connection: RedisConnection) -> RedisInvalidations:
    """The adapter, which takes a silence of 0.2 s for a reason to ask."""
    return RedisInvalidations(connection, silence_s=0.2)


async def test_what_is_said_is_heard_in_order(invalidations: RedisInvalidations) -> None:
    """First "drop everything", then each invalidation once and in order, by every listener."""
    async with aclosing(invalidations.listen()) as one, aclosing(invalidations.listen()) as two:
        for listener in (one, two):
            assert isinstance(await anext(listener), Missed)
        said = [FAKER, *(Invalidation(Changed.MODEL, (f"v{index}",)) for index in range(100))]
        for invalidation in said:
            await invalidations.publish(invalidation)
        for listener in (one, two):
            assert [await anext(listener) for _ in said] == said


async def test_silence_is_no_interruption(invalidations: RedisInvalidations) -> None:
    """A listener that hears nothing for several times the silence goes on without a word about it."""
    async with aclosing(invalidations.listen()) as listener:
        await anext(listener)
        heard = asyncio.ensure_future(anext(listener))
        done, _ = await asyncio.wait([heard], timeout=1.0)
        assert not done
        await invalidations.publish(FAKER)
        assert await heard == FAKER


@pytest.mark.parametrize(
    "text", ["", "x", "{}", "[]", '{"kind": "dragon", "names": ["x"]}', '{"kind": "team", "names": []}']
)
async def test_what_cannot_be_understood_means_everything(
    invalidations: RedisInvalidations, connection: RedisConnection, text: str
) -> None:
    """A message of another version of this program is "drop everything", and the next one is heard."""
    async with aclosing(invalidations.listen()) as listener:
        await anext(listener)
        await connection.run(lambda redis: redis.publish(INVALIDATION_CHANNEL, text))
        await invalidations.publish(FAKER)
        assert isinstance(await anext(listener), Missed)
        assert await anext(listener) == FAKER


async def test_a_listener_ends_with_its_connection(server: Any) -> None:
    """Closing the connection ends the iteration instead of trying for ever."""
    connection = await open_redis(server.url)
    listener = RedisInvalidations(connection).listen()
    assert isinstance(await anext(listener), Missed)
    await connection.close()
    assert [heard async for heard in listener] == []


async def test_an_interruption_is_told(implementation: str, make_server: Callable[..., Any]) -> None:
    """Killed and started again, or paused: a listener comes back by itself, and first hears "drop everything"."""
    server = make_server(implementation)
    server.start()
    connection = await open_redis(server.url)
    invalidations = RedisInvalidations(connection, silence_s=0.2)
    async with aclosing(invalidations.listen()) as listener:
        await anext(listener)
        server.kill()
        heard = asyncio.ensure_future(anext(listener))
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(30):
            assert isinstance(await heard, Missed)
            await invalidations.publish(FAKER)
            assert await anext(listener) == FAKER
        server.pause()
        heard = asyncio.ensure_future(anext(listener))
        await asyncio.wait([heard], timeout=0.6)  # silence, then no answer; back to life only after that
        server.resume()
        async with asyncio.timeout(30):
            assert isinstance(await heard, Missed)
            await invalidations.publish(FAKER)
            assert await anext(listener) == FAKER
    await connection.close()
    server.stop()


@pytest.mark.parametrize("names", [(), ("",), ("\0",), ("\ud800",), ("x" * 300,), ("x",) * 1001])
def test_wrong_invalidations_are_refused(names: tuple[str, ...]) -> None:
    """No names, broken names or too many of them are refused by name."""
    with pytest.raises(InvalidError, match="names"):
        Invalidation(Changed.TEAM, names)
