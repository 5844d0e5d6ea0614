"""Consistent hashing: which shard owns a key. Adding a shard moves only the keys that it takes over."""

from __future__ import annotations

import bisect
import hashlib
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS_PER_SHARD = 128  # keeps the largest of eight shards within about a fifth of the mean


class HashRing:
    """Maps every key to one of the shards, the same in every process and on every machine."""

    def __init__(self, shards: Sequence[str]) -> None:
        if not shards or len(set(shards)) != len(shards):
            raise InvalidError(f"a ring needs one or more shards with different names, not {list(shards)}", "shards")
        points = sorted((_hash(f"{shard}#{point}"), shard) for shard in shards for point in range(POINTS_PER_SHARD))
        self._hashes = [at for at, _ in points]
        self._owners = [shard for _, shard in points]

    def owner(self, key: str) -> str:
        """The shard that owns the key: the first at or after its place on the ring."""
        place = bisect.bisect_left(self._hashes, _hash(key))
        return self._owners[place % len(self._owners)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
