"""Feature vectors read per second: a Redis hash of a text field per feature, as redis-py reads it, and ours.

All give the same 64 float64 in the same order. Ours in Redis is one packed field; the published view is what serving
reads: arrays in the process, found by the player's name.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import redis
import redis.asyncio

from actors.feature_view import FeatureView
from actors.published import FeatureSource, PlayerEntry, PublishedShard
from benchmarks.fresh_server import started
from benchmarks.paired import Way, by_callers, chunks, command, race
from stores.clock import utc_now
from stores.domain.hot_features import FeatureKind, HotFeatures
from stores.features.tables import RECENT_MAPS
from stores.redis_store.connection import open_redis
from stores.redis_store.hot_features import RedisHotFeatures
from tests.servers.redis import RedisServer, valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from numpy.typing import NDArray

FEATURES = 64
PLAYERS = 500  # about those of the major leagues
CALLERS = 16  # concurrent callers where there are several
NAMES = tuple(f"Player {number}" for number in range(PLAYERS))
FIELDS = tuple(f"feature_{number}" for number in range(FEATURES))


@dataclass(slots=True)
class Reads:
    """The work of one way: so many players read in turn, all values compared afterwards."""

    truth: NDArray[np.float64]
    count: int
    read: Callable[[Sequence[str]], Awaitable[Sequence[NDArray[np.float64]]]]
    together: int = 1  # players of one call
    callers: int = 1
    found: list[tuple[Sequence[str], Sequence[NDArray[np.float64]]]] = field(default_factory=list)

    def way(self, name: str) -> Way:
        """It, for a race."""
        return Way(name, self.run, check=self.check)

    async def run(self) -> int:
        """Read."""
        wanted = chunks([NAMES[number % PLAYERS] for number in range(self.count)], self.together)
        self.found = []
        await by_callers(self.callers, wanted, self._call)
        return self.count

    async def check(self) -> None:
        """Every vector is the one that was written, to the bit."""
        compared = 0
        for names, vectors in self.found:
            for name, vector in zip(names, vectors, strict=True):
                assert np.array_equal(vector, self.truth[_ROWS[name]])
                compared += 1
        assert compared == self.count

    async def _call(self, names: Sequence[str]) -> None:
        self.found.append((names, await self.read(names)))


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """Read from one fresh server that holds the same vectors in both forms."""
    truth = random_vectors()
    with started(lambda folder: RedisServer(valkey(), folder)) as server:
        async with AsyncExitStack() as stack:
            plain = redis.Redis.from_url(server.url)
            stack.callback(plain.close)
            plain_async = redis.asyncio.Redis.from_url(server.url)
            stack.push_async_callback(plain_async.aclose)
            connection = await open_redis(server.url)
            stack.push_async_callback(connection.close)
            cache = RedisHotFeatures(connection)
            await _write(plain, cache, truth)
            one, ten = _ways(truth, plain, plain_async, cache)
            yield await race(f"Read {FEATURES} features of a player", "vectors/s", one, rounds)
            yield await race(f"Read {FEATURES} features of ten players a call", "vectors/s", ten, rounds)


def random_vectors() -> NDArray[np.float64]:
    """A vector per name, of shape [players, features]."""
    return np.random.default_rng(20260314).normal(size=(PLAYERS, FEATURES))


def write_hashes(plain: Any, truth: NDArray[np.float64]) -> None:
    """As hashes with a text field per feature, by redis-py."""
    pipeline = plain.pipeline(transaction=False)
    for name, values in zip(NAMES, truth, strict=True):
        texts = dict(zip(FIELDS, map(repr, values.tolist()), strict=True))
        pipeline.hset(f"plain:{name}", mapping=texts)
    pipeline.execute()


async def _write(plain: Any, cache: RedisHotFeatures, truth: NDArray[np.float64]) -> None:
    write_hashes(plain, truth)
    now = utc_now()
    await cache.put_many(
        FeatureKind.PLAYER,
        [
            HotFeatures(name=name, values=values, feature_version="f1", updated_at=now)
            for name, values in zip(NAMES, truth, strict=True)
        ],
    )


def _ways(
    truth: NDArray[np.float64], plain: Any, plain_async: Any, cache: RedisHotFeatures
) -> tuple[list[Way], list[Way]]:
    """Of one player a call, and of ten."""
    view = view_of(truth)

    async def hgetall(names: Sequence[str]) -> list[NDArray[np.float64]]:
        return [vector_of(plain.hgetall(f"plain:{name}")) for name in names]

    async def hgetall_async(names: Sequence[str]) -> list[NDArray[np.float64]]:
        return [vector_of(await plain_async.hgetall(f"plain:{name}")) for name in names]

    async def pipelined(names: Sequence[str]) -> list[NDArray[np.float64]]:
        pipeline = plain.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(f"plain:{name}")
        return [vector_of(row) for row in pipeline.execute()]

    async def pipelined_async(names: Sequence[str]) -> list[NDArray[np.float64]]:
        pipeline = plain_async.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(f"plain:{name}")
        return [vector_of(row) for row in await pipeline.execute()]

    async def ours(names: Sequence[str]) -> list[NDArray[np.float64]]:
        found = await cache.read_many(FeatureKind.PLAYER, names)
        return [one.values for one in found if one is not None]

    async def published(names: Sequence[str]) -> list[NDArray[np.float64]]:
        return [view.player_features(view.players.find(name).player_id) for name in names]

    one = [
        Reads(truth, 1500, hgetall).way("redis-py HGETALL"),
        Reads(truth, 1000, hgetall_async).way("redis-py HGETALL, asyncio"),
        Reads(truth, 1000, hgetall_async, callers=CALLERS).way(f"redis-py HGETALL, asyncio, {CALLERS} callers"),
        Reads(truth, 2000, ours).way("riftline read_many, asyncio"),
        Reads(truth, 3000, ours, callers=CALLERS).way(f"riftline read_many, asyncio, {CALLERS} callers"),
        Reads(truth, 50_000, published).way("riftline, the published view in the process"),
    ]
    ten = [
        Reads(truth, 2000, pipelined, 10).way("redis-py, pipelined"),
        Reads(truth, 2000, pipelined_async, 10).way("redis-py, pipelined, asyncio"),
        Reads(truth, 5000, ours, 10).way("riftline read_many, asyncio"),
        Reads(truth, 50_000, published, 10).way("riftline, the published view in the process"),
    ]
    return one, ten


def vector_of(row: Any) -> NDArray[np.float64]:
    """The vector of a hash."""
    return np.array([float(row[name]) for name in _KEYS])


def view_of(truth: NDArray[np.float64]) -> FeatureView:
    """The view that serving reads, of the same vectors."""
    players = tuple(
        PlayerEntry(player_id=f"p{number}", name=name, position=0, team_id=None, team=None, tournament="LCK", games=50)
        for number, name in enumerate(NAMES)
    )
    nothing = np.empty((0, FEATURES))
    source = FeatureSource(lake_snapshot_id=1, feature_version="f1", as_of=utc_now())
    unknown = pa.table({name: pa.nulls(len(players), kind) for name, kind in RECENT_MAPS.items()})
    shard = PublishedShard("shard", source, players, truth, unknown, (), nothing, (), nothing, (), nothing)
    return FeatureView([shard])


_ROWS = {name: row for row, name in enumerate(NAMES)}
_KEYS = tuple(name.encode() for name in FIELDS)


if __name__ == "__main__":
    command(__doc__, "benchmarks.feature_reads", races)
