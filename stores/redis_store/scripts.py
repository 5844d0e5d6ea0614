"""Lua scripts: sent by their hash, and by their text to a node that does not know them yet."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Script:
    """A script whose keys share one hash tag. A node may forget scripts at any time (restart, fail-over, flush)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324  # the name that Redis gives it

    async def call(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it once."""
        try:
            return await redis.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:  # nothing was done
            return await redis.eval(self._text, len(keys), *keys, *args)

    async def call_many(self, redis: Any, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Run it for each ``(keys, args)``, in one round trip for each node. Raises the first call's error."""
        if len(calls) == 1:
            return [await self.call(redis, *calls[0])]
        pipeline = redis.pipeline(transaction=False)
        for keys, args in calls:
            # not pipeline.evalsha: a cluster's pipeline blocks it, though it can route it
            pipeline.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        results = await pipeline.execute(raise_on_error=False)
        for index, (keys, args) in enumerate(calls):
            if isinstance(results[index], NoScriptError):
                results[index] = await redis.eval(self._text, len(keys), *keys, *args)
            elif isinstance(results[index], Exception):
                raise results[index]
        return list(results)


# The write comes first: a script that has removed something may go beyond the server's memory.
REPLACE_HASH = Script("""
local kept = redis.pcall('HSET', KEYS[1], unpack(ARGV, 2))
if type(kept) == 'table' and kept.err then
  if not string.find(kept.err, 'WRONGTYPE', 1, true) then return kept end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
local fields = {}
for i = 2, #ARGV, 2 do fields[ARGV[i]] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not fields[field] then redis.call('HDEL', KEYS[1], field) end
end
return redis.call('EXPIRE', KEYS[1], ARGV[1])
""")
"""KEYS: one hash; ARGV: its lifetime in seconds, then fields and values. What else the key held is gone."""
