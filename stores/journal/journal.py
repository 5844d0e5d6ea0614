"""A journal on disk in front of servers: what is in it survives a crash until it has been delivered.

Records are gathered in segments. A segment that was handed out never changes again, so its name can serve as the
token by which a server knows a repeated delivery.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, RiftlineError, TransientError
from stores.folder_lock import FolderLock
from stores.journal.cursor import Cursor, Mark
from stores.journal.segment_files import (
    CORRUPT,
    CURSOR,
    OPEN,
    READY,
    REFUSED,
    Segment,
    cut_torn_tail,
    framed,
    read_whole,
    remove,
    replace,
)
from stores.journal.segment_writer import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

ONLY = "only"  # the cursor of a journal with one destination
MAX_RECORD_BYTES = 8 << 20
QUICK_S = 0.001  # a flush for which the event loop may wait itself: a thread's two wakings cost more
QUICK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a journal holds, and when a segment is handed out: when it is full, or old enough."""

    max_bytes: int = 1 << 30
    segment_bytes: int = 4 << 20  # about 10,000 rows: one insert, parsed by the server in one piece
    segment_age_s: float = 1.0  # the freshness of dashboards; younger segments would be more and smaller parts


DEFAULT_BOUNDS = Bounds()


class _Flush(asyncio.Future[None]):
    """One flush of the disk, which many callers await: whoever is cancelled takes nothing from the others."""

    def cancel(self, msg: object = None) -> bool:
        """Not: the caller's own task is cancelled once the flush is over."""
        del msg
        return False


class _Wrote(NamedTuple):
    """How a write ended. ``begun_at`` is of the open segment; ``sealed`` is the one that the write filled."""

    flush: _Flush
    size: int
    error: RiftlineError | None
    begun_at: float | None
    sealed: Segment | None


class Journal:
    """The journal of one folder. When the future of `add` is done, its records are on disk and survive a kill -9.

    An `add` that fails has left nothing behind, except for OutcomeUnknownError. What a crash cut in the middle of a
    write is removed by the next `open`. What is added while the disk flushes shares the next flush, and its future.
    One process owns the folder. Belongs to one event loop.
    """

    def __init__(self, folder: Path, lock: FolderLock, names: Sequence[str], bounds: Bounds) -> None:
        self.folder = folder
        self._lock = lock
        self._bounds = bounds
        self._cursors = {name: Cursor(self, name) for name in names}
        self._marks = {name: Mark(folder, name) for name in names} if len(names) > 1 else {}
        self._left: dict[str, int] = {}  # of each segment, how many cursors have not passed it
        self._damaged: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")  # writes and seals, in order
        self._files = ThreadPoolExecutor(1, thread_name_prefix="journal-files")  # no append waits for the rest
        self._writer = SegmentWriter(folder)  # of the disk's thread
        self._bytes = 0
        self._frames: list[bytes] = []
        self._gathering: _Flush | None = None
        self._writing: _Flush | None = None
        self._begun_at: float | None = None  # of the active segment, as far as the loop was told
        self._sealing = False
        self._closed = False

    @classmethod
    async def open(cls, folder: Path, cursors: Sequence[str] = (ONLY,), bounds: Bounds = DEFAULT_BOUNDS) -> Journal:
        """Own the journal of ``folder`` and what an earlier owner left. Raises ConflictError when another has it."""
        lock = FolderLock.acquire(folder, "the journal", "let that one end or give another folder")
        try:
            journal = cls(folder, lock, cursors, bounds)
            await journal._in_thread(journal._recover)
        except BaseException:
            lock.release()
            raise
        return journal

    @property
    def bytes_held(self) -> int:
        """What is on disk or on the way there, with what was refused and awaits a person."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether the bound is all but reached."""
        return self._bytes > 0.95 * self._bounds.max_bytes

    @property
    def quiet(self) -> bool:
        """Whether nothing is being written and no segment is open."""
        return self._begun_at is None and self._writing is None and self._gathering is None

    @property
    def due_at(self) -> float | None:
        """When the open segment is old enough to be handed out, in the loop's time."""
        return None if self._begun_at is None else self._begun_at + self._bounds.segment_age_s

    def cursor(self, name: str = ONLY) -> Cursor:
        """The cursor of this name."""
        return self._cursors[name]

    def add(self, records: Sequence[bytes]) -> asyncio.Future[None]:
        """Keep these records, all or none, once the future is done. A caller that is cancelled does not take them back.

        Raises OverloadedError when the journal is full, the future raises it when the disk is, and InvalidError for a
        record that is empty or too large; TransientError when nothing was recorded.
        """
        if self._closed:
            raise TransientError(f"the journal in {self.folder} is closed")
        for record in records:
            if not 0 < len(record) <= MAX_RECORD_BYTES:
                raise InvalidError(f"{len(record)} bytes at once; give 1 to {MAX_RECORD_BYTES}")
        frames = [framed(record) for record in records]
        size = sum(map(len, frames))
        if self._bytes + size > self._bounds.max_bytes:
            raise OverloadedError(
                f"the journal in {self.folder} holds {self._bytes} of {self._bounds.max_bytes} bytes; try again later"
            )
        self._bytes += size
        self._frames += frames
        if self._gathering is None:
            self._gathering = _Flush(loop=self._loop)
            if self._writing is None:
                self._loop.call_soon(self._write_gathered)  # with what others add in this round of the loop
        return self._gathering

    async def append(self, record: bytes) -> None:
        """Keep one record, with the errors of `add`."""
        await self.add((record,))

    async def records(self, segment: Segment) -> list[bytes]:
        """What was appended to it, in order. Raises CorruptSegmentError."""
        return await self._in_thread(read_whole, segment.path, segment.size)

    async def keep_refused(self, name: str, content: bytes) -> None:
        """Keep what a server refuses for good. The same name again replaces it."""
        self._bytes += await self._in_thread(replace, self.folder / f"{name}{REFUSED}", content)

    async def refused(self) -> list[str]:
        """The names of what was refused."""
        return await self._in_thread(lambda: sorted(path.stem for path in self.folder.glob(f"*{REFUSED}")))

    async def read_refused(self, name: str) -> bytes:
        """What was refused under this name."""
        return await self._in_thread((self.folder / f"{name}{REFUSED}").read_bytes)

    async def forget_refused(self, name: str) -> None:
        """Delete what was refused under this name. Idempotent."""
        self._bytes -= await self._in_thread(remove, self.folder / f"{name}{REFUSED}")

    async def close(self) -> None:
        """Finish the writes under way and let the folder go; what waits stays on disk. Idempotent."""
        if self._closed:
            return
        self._closed = True
        while flush := self._gathering or self._writing:
            with suppress(RiftlineError):
                await flush
        self._disk.shutdown()
        self._files.shutdown()
        self._writer.close()
        for mark in self._marks.values():
            mark.close()
        self._lock.release()

    # for its cursors

    async def changed(self) -> None:
        """Wait until a segment was begun, sealed or dropped, or somebody is in a hurry."""
        await self._news.wait()

    def tell(self) -> None:
        """Wake who waits for a change."""
        self._news.set()
        self._news.clear()

    async def seal(self) -> None:
        """Hand the open segment out."""
        if not self._sealing:
            self._sealing = True
            self._disk.submit(self._seal_active)
        await self.changed()

    async def pass_by(self, cursor: Cursor, segment: Segment, *, damaged: bool) -> None:
        """Move a cursor behind a segment, which is deleted, or kept aside when damaged, once no cursor wants it."""
        if damaged:
            self._damaged.add(segment.name)
        if self._marks:
            await self._in_thread(self._marks[cursor.name].move, segment.name)
        if self._left[segment.name] == 1:
            await self._in_thread(_remove_or_keep, segment.path, segment.name in self._damaged)
            self._bytes -= 0 if segment.name in self._damaged else segment.size
            del self._left[segment.name]
        else:
            self._left[segment.name] -= 1
        cursor.waiting.remove(segment)
        self.tell()

    # on the event loop

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._files, partial(call, *arguments))

    def _write_gathered(self) -> None:
        if self._writing is None and self._gathering is not None:
            self._writing, self._gathering = self._gathering, None
            data, self._frames = b"".join(self._frames), []
            if self._is_quick(len(data)):
                self._written(self._write(self._writing, data))
            else:
                self._disk.submit(self._write_and_tell, self._writing, data)

    def _is_quick(self, size: int) -> bool:
        """Whether the event loop may write so much itself: to the open segment, and without filling it."""
        return (
            self._writer.flush_s < QUICK_S
            and size <= QUICK_BYTES
            and 0 < self._writer.size < self._bounds.segment_bytes - size
            and not self._sealing
        )

    def _written(self, wrote: _Wrote) -> None:
        news = wrote.sealed is not None or (self._begun_at is None) != (wrote.begun_at is None)
        self._begun_at, self._writing = wrote.begun_at, None
        if wrote.sealed is not None:
            self._hand_out(wrote.sealed)
        if wrote.error is None:
            wrote.flush.set_result(None)
        else:
            self._bytes -= wrote.size
            wrote.flush.set_exception(wrote.error)
            wrote.flush.exception()  # whoever does not await it does not want to know
            news = True
        if self._is_quick(0):
            self._loop.call_soon(self._write_gathered)  # whoever waited for this flush does not wait for the next one
        else:
            self._write_gathered()
        if news:
            self.tell()

    def _sealed(self, segment: Segment | None) -> None:
        self._sealing, self._begun_at = False, None
        if segment is not None:
            self._hand_out(segment)
        self.tell()

    def _hand_out(self, segment: Segment) -> None:
        self._left[segment.name] = len(self._cursors)
        for cursor in self._cursors.values():
            cursor.waiting.append(segment)

    # in the thread of the disk, or where that is idle and the disk quick on the event loop

    def _write(self, flush: _Flush, data: bytes) -> _Wrote:
        error, sealed = None, None
        try:
            error = self._writer.write(data)
            if self._writer.size >= self._bounds.segment_bytes:
                sealed = self._writer.finish()
        except Exception as problem:  # noqa: BLE001  # a bug reaches every caller, none waits for ever
            error = OutcomeUnknownError(f"the journal in {self.folder} failed during a write: {problem!r}")
        return _Wrote(flush, len(data), error, self._writer.begun_at, sealed)

    def _write_and_tell(self, flush: _Flush, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._written, self._write(flush, data))

    def _seal_active(self) -> None:
        self._loop.call_soon_threadsafe(self._sealed, self._writer.finish())

    def _recover(self) -> None:
        """Find what an earlier owner left, and hand to each cursor what it has not passed."""
        names = [path.read_text() for path in self.folder.glob(f"*{CURSOR}")]
        for found in sorted(self.folder.iterdir()):
            path = cut_torn_tail(found) if found.suffix == OPEN else found
            if path is None or path.suffix not in {READY, CORRUPT, REFUSED}:
                continue
            segment = Segment(path, path.stat().st_size)
            self._bytes += segment.size
            if path.suffix == READY:
                names.append(segment.name)
                self._hand_out_again(segment)
        self._writer.last_name = max(name.partition("-")[0] for name in (*names, ""))

    def _hand_out_again(self, segment: Segment) -> None:
        behind = [
            cursor for name, cursor in self._cursors.items() if not self._marks or self._marks[name].at < segment.name
        ]
        for cursor in behind:
            cursor.waiting.append(segment)
        if behind:
            self._left[segment.name] = len(behind)
        else:
            segment.path.unlink()
            self._bytes -= segment.size


def _remove_or_keep(path: Path, keep: bool) -> None:
    if keep:
        path.rename(path.with_suffix(CORRUPT))
    else:
        path.unlink()
