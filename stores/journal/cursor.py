"""How far a destination is in a journal: each has a cursor of its own, so one that is away holds up no other."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from stores.errors import TransientError
from stores.journal.segment_files import CURSOR

if TYPE_CHECKING:
    from pathlib import Path

    from stores.journal.journal import Journal
    from stores.journal.segment_files import Segment


class Cursor:
    """What one destination has still to take, in order. A segment is deleted when every cursor has dropped it.

    Where there are several, each remembers on disk how far it is. That is not flushed: after a power cut segments may
    be handed out again, as after any delivery whose outcome is unknown.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self.name = name
        self.waiting: deque[Segment] = deque()
        self._journal = journal
        self._hurried = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not self.waiting and self._journal.quiet

    @property
    def bytes_waiting(self) -> int:
        """The size of the segments that wait, without the one that is being written."""
        return sum(segment.size for segment in self.waiting)

    async def next_segment(self) -> Segment:
        """The oldest segment, once one is full or old enough. It stays the next one until it is dropped."""
        while not self.waiting:
            due = self._journal.due_at
            if due is None:
                await self._journal.changed()
            elif self._hurried or due <= asyncio.get_running_loop().time():
                await self._journal.seal()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._journal.changed()
        return self.waiting[0]

    async def drop(self, segment: Segment) -> None:
        """Forget a segment that was delivered."""
        await self._journal.pass_by(self, segment, damaged=False)

    async def set_aside(self, segment: Segment) -> None:
        """Keep a corrupt segment for a person to look at; it is not handed out again."""
        await self._journal.pass_by(self, segment, damaged=True)

    async def flush(self, timeout_s: float) -> None:
        """Hand everything out now and wait until it was dropped. Raises TransientError after the timeout."""
        self._hurried += 1
        try:
            async with asyncio.timeout(timeout_s):
                self._journal.tell()
                while not self.empty:
                    await self._journal.changed()
        except TimeoutError:
            raise TransientError(
                f"{self._journal.bytes_held} bytes in {self._journal.folder} were not delivered in {timeout_s:g} s"
            ) from None
        finally:
            self._hurried -= 1


class Mark:
    """The name of the last segment that a cursor has passed, in a file of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._descriptor = os.open(folder / f"{name}{CURSOR}", os.O_RDWR | os.O_CREAT, 0o600)
        self.at = os.pread(self._descriptor, 100, 0).decode("ascii", "replace")

    def move(self, name: str) -> None:
        """Names are equally long, so one write replaces the last one."""
        self.at = name
        os.pwrite(self._descriptor, name.encode(), 0)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)
