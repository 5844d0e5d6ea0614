"""Feature vectors in Redis: a hash with a readable summary and one packed field, which alone is read.

A field per feature costs redis-py a parse and a float() each: about 40 us for 64 of them. Packed, a vector is one
value that numpy maps without copying. What a shard published is one value of bytes.
"""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from redis.exceptions import ResponseError

from stores.domain.hot_features import FeatureKind, HotFeatures
from stores.errors import ConflictError, InvalidError
from stores.redis_store import keys
from stores.redis_store.connection import readable
from stores.redis_store.scripts import REPLACE_HASH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.redis_store.connection import RedisConnection

PACKED = "packed"
FOREIGN = b""  # what a key of another type is read as: garbled
LAYOUT = 1
# layout, bytes of the feature version, count of the values, microseconds since 1970; then the version, then the values
_HEAD = struct.Struct("<BBHq")
_CHECKSUM = struct.Struct("<I")  # of all before it, at the end; of a shard's copy, at its head
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS = {
    FeatureKind.PLAYER: (keys.player_features, keys.FEATURES_TTL_S),
    FeatureKind.TEAM: (keys.team_features, keys.FEATURES_TTL_S),
    FeatureKind.TOURNAMENT: (keys.tournament, keys.TOURNAMENT_TTL_S),
}


class RedisHotFeatures:
    """See `stores.roles.hot_features.HotFeatureCache`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.garbled = 0

    async def read_many(self, kind: FeatureKind, names: Sequence[str]) -> list[HotFeatures | None]:
        """See the role."""
        key_of, _ = _KEYS[kind]
        wanted = [key_of(name) for name in names]

        async def read(redis: Any) -> list[Any]:
            if len(wanted) == 1:
                try:
                    return [await redis.hget(wanted[0], PACKED)]
                except ResponseError as error:
                    return readable([error], FOREIGN)
            pipeline = redis.pipeline(transaction=False)
            for key in wanted:
                pipeline.hget(key, PACKED)
            return readable(await pipeline.execute(raise_on_error=False), FOREIGN)

        rows = await self._connection.run(read) if wanted else []
        return [self._unpacked(name, row) for name, row in zip(names, rows, strict=True)]

    async def put_many(self, kind: FeatureKind, features: Sequence[HotFeatures]) -> None:
        """See the role."""
        key_of, ttl_s = _KEYS[kind]
        calls = [([key_of(entry.name)], [ttl_s, *_fields_of(entry)]) for entry in features]
        if calls:
            await self._connection.run(lambda redis: REPLACE_HASH.call_many(redis, calls))

    async def drop(self, kind: FeatureKind, names: Sequence[str]) -> None:
        """See the role."""
        key_of, _ = _KEYS[kind]
        unwanted = [key_of(name) for name in names]
        await self._connection.unlink(unwanted)

    async def put_copy(self, shard: str, copy: bytes) -> None:
        """See the role."""
        key, kept = keys.feature_shard(shard), _CHECKSUM.pack(zlib.crc32(copy)) + copy
        await self._connection.run(lambda redis: redis.set(key, kept, ex=keys.TOURNAMENT_TTL_S))

    async def copy_of(self, shard: str) -> bytes | None:
        """See the role."""
        key = keys.feature_shard(shard)
        try:
            kept: bytes | None = await self._connection.run(lambda redis: redis.get(key))
        except ConflictError:  # a key of another type
            kept = FOREIGN
        if kept is None:
            return None
        copy = kept[_CHECKSUM.size :]
        if kept[: _CHECKSUM.size] != _CHECKSUM.pack(zlib.crc32(copy)):
            self.garbled += 1
            return None
        return copy

    def _unpacked(self, name: str, packed: bytes | None) -> HotFeatures | None:
        if packed is None:
            return None
        try:
            return _features_of(name, packed)
        except _UNREADABLE:
            self.garbled += 1
            return None


_UNREADABLE = (InvalidError, ValueError, OverflowError, struct.error)


def _fields_of(features: HotFeatures) -> list[Any]:
    version = features.feature_version.encode()
    moment_us = (features.updated_at - _EPOCH) // timedelta(microseconds=1)
    body = _HEAD.pack(LAYOUT, len(version), len(features.values), moment_us) + version
    body += np.ascontiguousarray(features.values, "<f8").tobytes()
    fields: list[Any] = [
        PACKED,
        body + _CHECKSUM.pack(zlib.crc32(body)),
        "last_updated",
        features.updated_at.isoformat(),
    ]
    for key, value in features.summary.items():
        fields += [f"summary.{key}" if key in {PACKED, "last_updated"} else key, value]
    return fields


def _features_of(name: str, packed: bytes) -> HotFeatures:
    """Raises one of _UNREADABLE."""
    layout, version_bytes, count, moment_us = _HEAD.unpack_from(packed)
    start = _HEAD.size + version_bytes
    end = start + 8 * count
    if layout != LAYOUT or len(packed) != end + _CHECKSUM.size:
        raise ValueError(f"layout {layout} with {len(packed)} bytes")
    if _CHECKSUM.unpack_from(packed, end)[0] != zlib.crc32(memoryview(packed)[:end]):
        raise ValueError("the checksum differs")
    return HotFeatures(
        name=name,
        values=np.frombuffer(packed, "<f8", count, start),
        feature_version=packed[_HEAD.size : start].decode(),
        updated_at=_EPOCH + timedelta(microseconds=moment_us),
    )
