"""Events per second through the log: kafka-python and redis-py used plainly, and ours on Kafka and Redis Streams.

A publish is done when the server has acknowledged it: Kafka with acks=all, Redis with its file flushed at every write.
The plain ways read dictionaries; ours writes by a checked schema and gives the events back as they were, validated.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.event_log_peers import PlainKafka, PlainRedis
from benchmarks.fresh_server import started
from benchmarks.paired import Way, by_callers, chunks, command, race
from stores.clock import utc_now
from stores.domain.events import LiveEventKind, LiveMatchEvent
from stores.domain.time_ids import new_time_id
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from stores.events.topics import topic_named
from stores.kafka_log.connection import open_kafka
from stores.kafka_log.event_log import KafkaEventLog
from stores.redis_store.connection import open_redis
from stores.redis_store.event_log import RedisEventLog
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer, valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from stores.roles.event_log import EventConsumer, EventLog

    Publish = Callable[[Sequence[LiveMatchEvent]], Awaitable[object]]

TOPIC = "live-matches"
PARTITIONS = topic_named(TOPIC).partitions
MATCHES = 40  # live at once on a busy evening
TO_READ = 10_000
AT_ONCE = 1000  # records of a poll
CALLS = ((1, 64, 2000), (100, 8, 5000), (1000, 4, 8000))  # events of a call, concurrent callers, events of a round


def new_events(count: int) -> list[LiveMatchEvent]:
    """Events of many matches."""
    now = utc_now()
    return [
        LiveMatchEvent(
            event_id=new_time_id(now),
            occurred_at=now,
            producer="benchmark",
            match_id=f"match-{number % MATCHES}",
            map_number=1,
            kind=LiveEventKind.CHAMPION_KILL,
            game_time_s=number / 10,
            team="T1",
            player_id="player-1",
            victim_id="player-2",
            assistant_ids=("player-3", "player-4"),
        )
        for number in range(count)
    ]


@dataclass(slots=True)
class Logs:
    """Both logs of ours, one log each of the drivers' own, and a reader of each of ours, who has all partitions."""

    kafka: EventLog
    streams: EventLog
    kafka_reader: EventConsumer
    streams_reader: EventConsumer
    plain_kafka: PlainKafka
    plain_redis: PlainRedis


@dataclass(slots=True)
class Publishing:
    """The work of one way: fresh events for each round, published; the log must have grown by as many."""

    count: int
    publish: Publish
    length: Callable[[], Awaitable[int]]
    events: Sequence[LiveMatchEvent] = ()
    before: int = 0

    def way(self, name: str, beside: str = "") -> Way:
        """It, for a race."""
        return Way(name, self.run, self.prepare, self.check, beside)

    async def prepare(self) -> None:
        """Make the events."""
        self.events = new_events(self.count)
        self.before = await self.length()

    async def run(self) -> int:
        """Publish them."""
        await self.publish(self.events)
        return self.count

    async def check(self) -> None:
        """Each is in the log once."""
        grown = await self.length() - self.before
        assert grown == self.count, f"{grown} of {self.count} events"


@dataclass(slots=True)
class Reading:
    """The work of one way: all events that were published, read and decoded; the ids must be theirs, each once."""

    read: Callable[[], Awaitable[list[str]]]
    ids: set[str]
    found: list[str] = field(default_factory=list)

    def way(self, name: str, beside: str = "") -> Way:
        """It, for a race."""
        return Way(name, self.run, check=self.check, beside=beside)

    async def run(self) -> int:
        """Read them."""
        self.found = await self.read()
        return len(self.found)

    async def check(self) -> None:
        """Nothing is missing and nothing doubled."""
        assert len(self.found) == len(self.ids)
        assert set(self.found) == self.ids


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """Publish to logs of one fresh server of each kind, and read from others of the same servers."""
    with started(KafkaServer) as broker, started(lambda folder: RedisServer(valkey(), folder)) as redis:
        async with _opened("published.", broker.url, redis.url) as logs:
            yield await race("Publish to the event log", "events/s", _publishing(logs), rounds)
        async with _opened("read.", broker.url, redis.url) as logs:
            yield await race("Read the event log", "events/s", await _reading(logs), rounds)


@asynccontextmanager
async def _opened(prefix: str, servers: str, redis_url: str) -> AsyncIterator[Logs]:
    async with AsyncExitStack() as stack:
        kafka = await open_kafka(servers)
        stack.push_async_callback(kafka.close)
        redis = await open_redis(redis_url)
        stack.push_async_callback(redis.close)
        plain_kafka = PlainKafka(servers, f"{prefix}plain", PARTITIONS)
        stack.callback(plain_kafka.close)
        plain_redis = PlainRedis(redis_url, f"{prefix}plain")
        stack.callback(plain_redis.close)
        on_kafka, on_streams = KafkaEventLog(kafka, prefix), RedisEventLog(redis, prefix)
        kafka_reader = await _reader(on_kafka, stack)
        streams_reader = await _reader(on_streams, stack)
        yield Logs(on_kafka, on_streams, kafka_reader, streams_reader, plain_kafka, plain_redis)


async def _reader(log: EventLog, stack: AsyncExitStack) -> EventConsumer:
    """A consumer that has all partitions of the log's new topics."""
    await log.ensure_topics()
    reader = await log.consumer("benchmark", [TOPIC])
    stack.push_async_callback(reader.close)
    ours = 0
    while ours < PARTITIONS:
        ours += len((await reader.poll(1, 0.2)).assigned)
    return reader


def _publishing(logs: Logs) -> list[Way]:
    async def publish(log: EventLog, size: int, callers: int, events: Sequence[LiveMatchEvent]) -> None:
        await by_callers(callers, chunks(events, size), partial(log.publish, TOPIC))

    async def length(reader: EventConsumer) -> int:
        return sum((await reader.lag()).values())  # it has read nothing

    kafka, redis = logs.plain_kafka, logs.plain_redis
    sent, flushed = "kafka-python, send and wait, one by one", "kafka-python, send all, then flush"
    added, piped = "redis-py XADD, one by one", "redis-py XADD, pipelined by 1000"
    ways = [
        Publishing(300, kafka.send_each, kafka.length).way(sent),
        Publishing(5000, kafka.send_all, kafka.length).way(flushed),
        Publishing(300, redis.add_each, redis.length).way(added),
        Publishing(5000, redis.add_all, redis.length).way(piped),
    ]
    for name, log, reader, single, bulk in (
        ("Kafka", logs.kafka, logs.kafka_reader, sent, flushed),
        ("Redis Streams", logs.streams, logs.streams_reader, added, piped),
    ):
        for size, callers, count in CALLS:
            work = Publishing(count, partial(publish, log, size, callers), partial(length, reader))
            ways.append(
                work.way(f"riftline on {name}, {size} a call, {callers} callers", single if size == 1 else bulk)
            )
    return ways


async def _reading(logs: Logs) -> list[Way]:
    events = new_events(TO_READ)
    await logs.plain_kafka.send_all(events)
    await logs.plain_redis.add_all(events)
    await logs.kafka.publish(TOPIC, events)
    await logs.streams.publish(TOPIC, events)
    ids = {str(event.event_id) for event in events}
    iterated, ranged = "kafka-python, iterate and decode", "redis-py XRANGE and decode"
    ours = "riftline on {}, poll and decode"
    return [
        Reading(partial(logs.plain_kafka.read, TO_READ), ids).way(iterated),
        Reading(partial(logs.plain_redis.read, TO_READ), ids).way(ranged),
        Reading(partial(_polled, logs.kafka_reader), ids).way(ours.format("Kafka"), iterated),
        Reading(partial(_polled, logs.streams_reader), ids).way(ours.format("Redis Streams"), ranged),
    ]


async def _polled(reader: EventConsumer) -> list[str]:
    codec = EventCodec(SchemaRegistry())
    await reader.seek(dict.fromkeys(await reader.positions(), 0))
    found: list[str] = []
    while len(found) < TO_READ:
        found += [str(codec.decode(record).event_id) for record in (await reader.poll(AT_ONCE, 1.0)).records]
    return found


if __name__ == "__main__":
    command(__doc__, "benchmarks.event_log_records", races)
