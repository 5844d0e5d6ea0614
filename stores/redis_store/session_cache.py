"""Sessions in Redis: one hash each with a sliding lifetime, and an index of each user's.

A session and its user's index lie in different slots, so no script sees both. A revocation of all first leaves its
moment in the index's slot, then a mark in the place of every session in the index; a put first enters the index, then
writes the session. However these steps fall, the put meets the moment or the mark, or its session is found.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from stores.domain.checks import check_aware
from stores.domain.user_sessions import UserSession
from stores.errors import ConflictError, InvalidError
from stores.redis_store import keys
from stores.redis_store.scripts import Script

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

TOUCH_EVERY_S = (
    10  # a use this soon after the last one writes nothing: a write waits for the disk of an embedded server
)
FIELDS = (
    "user_id",
    "created_at",
    "last_activity",
    "expires_at",
    "expires_at_s",
    "ip_address",
    "device_fingerprint",
    "user_agent",
    "location_data",
)

# ARGV: now in seconds and as text, lifetime, pause between two writes, names of fields. Also with a full memory it
# reads: the writes that fail then are left out.
_TOUCH = Script("""
local expires = tonumber(redis.call('HGET', KEYS[1], 'expires_at_s'))
if expires then
  local left = math.min(tonumber(ARGV[3]), math.floor(expires - tonumber(ARGV[1])))
  if left <= 0 then
    redis.call('DEL', KEYS[1])
  elseif redis.call('TTL', KEYS[1]) <= left - tonumber(ARGV[4]) then
    redis.pcall('HSET', KEYS[1], 'last_activity', ARGV[2])
    redis.call('EXPIRE', KEYS[1], left)
  end
end
return redis.call('HMGET', KEYS[1], 'revoked', unpack(ARGV, 5))
""")

# KEYS: index, revocation. ARGV: id, now, created_at and expires_at in seconds. The index lives as long as any session
# in it may, or a session whose use keeps it alive could not be found to be revoked.
_ENTER = Script("""
local revoked = tonumber(redis.call('GET', KEYS[2]))
if revoked and tonumber(ARGV[3]) <= revoked then return 0 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
redis.call('EXPIRE', KEYS[1], math.max(1, math.ceil(tonumber(last) - tonumber(ARGV[2]))))
return 1
""")

# ARGV: lifetime in seconds, fields and values.
_WRITE = Script("""
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  redis.call('DEL', KEYS[1])
elseif redis.call('HEXISTS', KEYS[1], 'revoked') == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
""")

_REVOKE = Script("""
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'revoked', 1)
return redis.call('EXPIRE', KEYS[1], ARGV[1])
""")

# KEYS: index, revocation. ARGV: now in seconds, lifetime of the revocation.
_REVOKE_ALL = Script("""
local before = tonumber(redis.call('GET', KEYS[2]))
if not before or before < tonumber(ARGV[1]) then redis.call('SET', KEYS[2], ARGV[1]) end
redis.call('EXPIRE', KEYS[2], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
""")


class RedisSessionCache:
    """See `stores.roles.session_cache.SessionCache`. A look-up is one round trip."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.garbled = 0

    async def get(self, session_id: str, now: datetime) -> UserSession | None:
        """See the role."""
        check_aware(now, "now")
        args = [now.timestamp(), now.isoformat(), keys.SESSION_TTL_S, TOUCH_EVERY_S, *FIELDS]
        key = keys.session(session_id)
        try:
            revoked, *values = await self._connection.run(lambda redis: _TOUCH.call(redis, [key], args))
            if revoked is not None or not any(values):
                return None
            return _session_of(session_id, values, now)
        except (ConflictError, *_UNREADABLE):  # a key of another type, or no session
            self.garbled += 1
            return None

    async def put(self, session: UserSession, now: datetime) -> bool:
        """See the role."""
        check_aware(now, "now")
        left_s = min(keys.SESSION_TTL_S, int(session.expires_at.timestamp() - now.timestamp()))
        if left_s <= 0 or not session.is_active:
            return False
        index = [keys.user_sessions(session.user_id), keys.revoked_sessions(session.user_id)]
        moments = [now.timestamp(), session.created_at.timestamp(), session.expires_at.timestamp()]
        entered = await self._connection.run(lambda redis: _ENTER.call(redis, index, [session.session_id, *moments]))
        if not entered:
            return False
        key = keys.session(session.session_id)
        fields = [part for item in _fields_of(session).items() for part in item]
        return bool(await self._connection.run(lambda redis: _WRITE.call(redis, [key], [left_s, *fields])))

    async def of_user(self, user_id: UUID) -> list[str]:
        """See the role."""
        key = keys.user_sessions(user_id)
        return sorted(member.decode() for member in await self._connection.run(lambda redis: redis.zrange(key, 0, -1)))

    async def revoke(self, session_id: str) -> None:
        """See the role."""
        call = ([keys.session(session_id)], [keys.SESSION_TTL_S])
        await self._connection.run(lambda redis: _REVOKE.call(redis, *call))

    async def revoke_all(self, user_id: UUID, now: datetime) -> int:
        """See the role. Cut short by an error, it is finished by another call: the index is emptied last."""
        check_aware(now, "now")
        index = [keys.user_sessions(user_id), keys.revoked_sessions(user_id)]
        args = [now.timestamp(), keys.SESSION_TTL_S]
        members: list[bytes] = await self._connection.run(lambda redis: _REVOKE_ALL.call(redis, index, args))
        if members:
            calls = [([keys.session(member.decode())], [keys.SESSION_TTL_S]) for member in members]
            await self._connection.run(lambda redis: _REVOKE.call_many(redis, calls))
            await self._connection.run(lambda redis: redis.zrem(index[0], *members))
        return len(members)


_UNREADABLE = (InvalidError, TypeError, ValueError, AttributeError)


def _fields_of(session: UserSession) -> dict[str, Any]:
    """What is None is left empty, so that no field of an earlier writing stays."""
    return {
        "user_id": str(session.user_id),
        "created_at": session.created_at.isoformat(),
        "last_activity": session.last_activity_at.isoformat(),
        "expires_at": session.expires_at.isoformat(),
        "expires_at_s": session.expires_at.timestamp(),
        "ip_address": "" if session.ip_address is None else str(session.ip_address),
        "device_fingerprint": orjson.dumps(session.device_fingerprint),
        "user_agent": orjson.dumps(session.user_agent),
        "location_data": orjson.dumps(session.location_data),
    }


def _session_of(session_id: str, values: list[bytes], now: datetime) -> UserSession:
    """Raises one of _UNREADABLE."""
    fields = {field: value.decode() for field, value in zip(FIELDS, values, strict=True)}
    expires_at = datetime.fromisoformat(fields["expires_at"])
    if float(fields["expires_at_s"]) != expires_at.timestamp():  # by it the script ends a session
        raise ValueError("the two ends of the session differ")
    return UserSession(
        session_id=session_id,
        user_id=UUID(fields["user_id"]),
        created_at=datetime.fromisoformat(fields["created_at"]),
        last_activity_at=max(now, datetime.fromisoformat(fields["last_activity"])),
        expires_at=expires_at,
        ip_address=ip_address(fields["ip_address"]) if fields["ip_address"] else None,
        device_fingerprint=orjson.loads(fields["device_fingerprint"]),
        user_agent=orjson.loads(fields["user_agent"]),
        location_data=orjson.loads(fields["location_data"]),
    )
