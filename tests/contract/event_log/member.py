"""A reader as a process of its own, to be killed or stood still: it says what it read and commits when it is told.

Arguments: implementation, URL, prefix, how many records to read. It prints their event ids, then waits for a line.
"""

from __future__ import annotations

import asyncio
import sys

from stores.errors import RiftlineError
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from tests.contract.event_log.conftest import Implementation
from tests.contract.event_log.reading import nexts, read


async def main(name: str, url: str, prefix: str, count: int) -> None:
    """Read, say so, and commit on a line of input."""
    connection, log = await Implementation(name, None, url).open(prefix)  # type: ignore[arg-type]  # served by another
    consumer = await log.consumer("group", ["live-matches"])
    records = await read(consumer, count)
    codec = EventCodec(SchemaRegistry())
    print(" ".join(str(codec.decode(record).event_id) for record in records), flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await consumer.commit(nexts(records))
    except RiftlineError as error:
        print(type(error).__name__, flush=True)  # noqa: T201
    else:
        print("committed", flush=True)  # noqa: T201
    await consumer.close()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
