"""Each user's newest predictions in Redis: a sorted set by their moment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from stores.domain.prediction_id import created_at
from stores.errors import ConflictError, InvalidError
from stores.redis_store import keys
from stores.redis_store.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.redis_store.connection import RedisConnection

MOST = 1000
MOST_AT_ONCE = 3000  # two arguments each; Lua unpacks some 8000
WHOLE = "whole"  # below every id: nothing is missing between the newest id and this

# ARGV: most, lifetime in seconds, scores and members. The lifetime is not renewed, so that a gap ends with it.
_ADD = Script("""
redis.call('ZADD', KEYS[1], 'NX', unpack(ARGV, 3))
local whole = redis.call('ZSCORE', KEYS[1], 'whole') and 1 or 0
local beyond = redis.call('ZCARD', KEYS[1]) - whole - tonumber(ARGV[1])
if beyond > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], whole, whole + beyond - 1) end
if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 1
""")


class RedisPredictionHistory:
    """See `stores.roles.prediction_history.PredictionHistory`."""

    def __init__(self, connection: RedisConnection, most: int = MOST) -> None:
        self._connection = connection
        self.most = most

    async def add(self, user_id: UUID, prediction_ids: Sequence[UUID]) -> None:
        """See the role."""
        if prediction_ids:
            await self._add(user_id, [*map(_moment_ms, prediction_ids)], [*map(str, prediction_ids)])

    async def newest(self, user_id: UUID, limit: int) -> list[UUID] | None:
        """See the role."""
        if not 1 <= limit <= self.most:
            raise InvalidError(f"limit is {limit}; give 1 to {self.most}", "limit")
        key = keys.user_predictions(user_id)
        try:
            members = await self._connection.run(lambda redis: redis.zrevrange(key, 0, limit))
            ids = [UUID(member.decode()) for member in members if member != WHOLE.encode()][:limit]
        except (ConflictError, ValueError):  # a key of another type, or a member that is no id
            await self.forget(user_id)
            return None
        return None if len(ids) < limit and len(ids) == len(members) else ids

    async def fill(self, user_id: UUID, prediction_ids: Sequence[UUID]) -> None:
        """See the role."""
        newest = sorted(prediction_ids, reverse=True)[: self.most]
        await self._add(user_id, ["-inf", *map(_moment_ms, newest)], [WHOLE, *map(str, newest)])

    async def forget(self, user_id: UUID) -> None:
        """See the role."""
        key = keys.user_predictions(user_id)
        await self._connection.run(lambda redis: redis.unlink(key))

    async def _add(self, user_id: UUID, scores: list[int | str], members: list[str]) -> None:
        if len(members) > MOST_AT_ONCE:
            raise InvalidError(f"{len(members)} predictions at once; at most {MOST_AT_ONCE}", "prediction_ids")
        key = keys.user_predictions(user_id)
        pairs = [part for pair in zip(scores, members, strict=True) for part in pair]
        await self._connection.run(lambda redis: _ADD.call(redis, [key], [self.most, keys.HISTORY_TTL_S, *pairs]))


def _moment_ms(prediction_id: UUID) -> int:
    return int(created_at(prediction_id).timestamp() * 1000 + 0.5)
