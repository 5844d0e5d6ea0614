"""A member of a group of readers in Kafka."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka import errors as driver
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from stores.errors import ConflictError, InvalidError, TransientError
from stores.events.codec import MAX_DEAD_LETTER_BYTES
from stores.events.records import Partition, Polled, Record
from stores.kafka_log.connection import CONNECT_TIMEOUT_S, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stores.kafka_log.connection import KafkaConnection

T = TypeVar("T")

MAX_POLL_INTERVAL_S = 300
SLICE_S = 0.1  # a poll hears within this time that its consumer is closed, or of an assignment
FETCH_WAIT_MS = 100
METADATA_AGE_MS = 10_000  # what a client has missed of the topics it knows after this time


class KafkaEventConsumer:
    """`EventConsumer` in Kafka. The driver's consumer is for one thread: this has its own and does all its calls."""

    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._news = _News()
        self._client: Any = None
        self._polling: Future[Polled] | None = None
        self._closed = False

    async def open(self, group: str, topics: Sequence[str], session_s: float) -> None:
        """Connect and ask for partitions; the first polls bring them."""
        self._connection.check_open()
        try:
            await self._call(self._open, group, topics, session_s)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def poll(self, most: int, timeout_s: float) -> Polled:
        """Records or news; what a cancelled poll brought is brought by the next one."""
        self._check_open()
        if self._polling is None:
            self._polling = self._thread.submit(self._poll, most, timeout_s)
        with translated(self._connection.address):
            try:
                async with asyncio.timeout(timeout_s + self._connection.deadline_s):
                    polled = await asyncio.shield(asyncio.wrap_future(self._polling))
            except (asyncio.CancelledError, TimeoutError):
                raise  # what it brings, or has brought at this very moment, is the next poll's
            except BaseException:
                self._polling = None
                raise
        self._polling = None
        return polled

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remember the offsets for the group."""
        await self._call(self._commit, offsets)

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        await self._call(self._seek, offsets)

    async def positions(self) -> dict[Partition, int]:
        """The offset of the next record of each partition."""
        return await self._call(self._positions)

    async def lag(self) -> dict[Partition, int]:
        """How many records are still to be read."""
        return await self._call(self._lag)

    async def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        with translated(self._connection.address):
            try:
                await asyncio.wrap_future(self._thread.submit(self._close))
            finally:
                self._thread.shutdown(wait=False)

    async def _call(self, blocking: Callable[..., T], *arguments: Any) -> T:
        self._check_open()
        with translated(self._connection.address):
            async with asyncio.timeout(self._connection.deadline_s + CONNECT_TIMEOUT_S):
                return await asyncio.wrap_future(self._thread.submit(blocking, *arguments))

    def _check_open(self) -> None:
        if self._closed:
            raise TransientError(f"{self._connection.address}: this consumer is closed")

    @property
    def _patience_ms(self) -> float:
        return self._connection.deadline_s * 1000

    def _open(self, group: str, topics: Sequence[str], session_s: float) -> None:
        self._client = self._connection.consumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=int(session_s * 1000),
            heartbeat_interval_ms=int(session_s * 1000 / 3),
            max_poll_interval_ms=MAX_POLL_INTERVAL_S * 1000,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        for topic in topics:  # a subscription that meets a refresh under way would wait for the next one for its topics
            if not self._client.partitions_for_topic(topic):
                self._client.close(autocommit=False)
                raise TransientError(f"{self._connection.address}: {topic} is not known; are the topics made?")
        self._news.client = self._client
        self._client.subscribe(topics=topics, listener=self._news)

    def _poll(self, most: int, timeout_s: float) -> Polled:
        """Poll in slices until there is something. News come alone: records that came with them are read again."""
        deadline = time.monotonic() + timeout_s
        self._client.resume(*self._client.paused())
        while True:
            left_s = max(0.0, min(SLICE_S, deadline - time.monotonic()))
            self._finish_joining()
            batches = self._client.poll(timeout_ms=left_s * 1000, max_records=most)
            if self._news.any:
                for partition, records in batches.items():
                    self._client.seek(partition, records[0].offset)
                assigned, revoked = self._news.taken()
                return Polled(assigned=self._ours(assigned), revoked=self._ours(revoked))
            if batches or self._closed or time.monotonic() >= deadline:
                return Polled(tuple(self._record(record) for records in batches.values() for record in records))

    def _commit(self, offsets: Mapping[Partition, int]) -> None:
        theirs = self._owned(offsets)
        metadata = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in theirs.items()}
        deadline = time.monotonic() + self._connection.deadline_s
        while True:
            try:
                self._client.commit(metadata, timeout_ms=self._patience_ms)
            except driver.RebalanceInProgressError:
                if time.monotonic() >= deadline:
                    raise
                self._wait_for_the_share_out()
                self._owned(offsets)  # who has lost a partition meanwhile must not commit it
            else:
                return

    def _wait_for_the_share_out(self) -> None:
        """Take part in the group's sharing out, which only a poll does; records are left to the next poll."""
        self._client.pause(*self._client.assignment())
        self._finish_joining()
        self._client.poll(timeout_ms=SLICE_S * 1000)

    def _finish_joining(self) -> None:
        """Have the next poll wait for the join that an earlier one began.

        The driver (3.0.12) joins again when a topic's partitions look other than before, without heartbeats meanwhile.
        Where they look as before again ahead of the next poll, as of a topic that was just made, it would forget that
        join, and the group the member.
        """
        coordinator = self._client._coordinator  # noqa: SLF001
        if coordinator.rebalance_in_progress() and not coordinator.need_rejoin():
            coordinator.request_rejoin()

    def _seek(self, offsets: Mapping[Partition, int]) -> None:
        theirs = self._owned(offsets)
        ends = self._client.end_offsets(list(theirs), timeout_ms=self._patience_ms)
        for partition, offset in theirs.items():
            if offset > ends[partition]:
                raise InvalidError(
                    f"{partition.topic} ends at offset {ends[partition]}, {offset} lies beyond it", "offsets"
                )
        for partition, offset in theirs.items():
            self._client.seek(partition, offset)

    def _positions(self) -> dict[Partition, int]:
        positions = {}
        for partition in self._client.assignment():
            position = self._client.position(partition, timeout_ms=self._patience_ms)
            if position is None:
                raise TransientError(f"{self._connection.address}: no position of {partition.topic} in time")
            positions[self._our(partition)] = position
        return positions

    def _lag(self) -> dict[Partition, int]:
        positions = self._positions()
        ends = self._client.end_offsets(list(self._client.assignment()), timeout_ms=self._patience_ms)
        return {self._our(partition): end - positions[self._our(partition)] for partition, end in ends.items()}

    def _close(self) -> None:
        self._client.close(autocommit=False, timeout_ms=self._connection.deadline_s * 500)

    def _owned(self, offsets: Mapping[Partition, int]) -> dict[TopicPartition, int]:
        assigned = self._client.assignment()
        theirs = {TopicPartition(self._prefix + where.topic, where.number): at for where, at in offsets.items()}
        for partition, offset in theirs.items():
            if partition not in assigned:
                raise ConflictError(f"{self._our(partition)} is not this member's (any more)")
            if not 0 <= offset < 2**63:
                raise InvalidError(f"{offset} is no offset; give 0 or more", "offsets")
        return theirs

    def _our(self, partition: TopicPartition) -> Partition:
        return Partition(partition.topic.removeprefix(self._prefix), partition.partition)

    def _ours(self, partitions: Iterable[TopicPartition]) -> frozenset[Partition]:
        return frozenset(self._our(partition) for partition in partitions)

    def _record(self, record: Any) -> Record:
        where = Partition(record.topic.removeprefix(self._prefix), record.partition)
        headers = tuple((name, value or b"") for name, value in record.headers)  # both may be null on the wire
        return Record(where, record.offset, record.key or b"", record.value or b"", headers)


class _News(ConsumerRebalanceListener):  # type: ignore[misc]  # the driver is untyped
    """What the coordinator tells while a poll waits for it. New partitions rest until their owner knows of them."""

    def __init__(self) -> None:
        self.client: Any = None
        self._assigned: set[TopicPartition] = set()
        self._revoked: set[TopicPartition] = set()

    @property
    def any(self) -> bool:  # no __bool__: the driver takes a listener that is false for none
        return bool(self._assigned or self._revoked)

    def taken(self) -> tuple[set[TopicPartition], set[TopicPartition]]:
        news = self._assigned, self._revoked
        self._assigned, self._revoked = set(), set()
        return news

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._revoked |= revoked - self._assigned  # what came and went unnoticed is no news
        self._assigned -= revoked

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.client.pause(*assigned)
        self._assigned |= assigned
