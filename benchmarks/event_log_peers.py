"""Kafka and Redis Streams as their drivers are plainly used for events: orjson in one topic, in one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from benchmarks.paired import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.events import Event

WITHIN_S = 60.0
AT_ONCE = 1000  # commands of a pipeline, entries of a read


class PlainKafka:
    """One producer and one consumer of a topic of its own. The driver's producer is idempotent by itself."""

    def __init__(self, servers: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        admin = KafkaAdminClient(bootstrap_servers=servers)
        try:
            admin.create_topics({topic: {"num_partitions": partitions}})
            admin.wait_for_topics([topic])
        finally:
            admin.close()
        self._producer = KafkaProducer(bootstrap_servers=servers, acks="all")
        self._consumer = KafkaConsumer(bootstrap_servers=servers)
        self._consumer.assign(self._partitions)

    def close(self) -> None:
        """End both clients."""
        self._producer.close()
        self._consumer.close()

    async def length(self) -> int:
        """How many events there are."""
        return sum(self._consumer.end_offsets(self._partitions).values())

    async def send_each(self, events: Sequence[Event]) -> None:
        """Wait for the acknowledgement of each."""
        for event in events:
            self._send(event).get(WITHIN_S)

    async def send_all(self, events: Sequence[Event]) -> None:
        """Send all, then wait for all."""
        futures = [self._send(event) for event in events]
        self._producer.flush(WITHIN_S)
        for future in futures:
            future.get(0)  # raises what went wrong

    async def read(self, count: int) -> list[str]:
        """The ids of the first ``count`` events, each decoded."""
        self._consumer.seek_to_beginning(*self._partitions)
        return [orjson.loads(next(self._consumer).value)["event_id"] for _ in range(count)]

    def _send(self, event: Event) -> Any:
        return self._producer.send(self._topic, key=event.key.encode(), value=orjson.dumps(event))


class PlainRedis:
    """One client of one stream. Nothing recognises a repeat, and no key has a place of its own."""

    def __init__(self, url: str, stream: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        self._stream = stream

    def close(self) -> None:
        """End the client."""
        self._client.close()

    async def length(self) -> int:
        """How many events there are."""
        return int(self._client.xlen(self._stream))

    async def add_each(self, events: Sequence[Event]) -> None:
        """A command and an answer for each."""
        for event in events:
            self._client.xadd(self._stream, {"event": orjson.dumps(event)})

    async def add_all(self, events: Sequence[Event]) -> None:
        """Pipelined."""
        for part in chunks(events, AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for event in part:
                pipeline.xadd(self._stream, {"event": orjson.dumps(event)})
            pipeline.execute()

    async def read(self, count: int) -> list[str]:
        """The ids of the first ``count`` events, each decoded."""
        found: list[str] = []
        start = "-"
        while len(found) < count:
            rows = self._client.xrange(self._stream, min=start, count=AT_ONCE)
            found += [orjson.loads(fields[b"event"])["event_id"] for _, fields in rows]
            start = f"({rows[-1][0].decode()}"
        return found
