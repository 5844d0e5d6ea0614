"""The event log in Redis Streams: one stream per partition, with dense offsets as Kafka has them."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stores.backoff import pauses_s
from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, TransientError
from stores.events.codec import EventCodec, dead_letter
from stores.events.names import check_group
from stores.events.records import Partition
from stores.events.registry import SchemaRegistry
from stores.events.topics import ALL_TOPICS, topic_named, topics_named
from stores.redis_store.event_batches import NumberedBatches, batches
from stores.redis_store.event_consumer import RedisEventConsumer
from stores.redis_store.event_keys import EventKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.events import Event
    from stores.errors import RiftlineError
    from stores.events.records import Message, Record
    from stores.events.topics import Topic
    from stores.redis_store.connection import RedisConnection

MAX_WAITING = 100_000  # records that are being sent
DEADLINE_S = 20.0  # longer than a fail-over takes
FIRST_PAUSE_S, MOST_PAUSE_S = 0.02, 0.5
SESSION_S = 10.0  # a member that is silent for so long is taken for dead


class RedisEventLog:
    """`EventLog` in Redis Streams, on one node or a cluster that keeps an append-only file.

    Each batch carries this producer's number for its partition and is one script, so that a repeat after a lost answer
    is recognised, also when the first try arrives late. With ``replicas`` a batch is acknowledged only when so many of
    the primary's replicas have it: give 1 for a cluster, where a fail-over would lose it else. ``prefix`` lets several
    logs share a server.
    """

    def __init__(
        self,
        connection: RedisConnection,
        prefix: str = "",
        session_s: float = SESSION_S,
        deadline_s: float = DEADLINE_S,
        replicas: int = 0,
    ) -> None:
        self._connection = connection
        self._keys = EventKeys(prefix)
        self._session_s = session_s
        self._deadline_s = deadline_s
        self._replicated = replicas > 0
        self._codec = EventCodec(SchemaRegistry())
        self._batches = NumberedBatches(connection, self._keys, replicas)
        self._numbers: defaultdict[Partition, int] = defaultdict(int)  # of the newest batch
        self._turns: defaultdict[Partition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting = 0
        self._closed = False

    @property
    def address(self) -> str:
        """Which server."""
        return self._connection.address

    async def ensure_topics(self) -> None:
        """Note the number of each topic's partitions, and remove what is too old in those that are seldom written."""
        await self._check_durable()
        for topic, found in (await self._connection.run(self._noted_partitions)).items():
            if found != topic.partitions:
                raise InvalidError(
                    f"{self.address}: {topic.name} has {found} partitions, not {topic.partitions}; keys would move, "
                    "so copy it into a new one",
                    "topic",
                )
            for number in range(topic.partitions):
                await self._batches.append(Partition(topic.name, number), topic, 0, [])

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Append the events; see `EventLog.publish`."""
        declared = topic_named(topic)
        await self._append(declared, [self._codec.encode(declared, event) for event in events])

    async def dead_letter(self, record: Record, reason: str) -> None:
        """Append the record to its topic's dead letters."""
        letter = dead_letter(record, reason)
        await self._append(topic_named(record.partition.topic).dead_letters, [letter])

    async def consumer(self, group: str, topics: Sequence[str]) -> RedisEventConsumer:
        """A new member of the group."""
        check_group(group)
        consumer = RedisEventConsumer(self._connection, self._keys, group, topics_named(topics), self._session_s)
        await consumer.open()
        return consumer

    async def close(self) -> None:
        """Publish no more; repeats under way are given up. The connection is closed by its owner."""
        self._closed = True

    async def _append(self, topic: Topic, messages: Sequence[Message]) -> None:
        if self._closed:
            raise TransientError(f"{self.address}: this log is closed")
        if self._waiting + len(messages) > MAX_WAITING:
            raise OverloadedError(f"{self._waiting} events wait for {self.address}; try again later")
        parts: defaultdict[Partition, list[Message]] = defaultdict(list)
        for message in messages:
            parts[Partition(topic.name, zlib.crc32(message.key) % topic.partitions)].append(message)
        self._waiting += len(messages)
        try:
            outcomes = await asyncio.gather(
                *(self._append_part(partition, topic, part) for partition, part in parts.items()),
                return_exceptions=True,
            )
        finally:
            self._waiting -= len(messages)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if errors:
            nothing = len(errors) == len(outcomes) and all(isinstance(error, TransientError) for error in errors)
            raise errors[0] if nothing else OutcomeUnknownError(f"{self.address}: {errors[0]}") from errors[0]

    async def _append_part(self, partition: Partition, topic: Topic, messages: Sequence[Message]) -> None:
        """Append what goes into one partition, batch after batch, in turn with other callers."""
        appended = False
        async with self._turns[partition]:
            for batch in batches(messages):
                try:
                    await self._append_patiently(partition, topic, batch)
                except TransientError as error:
                    raise (OutcomeUnknownError(*error.args) if appended else error) from error
                appended = True

    async def _append_patiently(self, partition: Partition, topic: Topic, batch: Sequence[Message]) -> None:
        """Append one batch, repeated under its number while the server is away. A number is never used for another."""
        self._numbers[partition] += 1
        doubtful = 0  # tries that may have been done
        last: RiftlineError | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                for pause_s in pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, float("inf")):
                    doubtful += 1
                    try:
                        return await self._batches.append(partition, topic, self._numbers[partition], batch)
                    except OutcomeUnknownError as error:
                        last = error
                    except TransientError as error:
                        last = error
                        doubtful -= 1
                    if self._closed:
                        break
                    await asyncio.sleep(pause_s)
        text = str(last or f"{self.address}: no answer within {self._deadline_s:g} s")
        raise OutcomeUnknownError(text) if doubtful else TransientError(text)

    async def _noted_partitions(self, redis: Any) -> dict[Topic, int]:
        for topic in ALL_TOPICS:
            await redis.set(self._keys.partitions(topic.name), topic.partitions, nx=True)
        return {topic: int(await redis.get(self._keys.partitions(topic.name))) for topic in ALL_TOPICS}

    async def _check_durable(self) -> None:
        """Refuse a server that would forget everything at its end, unless others have it too."""
        if self._replicated:
            return
        targets = {"target_nodes": "primaries"} if self._connection.is_cluster else {}
        found = await self._connection.run(lambda redis: redis.info("persistence", **targets))
        nodes = [found] if "aof_enabled" in found else list(found.values())
        if not all(int(node["aof_enabled"]) for node in nodes):
            raise InvalidError(
                f"{self.address} keeps no append-only file; set appendonly yes, appendfsync always", "appendonly"
            )
