"""What lies in the log: messages as they are written, records as they are read, and where each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]


class Partition(NamedTuple):
    """One of a topic's partitions. Its records have the offsets 0, 1, 2 and so on."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Message:
    """A record without a place yet."""

    key: bytes
    value: bytes
    headers: Headers

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.key) + len(self.value) + sum(len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the server holds it, whoever wrote it: nothing of it is checked or decoded yet."""

    partition: Partition
    offset: int
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought: records, or news of which partitions are whose. Never both.

    ``assigned`` partitions are read from the next poll on, from the group's committed offsets: the moment to `seek`
    elsewhere. ``revoked`` ones are no longer this consumer's: what was read of them and not committed is read again by
    another.
    """

    records: tuple[Record, ...] = ()
    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
