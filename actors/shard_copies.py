"""Copies of what feature shards publish, in the hot store: a shard that restarts while the lake is away reads its own.

A copy is an Arrow table of one row: the ring, the snapshot, when the lake confirmed it, and the shard's tables.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.published import FeatureSource
from actors.shard_tables import ShardTables
from stores.features.schema import FEATURE_VERSION
from stores.redis_store.connection import open_redis
from stores.redis_store.hot_features import RedisHotFeatures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from typing import TypeVar

    T = TypeVar("T")

TABLES = ("players", "teams", "tournaments", "champions")
_SMALL = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True, slots=True, eq=False)
class ShardCopy:
    """The share of one shard in a ring; ``confirmed_at`` is when the lake last said that it is the newest."""

    ring: tuple[str, ...]
    tables: ShardTables
    confirmed_at: datetime


class ShardCopies:
    """The copies in Redis. Every call opens a connection of its own: there is one in ten minutes.

    Raises TransientError while Redis does not answer, InvalidError for a wrong URL.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def keep(self, shard: str, copy: ShardCopy) -> None:
        """Put the copy in place of the shard's last one."""
        asyncio.run(self._with_redis(lambda hot: hot.put_copy(shard, to_bytes(copy))))

    def last(self, shard: str, ring: tuple[str, ...]) -> ShardCopy | None:
        """The shard's last copy; None if there is none, or if it is of another ring or of code with other features."""
        kept = asyncio.run(self._with_redis(lambda hot: hot.copy_of(shard)))
        copy = from_bytes(kept) if kept is not None else None
        return copy if copy and copy.ring == ring else None

    async def _with_redis(self, call: Callable[[RedisHotFeatures], Awaitable[T]]) -> T:
        connection = await open_redis(self._redis_url, size=1)
        try:
            return await call(RedisHotFeatures(connection))
        finally:
            await connection.close()


def to_bytes(copy: ShardCopy) -> bytes:
    """The copy as it is kept."""
    source = copy.tables.source
    row = {
        "ring": list(copy.ring),
        "confirmed_at": copy.confirmed_at,
        "lake_snapshot_id": source.lake_snapshot_id,
        "feature_version": source.feature_version,
        "as_of": source.as_of,
        **{name: _packed(getattr(copy.tables, name)) for name in TABLES},
    }
    return _packed(pa.Table.from_pylist([row]))


def from_bytes(kept: bytes) -> ShardCopy | None:
    """The copy that was kept, None if code with other features kept it."""
    (row,) = _unpacked(kept).to_pylist()
    if row["feature_version"] != FEATURE_VERSION:
        return None
    source = FeatureSource(row["lake_snapshot_id"], row["feature_version"], row["as_of"])
    tables = ShardTables(source, *(_unpacked(row[name]) for name in TABLES))
    return ShardCopy(tuple(row["ring"]), tables, row["confirmed_at"])


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_SMALL) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _unpacked(packed: bytes) -> pa.Table:
    return pa.ipc.open_stream(packed).read_all()
