"""A writer process of a fault run: writes through the product's own adapters and tells the outcome of every id.

Each line goes to standard output at once: what this process said before a SIGKILL is known to its parent. It ends when
its standard input does, after what is under way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from stores.clock import utc_now
from stores.domain.prediction_id import new_prediction_id
from stores.errors import OutcomeUnknownError, RiftlineError
from tests.faults.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.target import Writes

PAUSE_AFTER_REFUSAL_S = 0.02  # leaves a server room to come back


async def write_until_told(target: str, options: dict[str, str], unsettled: Sequence[str]) -> None:
    """Write the ids of unknown outcome once more, then new ones, several at once."""
    writes = await TARGETS[target].open_writer(options)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    names = _names(unsettled)
    await asyncio.gather(*(_write_some(writes, names, ended) for _ in range(TARGETS[target].at_once)))
    await writes.close()


def _names(unsettled: Sequence[str]) -> Iterator[str]:
    yield from unsettled
    while True:
        yield str(new_prediction_id(utc_now()))


async def _write_some(writes: Writes, names: Iterator[str], ended: asyncio.Event) -> None:
    while not ended.is_set():
        name = next(names)
        _say("s", name)
        try:
            await writes.write(name)
        except OutcomeUnknownError:
            _say("u", name)
        except RiftlineError:
            _say("f", name)
            await asyncio.sleep(PAUSE_AFTER_REFUSAL_S)
        else:
            _say("a", name)


def _say(mark: str, name: str) -> None:
    os.write(1, f"{mark} {name}\n".encode())


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    asyncio.run(write_until_told(job["target"], job["options"], job["unsettled"]))
