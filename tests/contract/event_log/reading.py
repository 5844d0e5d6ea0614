"""Reading in tests: until what is expected has come, never for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.events.records import Partition, Record
    from stores.roles.event_log import EventConsumer

WITHIN_S = 30.0


async def read(consumer: EventConsumer, count: int) -> list[Record]:
    """The next ``count`` records, and not one more than the server has shown by then."""
    records: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        while len(records) < count:
            records += (await consumer.poll(1000, 0.2)).records
    return records


async def owned(consumer: EventConsumer, count: int) -> set[Partition]:
    """Poll until the consumer was told of ``count`` partitions in all, less what it was told to have lost."""
    ours: set[Partition] = set()
    async with asyncio.timeout(WITHIN_S):
        while len(ours) != count:
            polled = await consumer.poll(1, 0.2)
            assert not polled.records
            ours = (ours - polled.revoked) | polled.assigned
    return ours


async def until(condition: Callable[[], Any]) -> None:
    """Wait until the awaitable that ``condition`` makes comes true."""
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110  # the condition is a server's, which tells no one
            await asyncio.sleep(0.05)


def nexts(records: list[Record]) -> dict[Partition, int]:
    """The offsets behind these records: what to commit when they are done."""
    ends: dict[Partition, int] = {}
    for record in records:
        ends[record.partition] = max(record.offset + 1, ends.get(record.partition, 0))
    return ends
