"""Token buckets in Redis: one atomic script per subject, exact in whole numbers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from stores.domain.rate_limits import Bucket, Demand, Verdict
from stores.errors import InvalidError, RiftlineError
from stores.redis_store import keys
from stores.redis_store.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.redis_store.connection import RedisConnection

# A token is as many units as its window has milliseconds. A bucket of n tokens per window then fills by n units in
# each millisecond: no division, no rounding, and every number stays below 2^53, where Lua's numbers are exact.
BUCKETS = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local least, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local granted, levels, reply = most, {}, {}
for i, key in ipairs(KEYS) do
  local tokens, window = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local full = tokens * window
  local kept = redis.call('HMGET', key, 'level', 'at_ms')
  local level, at = tonumber(kept[1]), tonumber(kept[2])
  if level and at then
    -- a clock that went back, as after a fail-over, fills nothing
    local elapsed = math.min(math.max(now - at, 0), window)
    levels[i] = math.min(level + elapsed * tokens, full)
  else
    levels[i] = full
  end
  granted = math.min(granted, math.floor(levels[i] / window))
end
local allowed = granted >= least
if not allowed then granted = 0 end
local wait = 0
for i, key in ipairs(KEYS) do
  local tokens, window = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local full = tokens * window
  if granted ~= 0 then
    levels[i] = math.min(levels[i] - granted * window, full)
    redis.call('HSET', key, 'level', string.format('%.0f', levels[i]), 'at_ms', string.format('%.0f', now))
    redis.call('PEXPIRE', key, window)
  end
  if not allowed then wait = math.max(wait, math.ceil((least * window - levels[i]) / tokens)) end
  reply[2 * i - 1] = math.floor(levels[i] / window)
  reply[2 * i] = math.ceil((full - levels[i]) / tokens)
end
return {allowed and 1 or 0, granted, wait, now, unpack(reply)}
""")


class RedisRateLimits:
    """See `stores.roles.rate_limits.RateLimits`. One round trip for each node that holds a subject."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def take(self, demands: Sequence[Demand], cost: int = 1) -> list[Verdict]:
        """See the role."""
        for demand in demands:
            demand.check_cost(cost)
        calls = [_call(demand, cost, cost) for demand in demands]
        replies = await self._connection.run(lambda redis: BUCKETS.call_many(redis, calls)) if calls else []
        verdicts = [_verdict(demand, reply) for demand, reply in zip(demands, replies, strict=True)]
        if cost and not all(verdict.allowed for verdict in verdicts):
            refunds = [
                _call(demand, -cost, -cost)
                for demand, verdict in zip(demands, verdicts, strict=True)
                if verdict.allowed
            ]
            if refunds:
                with suppress(RiftlineError):  # the verdict stands; what could not be given back fills up again
                    await self._connection.run(lambda redis: BUCKETS.call_many(redis, refunds), repeatable=False)
        return verdicts

    async def lease(self, demand: Demand, most: int) -> Verdict:
        """See the role."""
        (verdict,) = await self.lease_many([(demand, most)])
        return verdict

    async def lease_many(self, asked: Sequence[tuple[Demand, int]]) -> list[Verdict]:
        """See the role."""
        for _, most in asked:
            if most < 1:
                raise InvalidError(f"a lease of {most} tokens is none; give 1 or more", "most")
        calls = [_call(demand, 1, most) for demand, most in asked]
        replies = await self._connection.run(lambda redis: BUCKETS.call_many(redis, calls)) if calls else []
        return [_verdict(demand, reply) for (demand, _), reply in zip(asked, replies, strict=True)]

    async def give_back(self, demand: Demand, tokens: int) -> None:
        """See the role."""
        if tokens < 0:
            raise InvalidError(f"{tokens} tokens cannot be given back; give 0 or more", "tokens")
        call = _call(demand, -tokens, -tokens)
        await self._connection.run(lambda redis: BUCKETS.call(redis, *call), repeatable=False)


def _call(demand: Demand, least: int, most: int) -> tuple[list[str], list[int]]:
    arguments = [least, most]
    for limit in demand.limits:
        arguments += [limit.tokens, limit.window.seconds * 1000]
    return [_key(demand, limit.window) for limit in demand.limits], arguments


def _key(demand: Demand, window: str) -> str:
    match demand.subject:
        case UUID():
            return keys.user_rate(demand.subject, window)
        case str():
            return keys.api_key_rate(demand.subject, window)
    return keys.address_rate(demand.subject, window)


def _verdict(demand: Demand, reply: list[int]) -> Verdict:
    allowed, granted, wait_ms, _, *numbers = reply
    buckets = tuple(
        Bucket(limit.window, limit.tokens, numbers[2 * index], numbers[2 * index + 1] / 1000)
        for index, limit in enumerate(demand.limits)
    )
    return Verdict(granted, bool(allowed), wait_ms / 1000, buckets)
