"""The log of what happens: published once, kept in order, read by as many groups as like, as often as they like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stores.domain.events import Event
    from stores.events.records import Partition, Polled, Record

    Offsets = Mapping[Partition, int]


class EventLog(Protocol):
    """A log of events in topics (`stores.events.topics`), each split into partitions by the event's key.

    When `publish` returns, its events are durable and each is in the log once: a retry inside of it does not double
    them. Events of one key that are published one after the other are read in that order. A crash of the caller loses
    only what it had not been told about; an event may then have been written, and its id (`Event.event_id`) lets a
    reader drop the repeat. What is older than the topic's retention is removed. Belongs to the event loop that opened
    it; any number of tasks at once. A server that comes back is used again without being reopened.
    """

    @property
    def address(self) -> str:
        """Which server, for people; no password."""
        ...

    async def ensure_topics(self) -> None:
        """Make every declared topic that is missing and set its retention. Idempotent.

        Raises InvalidError when a topic exists with another number of partitions, for its keys would move, and when the
        server does not keep what it acknowledges.
        """
        ...

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Append the events; all are durable when it returns. Ends within the log's deadline.

        Raises InvalidError, before anything is sent, for an unknown topic, an event of another kind or one that is too
        large; TransientError when nothing was appended; OverloadedError when too much waits already;
        OutcomeUnknownError when some may have been appended: publish the same events again, and readers drop repeats.
        """
        ...

    async def consumer(self, group: str, topics: Sequence[str]) -> EventConsumer:
        """A new member of ``group``, which shares the topics' partitions among its members. Names: ``[a-z0-9-]``.

        Dead-letter topics can be read too. Raises InvalidError for a wrong name and TransientError when the server is
        away.
        """
        ...

    async def dead_letter(self, record: Record, reason: str) -> None:
        """Append the record as it is to its topic's dead letters, with the reason and where it came from.

        Durable when it returns, with the errors of `publish`. A repeat is a second letter with the same origin.
        """
        ...

    async def close(self) -> None:
        """Publish no more: `publish` raises TransientError. Consumers are closed by their owners. Idempotent."""
        ...


class EventConsumer(Protocol):
    """One member of a group of readers; used by one task at a time.

    Each partition is read by one member at a time, each record at least once: what a member had not committed when it
    died, or lost the partition, is read again by another. A member that does not poll for five minutes, or whose
    process stands still for longer than the session, loses its partitions. Offsets are dense: the next record of a
    partition has the next number, save where records were removed by age.
    """

    async def poll(self, most: int, timeout_s: float) -> Polled:
        """Up to ``most`` records, or news of the assignment, waiting at most ``timeout_s`` for the first.

        Comes back empty when there is nothing, also while the server is away or may raise TransientError then; either
        way polling goes on when it is back. A poll that was cancelled loses nothing.
        """
        ...

    async def commit(self, offsets: Offsets) -> None:
        """Remember for the group where to go on: for each partition the offset of the next record to be read.

        Raises ConflictError when one of the partitions is no longer this member's, and then remembers nothing of that
        partition; TransientError when the server is away. Repeating it is harmless.
        """
        ...

    async def seek(self, offsets: Offsets) -> None:
        """Read on from these offsets, whatever is committed. Below what is kept, reading starts at the oldest record.

        Raises ConflictError for a partition that is not this member's and InvalidError for an offset beyond the end.
        """
        ...

    async def positions(self) -> dict[Partition, int]:
        """For each of this member's partitions the offset of the next record that `poll` brings."""
        ...

    async def lag(self) -> dict[Partition, int]:
        """For each of this member's partitions how many records are still to be read."""
        ...

    async def close(self) -> None:
        """Leave the group: its partitions go to the others at once. Commits nothing. Idempotent."""
        ...
