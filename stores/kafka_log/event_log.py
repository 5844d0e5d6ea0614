"""The event log in Kafka."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import kafka.errors as driver
from kafka.admin import ConfigResource, ConfigResourceType

from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, RiftlineError, TransientError
from stores.events.codec import MAX_DEAD_LETTER_BYTES, EventCodec, dead_letter
from stores.events.names import check_group
from stores.events.registry import SchemaRegistry
from stores.events.topics import ALL_TOPICS, topic_named, topics_named
from stores.kafka_log.connection import CONNECT_TIMEOUT_S, translated, translation
from stores.kafka_log.consumer import KafkaEventConsumer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stores.domain.events import Event
    from stores.events.records import Message, Record
    from stores.events.topics import Topic
    from stores.kafka_log.connection import KafkaConnection

MAX_WAITING = 100_000  # records that are being sent; the driver itself knows no bound
SESSION_S = 10.0  # a member that is silent for so long is taken for dead


class KafkaEventLog:
    """`EventLog` in Kafka: acks from all replicas in sync, an idempotent producer, groups with cooperative rebalances.

    ``prefix`` stands before every topic and group on the server, so that several logs can share one.
    """

    def __init__(self, connection: KafkaConnection, prefix: str = "", session_s: float = SESSION_S) -> None:
        self._connection = connection
        self._prefix = prefix
        self._session_s = session_s
        self._names = {prefix + topic.name: topic for topic in ALL_TOPICS}
        self._codec = EventCodec(SchemaRegistry())
        self._waiting = 0
        self._closed = False

    @property
    def address(self) -> str:
        """Which brokers."""
        return self._connection.address

    async def ensure_topics(self) -> None:
        """Make what is missing, with the broker's own number of replicas."""
        await self._connection.call(self._ensure_topics)

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Append the events; see `EventLog.publish`."""
        declared = topic_named(topic)
        await self._append(declared, [self._codec.encode(declared, event) for event in events])

    async def dead_letter(self, record: Record, reason: str) -> None:
        """Append the record to its topic's dead letters."""
        letter = dead_letter(record, reason)
        await self._append(topic_named(record.partition.topic).dead_letters, [letter])

    async def consumer(self, group: str, topics: Sequence[str]) -> KafkaEventConsumer:
        """A new member of the group."""
        check_group(group)
        names = [self._prefix + topic.name for topic in topics_named(topics)]
        consumer = KafkaEventConsumer(self._connection, self._prefix)
        await consumer.open(self._prefix + group, names, self._session_s)
        return consumer

    async def close(self) -> None:
        """Publish no more. The connection sends what waits when its owner closes it."""
        self._closed = True

    async def _append(self, topic: Topic, messages: Sequence[Message]) -> None:
        if not messages:
            return
        if self._closed:
            raise TransientError(f"{self.address}: this log is closed")
        if self._waiting + len(messages) > MAX_WAITING:
            raise OverloadedError(f"{self._waiting} events wait for {self.address}; try again later")
        outcome = _Outcome(len(messages))
        self._waiting += len(messages)
        outcome.done.add_done_callback(lambda _: self._settled(len(messages)))
        self._connection.start(self._send, self._prefix + topic.name, messages, outcome)
        try:
            async with asyncio.timeout(self._connection.deadline_s + CONNECT_TIMEOUT_S):
                errors = await asyncio.shield(outcome.done)  # who is cancelled does not take back what is sent
        except TimeoutError:
            self._connection.discard(outcome.producer)
            raise OutcomeUnknownError(f"{self.address}: no answer in time") from None
        except driver.KafkaError as error:  # nothing was sent
            raise translation(error, self.address) from error
        if errors:
            failure = self._failure(errors, len(messages))
            if not isinstance(failure, InvalidError):
                self._connection.discard(outcome.producer)
            raise failure

    def _send(self, topic: str, messages: Sequence[Message], outcome: _Outcome) -> None:
        """Hand the messages to the driver, in a thread: it may wait for the topic's partitions."""
        sent = 0
        try:
            producer = outcome.producer = self._connection.producer()
            producer.partitions_for(topic)  # so that what follows waits for nothing
            for message in messages:
                future = producer.send(topic, key=message.key, value=message.value, headers=list(message.headers))
                sent += 1
                future.add_callback(outcome.one)
                future.add_errback(outcome.one_failed)
        except driver.KafkaTimeoutError as error:  # only while its partitions are asked for
            outcome.broke(TransientError(f"{self.address}: {topic} is not known in time; are the topics made? {error}"))
        except Exception as error:  # noqa: BLE001  # it reaches the caller, who waits for this outcome
            outcome.broke(error if sent == 0 else OutcomeUnknownError(f"{self.address}: {error}"))

    def _settled(self, count: int) -> None:
        self._waiting -= count

    def _failure(self, errors: list[Exception], count: int) -> RiftlineError:
        failure = translation(errors[0], self.address)
        if len(errors) == count and isinstance(failure, InvalidError):
            return failure  # refused, each of them
        return OutcomeUnknownError(f"{self.address}: {len(errors)} of {count} events are not acknowledged: {errors[0]}")

    def _ensure_topics(self) -> None:
        admin = self._connection.admin()
        try:
            with translated(self.address):
                self._make_missing(admin)
                self._check_partitions(admin)
                resources = [
                    ConfigResource(ConfigResourceType.TOPIC, name, _configs(topic))
                    for name, topic in self._names.items()
                ]
                admin.alter_configs(resources, incremental=True)
        finally:
            admin.close()

    def _make_missing(self, admin: Any) -> None:
        found = set(admin.list_topics())
        missing = {
            name: {"num_partitions": topic.partitions, "configs": _configs(topic)}
            for name, topic in self._names.items()
            if name not in found
        }
        if not missing:
            return
        for made in admin.create_topics(missing, raise_errors=False)["topics"]:
            error = driver.for_code(made["error_code"])
            if error not in {driver.NoError, driver.TopicAlreadyExistsError}:  # another process is as quick
                raise error(made["error_message"])
        admin.wait_for_topics(list(missing), timeout_ms=self._connection.deadline_s * 500)

    def _check_partitions(self, admin: Any) -> None:
        for found in admin.describe_topics(list(self._names)):
            topic, partitions = self._names[found["name"]], len(found["partitions"])
            if partitions != topic.partitions:
                raise InvalidError(
                    f"{self.address}: {found['name']} has {partitions} partitions, not {topic.partitions}; "
                    "keys would move, so copy it into a new one",
                    "topic",
                )


class _Outcome:
    """What became of the messages of one call; told by the driver's threads, awaited by the loop."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = count
        self._lock = threading.Lock()
        self._errors: list[Exception] = []
        self.producer: Any = None
        self.done: asyncio.Future[list[Exception]] = self._loop.create_future()

    def one(self, _: object) -> None:
        self._one_less()

    def one_failed(self, error: Exception) -> None:
        self._errors.append(error)
        self._one_less()

    def broke(self, error: Exception) -> None:
        self._tell(lambda: self.done.set_exception(error))

    def _one_less(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._tell(lambda: self.done.set_result(self._errors))

    def _tell(self, settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(lambda: None if self.done.done() else settle())


def _configs(topic: Topic) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(int(topic.retention.total_seconds() * 1000)),
        "max.message.bytes": str(MAX_DEAD_LETTER_BYTES),
    }
