"""How long a key has to live, asked and changed beside the adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection


async def left_s(connection: RedisConnection, key: str) -> int:
    """The seconds that a key has to live; -2 when there is none."""
    return int(await connection.run(lambda redis: redis.ttl(key)))


async def expire(connection: RedisConnection, key: str, seconds: int) -> None:
    """Let a key live for so long from now on."""
    await connection.run(lambda redis: redis.expire(key, seconds))
