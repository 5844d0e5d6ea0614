"""The event log's steps that must be one: in Lua, on the server, with the server's clock."""

from __future__ import annotations

from stores.redis_store.scripts import Script

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

APPEND_TEXT = (
    _NOW
    + """
local trimmed = 0
while trimmed < 1000 do  -- a call stays short; the next one goes on
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', trimmed == 0 and 1 or 100)
  local keep = nil
  for _, entry in ipairs(oldest) do
    if tonumber(entry[2][2]) >= now - ARGV[2] then keep = entry[1] break end
    trimmed = trimmed + 1
  end
  if #oldest == 0 or keep == oldest[1][1] then break end
  redis.call('XTRIM', KEYS[1], 'MINID', keep or string.format('%.0f-0', string.match(oldest[#oldest][1], '%d+') + 1))
  if keep then break end
end
local sent, newest = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[3]) or 0)
if #ARGV == 3 or sent < newest then return 0 end
if sent > newest then
  local next = tonumber(redis.call('GET', KEYS[2]) or 0)
  for i = 4, #ARGV, 3 do
    next = next + 1
    redis.call(
      'XADD', KEYS[1], string.format('%.0f-0', next), 't', now, 'k', ARGV[i], 'h', ARGV[i + 1], 'v', ARGV[i + 2]
    )
  end
  redis.call('SET', KEYS[2], string.format('%.0f', next))
end
redis.call('SET', KEYS[3], sent, 'PX', ARGV[3])  -- a repeat writes too: WAIT is for own writes
return 1
"""
)
APPEND = Script(APPEND_TEXT)
"""Append a producer's batch unless it, or a later one, is there. The record of offset n has the id ``<n+1>-0``.

KEYS: stream, next, producer. ARGV: the batch's number, retention and the producer's lifetime in ms, then key, headers
and value of each record. Removes what is too old; without a record that is all it does.
"""

CLAIM = Script(
    _NOW
    + """
local owner = redis.call('HGET', KEYS[3], 'owner')
if owner and owner ~= ARGV[1] and now < tonumber(redis.call('HGET', KEYS[3], 'until')) then return false end
redis.call('HSET', KEYS[3], 'owner', ARGV[1], 'until', now + ARGV[2])
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local first = oldest[1] and string.match(oldest[1][1], '%d+') - 1 or tonumber(redis.call('GET', KEYS[2]) or 0)
return {owner == ARGV[1] and 1 or 0, math.max(first, tonumber(redis.call('HGET', KEYS[3], 'offset') or 0))}
"""
)
"""Take or keep a partition for a while: whether it was held already and where to go on; nil when another has it.

KEYS: stream, next, group. ARGV: the member, the session in ms.
"""

RELEASE = Script("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'owner', 'until')
""")
"""Give a partition back. KEYS: group. ARGV: the member."""

COMMIT = Script("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'offset', ARGV[2])
return 1
""")
"""Remember an offset if the member still has the partition. KEYS: group. ARGV: the member, the offset."""

BOUNDS = Script("""
local next = tonumber(redis.call('GET', KEYS[2]) or 0)
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
return {oldest[1] and string.match(oldest[1][1], '%d+') - 1 or next, next}
""")
"""The offsets of a partition's oldest and next record. KEYS: stream, next."""

HEARTBEAT = Script(
    _NOW
    + """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
"""Stay a member, and learn who is. KEYS: members. ARGV: the member, the session in ms."""
