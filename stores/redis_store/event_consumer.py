"""A member of a group of readers in Redis Streams.

Who reads which partition is kept by leases on the server: a member takes its share of the partitions that nobody holds,
keeps them alive while it lives, and gives back what becomes another's share. A lease that ran out can be taken, and a
commit is refused to who is not the holder.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stores.errors import ConflictError, InvalidError, TransientError
from stores.events.records import Partition, Polled, Record
from stores.redis_store.event_scripts import BOUNDS, CLAIM, COMMIT, HEARTBEAT, RELEASE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stores.events.records import Headers
    from stores.events.topics import Topic
    from stores.redis_store.connection import RedisConnection
    from stores.redis_store.event_keys import EventKeys

MAX_POLL_INTERVAL_S = 300
SETTLED_S, UNSETTLED_S = 1.0, 0.1  # between two looks at the group; the second while a partition of ours is another's
IDLE_S = 0.02  # between two looks for records
MAX_READ = 500  # records of one partition at once


class RedisEventConsumer:
    """`EventConsumer` in Redis Streams. A task of its own keeps its leases; it ends with `close`."""

    def __init__(
        self, connection: RedisConnection, keys: EventKeys, group: str, topics: Sequence[Topic], session_s: float
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._group = group
        self._topics = topics
        self._session_ms = int(session_s * 1000)
        self._member = uuid4().hex
        self._positions: dict[Partition, int] = {}  # of the partitions that are ours
        self._assigned: set[Partition] = set()  # not told yet, and not read before they are
        self._revoked: set[Partition] = set()
        self._settled = False
        self._turn = 0
        self._polled_at = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Become a member and take what is free."""
        self._polled_at = asyncio.get_running_loop().time()
        await self._share_out()
        self._keeper = asyncio.create_task(self._keep())

    async def poll(self, most: int, timeout_s: float) -> Polled:
        """News of the assignment, or records, from each partition in turn."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            self._check_open()
            self._polled_at = loop.time()
            if self._assigned or self._revoked:
                news = Polled(assigned=frozenset(self._assigned), revoked=frozenset(self._revoked))
                self._assigned, self._revoked = set(), set()
                return news
            records = await self._read(most)
            if records or loop.time() >= deadline:
                return Polled(tuple(records))
            await asyncio.sleep(min(IDLE_S, max(0.0, deadline - loop.time())))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remember the offsets, of each partition only if it is still ours."""
        self._check_owned(offsets)
        calls = [((self._group_key(partition),), (self._member, offset)) for partition, offset in offsets.items()]
        if not calls:
            return
        kept = await self._connection.run(lambda redis: COMMIT.call_many(redis, calls))
        lost = [partition for partition, done in zip(offsets, kept, strict=True) if not done]
        for partition in lost:
            self._lose(partition)
        if lost:
            raise ConflictError(f"{_listed(lost)} went to another member of {self._group}")

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        self._check_owned(offsets)
        bounds = await self._bounds(list(offsets))
        for partition, offset in offsets.items():
            if offset > bounds[partition][1]:
                raise InvalidError(
                    f"{_listed([partition])} ends at offset {bounds[partition][1]}, {offset} lies beyond it", "offsets"
                )
        self._check_owned(offsets)  # a lease may have run out meanwhile
        for partition, offset in offsets.items():
            self._positions[partition] = max(offset, bounds[partition][0])

    async def positions(self) -> dict[Partition, int]:
        """The offset of the next record of each partition."""
        self._check_open()
        return dict(self._positions)

    async def lag(self) -> dict[Partition, int]:
        """How many records are still to be read."""
        self._check_open()
        bounds = await self._bounds(list(self._positions))
        return {
            partition: end - max(first, self._positions[partition])
            for partition, (first, end) in bounds.items()
            if partition in self._positions
        }

    async def close(self) -> None:
        """Give the leases back and leave."""
        if self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        with suppress(TransientError):  # they run out by themselves
            await self._leave()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(SETTLED_S if self._settled else UNSETTLED_S, self._session_ms / 3000))
            with suppress(TransientError):  # the next time; until then a lease may run out, and commits know
                if loop.time() - self._polled_at < MAX_POLL_INTERVAL_S:
                    await self._share_out()
                else:
                    await self._leave()

    async def _share_out(self) -> None:
        """Give back what is another's share, keep and take what is ours."""
        ours: list[Partition] = []
        for topic in self._topics:
            members = await self._members(topic)
            rank = members.index(self._member.encode())
            ours += [Partition(topic.name, number) for number in range(rank, topic.partitions, len(members))]
        await self._release([partition for partition in self._positions if partition not in ours])
        self._settled = await self._claim(ours)

    async def _members(self, topic: Topic) -> list[bytes]:
        """Stay a member, and learn who is, in an order that all of them agree on."""
        keys, arguments = [self._keys.members(topic.name, self._group)], (self._member, self._session_ms)
        return sorted(await self._connection.run(lambda redis: HEARTBEAT.call(redis, keys, arguments)))

    async def _claim(self, partitions: Sequence[Partition]) -> bool:
        calls = [
            ((self._keys.stream(partition), self._keys.next(partition), self._group_key(partition)), self._lease)
            for partition in partitions
        ]
        if not calls:
            return True
        claims = await self._connection.run(lambda redis: CLAIM.call_many(redis, calls))
        for partition, claim in zip(partitions, claims, strict=True):
            if claim is None:
                self._lose(partition)
            elif partition not in self._positions:
                self._positions[partition] = int(claim[1])
                self._assigned.add(partition)
        return None not in claims

    async def _release(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._lose(partition)  # before others may take it
        calls = [((self._group_key(partition),), (self._member,)) for partition in partitions]
        if calls:
            await self._connection.run(lambda redis: RELEASE.call_many(redis, calls))

    async def _leave(self) -> None:
        await self._release(list(self._positions))
        await self._connection.run(self._removed)

    async def _removed(self, redis: Any) -> None:
        for topic in self._topics:
            await redis.zrem(self._keys.members(topic.name, self._group), self._member)

    def _lose(self, partition: Partition) -> None:
        if self._positions.pop(partition, None) is None:
            return
        if partition in self._assigned:  # what came and went unnoticed is no news
            self._assigned.remove(partition)
        else:
            self._revoked.add(partition)

    async def _read(self, most: int) -> list[Record]:
        """What comes next, of each partition alike. Nothing of it counts before the last await is over."""
        partitions = list(self._positions)
        if not partitions:
            return []
        self._turn = (self._turn + 1) % len(partitions)  # who is cut off is first another time
        partitions = partitions[self._turn :] + partitions[: self._turn]
        starts = {partition: self._positions[partition] for partition in partitions}
        count = min(MAX_READ, -(-most // len(partitions)))
        found = await self._connection.run(lambda redis: self._ranges(redis, starts, count))
        records: list[Record] = []
        for partition, entries in zip(partitions, found, strict=True):
            if partition in self._assigned or self._positions.get(partition) != starts[partition]:
                continue  # lost, or sought elsewhere, while it was read
            taken = [_record(partition, entry) for entry in entries[: most - len(records)]]
            if taken:
                self._positions[partition] = taken[-1].offset + 1
                records += taken
        return records

    async def _ranges(self, redis: Any, starts: Mapping[Partition, int], count: int) -> list[Any]:
        pipeline = redis.pipeline(transaction=False)
        for partition, offset in starts.items():
            pipeline.xrange(self._keys.stream(partition), min=f"{offset + 1}-0", count=count)
        return list(await pipeline.execute())

    async def _bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        calls = [((self._keys.stream(partition), self._keys.next(partition)), ()) for partition in partitions]
        if not calls:
            return {}
        found = await self._connection.run(lambda redis: BOUNDS.call_many(redis, calls))
        return {partition: (int(first), int(end)) for partition, (first, end) in zip(partitions, found, strict=True)}

    @property
    def _lease(self) -> tuple[str, int]:
        return self._member, self._session_ms

    def _group_key(self, partition: Partition) -> str:
        return self._keys.group(partition, self._group)

    def _check_open(self) -> None:
        if self._closed:
            raise TransientError(f"{self._connection.address}: this consumer is closed")

    def _check_owned(self, offsets: Mapping[Partition, int]) -> None:
        self._check_open()
        theirs = [partition for partition in offsets if partition not in self._positions]
        if theirs:
            raise ConflictError(f"{_listed(theirs)} is not this member's (any more)")
        for offset in offsets.values():
            if not 0 <= offset < 2**53:  # the numbers of Lua
                raise InvalidError(f"{offset} is no offset; give 0 or more", "offsets")


def _listed(partitions: Sequence[Partition]) -> str:
    return ", ".join(f"{partition.topic}/{partition.number}" for partition in partitions)


def _record(partition: Partition, entry: tuple[bytes, Mapping[bytes, bytes]]) -> Record:
    identity, fields = entry
    offset = int(identity.partition(b"-")[0]) - 1
    return Record(partition, offset, fields[b"k"], fields[b"v"], _unpacked(fields[b"h"]))


def _unpacked(packed: bytes) -> Headers:
    parts, at = [], 0
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "big")
        parts.append(packed[at + 4 : end])
        at = end
    return tuple((name.decode(), value) for name, value in zip(parts[::2], parts[1::2], strict=True))
