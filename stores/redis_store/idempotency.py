"""Responses by idempotency keys in Redis: one hash each, of a bounded size and lifetime."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import orjson

from stores.domain.idempotency import KEPT_S, KeptResponse, Taken
from stores.errors import InvalidError, TransientError
from stores.redis_store import keys
from stores.redis_store.scripts import Script

if TYPE_CHECKING:
    from stores.domain.idempotency import Claim
    from stores.redis_store.connection import RedisConnection

MAX_BYTES = 1 << 20  # compressed: some ten thousand answers

# ARGV: fingerprint, token, milliseconds of the lock.
_CLAIM = Script("""
local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'response')
if not held[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'ours'}
end
if held[1] ~= ARGV[1] then return {'other request'} end
if held[3] then return {'kept', held[3]} end
if held[2] == ARGV[2] then return {'ours'} end
return {'in flight'}
""")
# ARGV: fingerprint, token, response, lifetime in seconds. A lock that ended without a successor is as good as ours.
_KEEP = Script("""
local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2], 'response', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
""")
_RELEASE = Script("""
local held = redis.call('HMGET', KEYS[1], 'token', 'response')
if held[1] == ARGV[1] and not held[2] then redis.call('DEL', KEYS[1]) end
return 1
""")


class RedisIdempotency:
    """See `stores.roles.idempotency.Idempotency`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def claim(self, claim: Claim, lock_s: float) -> KeptResponse | Taken | None:
        """See the role."""
        said, *kept = await self._call(_CLAIM, claim, [claim.fingerprint, claim.token, int(lock_s * 1000)])
        match said:
            case b"ours":
                return None
            case b"kept":
                return _unpacked(kept[0])
        return Taken(said.decode())

    async def keep(self, claim: Claim, response: KeptResponse) -> bool:
        """See the role."""
        packed = _packed(response)
        if len(packed) > MAX_BYTES:
            raise InvalidError(f"a response of {len(packed)} bytes is not kept; at most {MAX_BYTES}", "response")
        return bool(await self._call(_KEEP, claim, [claim.fingerprint, claim.token, packed, KEPT_S]))

    async def release(self, claim: Claim) -> None:
        """See the role."""
        await self._call(_RELEASE, claim, [claim.token])

    async def _call(self, script: Script, claim: Claim, arguments: list[str | bytes | int]) -> Any:
        key = keys.idempotency(claim.key)
        return await self._connection.run(lambda redis: script.call(redis, [key], arguments))


def _packed(response: KeptResponse) -> bytes:
    head = orjson.dumps([response.status, response.content_type])
    return zlib.compress(head + b"\n" + response.body, level=1)


def _unpacked(packed: bytes) -> KeptResponse:
    try:
        head, _, body = zlib.decompress(packed).partition(b"\n")
        status, content_type = orjson.loads(head)
        return KeptResponse(int(status), str(content_type), body)
    except (zlib.error, ValueError, TypeError) as error:  # something else writes here: the key is of no use
        raise TransientError("a kept response cannot be read") from error
