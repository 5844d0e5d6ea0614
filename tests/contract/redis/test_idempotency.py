"""Responses by idempotency keys: one of many answers, the others see its answer, and nothing holds a key for ever."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stores.domain.idempotency import KEPT_S, Claim, KeptResponse, Taken
from stores.errors import InvalidError, TransientError
from stores.redis_store import keys
from stores.redis_store.connection import open_redis
from stores.redis_store.idempotency import MAX_BYTES, RedisIdempotency
from tests.contract.redis.lifetimes import expire, left_s

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("idempotency")

RESPONSE = KeptResponse(200, "application/json", b'{"a": "\xed\x8e\x98", "n": "1\\n2"}\n\n')


def a_claim(key: str = "k", fingerprint: str = "f") -> Claim:
    """A claim of its own."""
    return Claim(key, fingerprint, uuid4().hex)


@pytest.fixture
def store(connection: RedisConnection) -> RedisIdempotency:
    """The adapter over an empty server."""
    return RedisIdempotency(connection)


async def test_the_first_answers_and_the_others_see_it(store: RedisIdempotency, connection: RedisConnection) -> None:
    """Until the answer is kept the key is in flight, then it gives the answer to the bit, for a day."""
    mine = a_claim()
    assert await store.claim(mine, 30) is None
    assert await store.claim(a_claim(), 30) is Taken.IN_FLIGHT
    assert 0 < await left_s(connection, keys.idempotency("k")) <= 30
    assert await store.keep(mine, RESPONSE)
    assert await store.claim(a_claim(), 30) == RESPONSE
    assert KEPT_S - 60 < await left_s(connection, keys.idempotency("k")) <= KEPT_S


async def test_another_request_is_refused(store: RedisIdempotency) -> None:
    """While the first is in flight and after it was answered."""
    mine = a_claim()
    await store.claim(mine, 30)
    assert await store.claim(a_claim(fingerprint="other"), 30) is Taken.OTHER_REQUEST
    await store.keep(mine, RESPONSE)
    assert await store.claim(a_claim(fingerprint="other"), 30) is Taken.OTHER_REQUEST
    assert await store.claim(a_claim("another key", "other"), 30) is None


async def test_one_of_many_is_the_first(store: RedisIdempotency) -> None:
    """However many claim at once."""
    found = await asyncio.gather(*(store.claim(a_claim(), 30) for _ in range(50)))
    assert sorted(map(str, found)) == ["None"] + ["in flight"] * 49


async def test_every_call_may_be_repeated(store: RedisIdempotency) -> None:
    """A claim is told again that it is ours, a kept answer is kept, a release is done."""
    mine = a_claim()
    assert [await store.claim(mine, 30) for _ in range(2)] == [None, None]
    assert [await store.keep(mine, RESPONSE) for _ in range(2)] == [True, True]
    await store.release(mine)
    assert await store.claim(a_claim(), 30) == RESPONSE


async def test_a_released_key_is_free(store: RedisIdempotency) -> None:
    """And only its holder releases it."""
    mine = a_claim()
    await store.claim(mine, 30)
    await store.release(a_claim())
    assert await store.claim(a_claim(), 30) is Taken.IN_FLIGHT
    await store.release(mine)
    assert await store.claim(a_claim(fingerprint="other"), 30) is None


async def test_a_claim_that_ended_gives_way(store: RedisIdempotency, connection: RedisConnection) -> None:
    """A crash does not hold a key; who comes back late neither overwrites nor releases what is another's by now."""
    late, mine = a_claim(), a_claim()
    await store.claim(late, 30)
    await expire(connection, keys.idempotency("k"), 0)
    assert await store.claim(mine, 30) is None
    assert not await store.keep(late, KeptResponse(500, "text/plain", b"late"))
    await store.release(late)
    assert await store.keep(mine, RESPONSE)
    assert await store.claim(a_claim(), 30) == RESPONSE


async def test_a_late_answer_without_a_successor_is_kept(store: RedisIdempotency, connection: RedisConnection) -> None:
    """The lock ended, but nobody else answered."""
    late = a_claim()
    await store.claim(late, 30)
    await expire(connection, keys.idempotency("k"), 0)
    assert await store.keep(late, RESPONSE)
    assert await store.claim(a_claim(), 30) == RESPONSE


async def test_a_response_is_bounded(store: RedisIdempotency) -> None:
    """By its compressed size: what repeats itself may be large, noise may not."""
    mine = a_claim()
    await store.claim(mine, 30)
    with pytest.raises(InvalidError):
        await store.keep(mine, KeptResponse(200, "text/plain", os.urandom(MAX_BYTES)))
    large = KeptResponse(200, "text/plain", b"the same " * 500_000)
    assert await store.keep(mine, large)
    assert await store.claim(a_claim(), 30) == large


async def test_keys_are_told_apart(store: RedisIdempotency, hostile_texts: list[str]) -> None:
    """Whatever they hold."""
    for text in hostile_texts:
        assert await store.claim(a_claim(text, text), 30) is None


async def test_what_something_else_wrote_is_no_answer(store: RedisIdempotency, connection: RedisConnection) -> None:
    """An unreadable value is an outage, not an answer."""
    await connection.run(
        lambda redis: redis.hset(keys.idempotency("k"), mapping={"fingerprint": "f", "token": "t", "response": b"?"})
    )
    with pytest.raises(TransientError):
        await store.claim(a_claim(), 30)


async def test_a_server_that_is_away(server: Any, store: RedisIdempotency) -> None:
    """A closed connection is an outage."""
    connection = await open_redis(server.url)
    await connection.close()
    with pytest.raises(TransientError):
        await RedisIdempotency(connection).claim(a_claim(), 30)
    assert await store.claim(a_claim(), 30) is None
