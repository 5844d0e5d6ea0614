"""The keys of the event log. All of one partition share a hash tag, so that one script keeps them in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.redis_store.keys import DAY_S, KeyFamily, escaped

if TYPE_CHECKING:
    from stores.events.records import Partition

PRODUCER_TTL_S = DAY_S  # a producer repeats a batch within seconds

FAMILIES = (
    KeyFamily("log", "log:{topic:partition}", "stream", None, "the records of a partition; trimmed by age"),
    KeyFamily("log_next", "log:{topic:partition}:next", "string", None, "the offset of the next record"),
    KeyFamily(
        "log_producer", "log:{topic:partition}:producer:{id}", "string", PRODUCER_TTL_S, "a producer's newest batch"
    ),
    KeyFamily(
        "log_group", "log:{topic:partition}:group:{group}", "hash", None, "a group's offset and the member that reads"
    ),
    KeyFamily("log_members", "log:{topic}:members:{group}", "zset", None, "a group's living members; lives with them"),
    KeyFamily("log_partitions", "log:{topic}:partitions", "string", None, "the number of the topic's partitions"),
)


class EventKeys:
    """The keys of one log; ``prefix`` lets several share a server."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix and escaped(prefix, "prefix")

    def stream(self, partition: Partition) -> str:
        """The key of a partition's records."""
        return f"log:{{{self._prefix}{partition.topic}:{partition.number}}}"

    def next(self, partition: Partition) -> str:
        """The key of the offset that the next record gets."""
        return f"{self.stream(partition)}:next"

    def producer(self, partition: Partition, producer: str) -> str:
        """The key of the number of a producer's newest batch."""
        return f"{self.stream(partition)}:producer:{producer}"

    def group(self, partition: Partition, group: str) -> str:
        """The key of what a group knows of a partition."""
        return f"{self.stream(partition)}:group:{group}"

    def members(self, topic: str, group: str) -> str:
        """The key of the members of a group that read the topic."""
        return f"log:{{{self._prefix}{topic}}}:members:{group}"

    def partitions(self, topic: str) -> str:
        """The key of the number of partitions."""
        return f"log:{{{self._prefix}{topic}}}:partitions"
