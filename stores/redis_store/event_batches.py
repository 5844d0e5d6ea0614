"""A producer's batches, as they are appended to a partition: one script each, recognised by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stores.errors import OutcomeUnknownError
from stores.redis_store.event_keys import PRODUCER_TTL_S
from stores.redis_store.event_scripts import APPEND, APPEND_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.events.records import Headers, Message, Partition
    from stores.events.topics import Topic
    from stores.redis_store.connection import RedisConnection
    from stores.redis_store.event_keys import EventKeys

MAX_BATCH = 500  # records of one call: a few milliseconds of the server's time
MAX_BATCH_BYTES = 4_000_000
REPLICA_TIMEOUT_MS = 500


class NumberedBatches:
    """Appends as one producer. A batch with a number that this producer has used, or passed, is not appended again."""

    def __init__(self, connection: RedisConnection, keys: EventKeys, replicas: int) -> None:
        self._connection = connection
        self._keys = keys
        self._replicas = replicas
        self._producer = uuid4().hex

    async def append(self, partition: Partition, topic: Topic, number: int, messages: Sequence[Message]) -> None:
        """Append the batch, and remove what is older than the topic keeps. One try.

        Raises TransientError when it was not appended, OutcomeUnknownError when it may have been or when too few
        replicas have it: append it again under its number.
        """
        keys = [
            self._keys.stream(partition),
            self._keys.next(partition),
            self._keys.producer(partition, self._producer),
        ]
        retention_ms = int(topic.retention.total_seconds() * 1000)
        arguments: list[Any] = [number, retention_ms, PRODUCER_TTL_S * 1000]
        for message in messages:
            arguments += (message.key, _packed(message.headers), message.value)
        await self._connection.run(lambda redis: self._call(redis, keys, arguments), repeatable=False)

    async def _call(self, redis: Any, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        if not self._replicas:
            await APPEND.call(redis, keys, arguments)
            return
        node = {"target_nodes": redis.get_node_from_key(keys[0])} if self._connection.is_cluster else {}
        pipeline = redis.pipeline(transaction=False)  # one connection: WAIT speaks of its own writes
        pipeline.eval(APPEND_TEXT, len(keys), *keys, *arguments)
        pipeline.execute_command("WAIT", self._replicas, REPLICA_TIMEOUT_MS, **node)
        elsewhere = {"allow_redirections": False} if node else {}
        _, held = await pipeline.execute(**elsewhere)
        if held < self._replicas:
            raise OutcomeUnknownError(
                f"{self._connection.address}: {held} of {self._replicas} replicas have the events"
            )


def batches(messages: Sequence[Message]) -> list[list[Message]]:
    """The messages in batches of a bounded size, in order."""
    found: list[list[Message]] = [[]]
    size = 0
    for message in messages:
        if found[-1] and (len(found[-1]) == MAX_BATCH or size + message.size > MAX_BATCH_BYTES):
            found.append([])
            size = 0
        found[-1].append(message)
        size += message.size
    return found


def _packed(headers: Headers) -> bytes:
    """Names and values, each behind its length: they may repeat and hold any byte."""
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
