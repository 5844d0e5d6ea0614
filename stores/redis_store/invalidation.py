"""Invalidations over Redis pub/sub, whose listener reconnects by itself and says what it may have missed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from stores.backoff import pauses_s
from stores.domain.invalidation import Changed, Invalidation, Missed
from stores.errors import InvalidError, TransientError
from stores.redis_store.keys import INVALIDATION_CHANNEL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from stores.redis_store.connection import RedisConnection

SILENCE_S = 2.0  # after so long without a word the server is asked whether it is there, and given as long to answer
FIRST_PAUSE_S, MOST_PAUSE_S = 0.05, 2.0


class RedisInvalidations:
    """See `stores.roles.invalidation.Invalidations`. On a cluster every node passes on what any node was told."""

    def __init__(self, connection: RedisConnection, silence_s: float = SILENCE_S) -> None:
        self._connection = connection
        self._silence_s = silence_s

    async def publish(self, invalidation: Invalidation) -> None:
        """See the role."""
        text = orjson.dumps({"kind": invalidation.kind.value, "names": invalidation.names})
        await self._connection.run(lambda redis: redis.publish(INVALIDATION_CHANNEL, text))

    async def listen(self) -> AsyncGenerator[Invalidation | Missed, None]:
        """See the role. Ends when the connection is closed."""
        reason = "listening begins"
        pauses = _pauses()
        while not self._connection.closed:
            try:
                async with self._connection.subscription(INVALIDATION_CHANNEL) as subscription:
                    yield Missed(reason)
                    pauses = _pauses()
                    while True:
                        yield _parsed(await self._next(subscription))
            except TransientError as error:
                reason = str(error)
            await asyncio.sleep(next(pauses))

    async def _next(self, subscription: Any) -> bytes:
        """The next message. Asks a silent server whether it is there and raises TransientError when it is not."""
        asked = False
        while True:
            if not subscription.connection.is_connected:  # the driver would subscribe again and not say so
                raise TransientError(f"{self._connection.address}: the connection was closed")
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=self._silence_s)
            if message is not None and message["type"] == "message":
                return bytes(message["data"])
            if message is None and asked:
                raise TransientError(f"{self._connection.address}: silent for {2 * self._silence_s:g} s")
            asked = message is None
            if asked:
                await subscription.ping()


def _pauses() -> Iterator[float]:
    return pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, float("inf"))


def _parsed(data: bytes) -> Invalidation | Missed:
    try:
        content = orjson.loads(data)
        return Invalidation(Changed(content["kind"]), tuple(content["names"]))
    except (InvalidError, KeyError, TypeError, ValueError):  # of another version of this program
        return Missed("a message that cannot be read")
