"""A journal on disk in front of a server: what is in it survives a crash until it has been delivered.

Records are gathered in segments. A segment that was handed out never changes again, so its name can serve as the
token by which a server knows a repeated delivery.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from stores.clickhouse.spill_files import framed, read_whole, remove, replace, split_frames, sync_folder, write_at
from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, RiftlineError, TransientError
from stores.folder_lock import FolderLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

MAX_BYTES = 1 << 30
SEGMENT_BYTES = 4 << 20  # about 10,000 rows: one insert, parsed by the server in one piece
SEGMENT_AGE_S = 1.0  # the freshness of the dashboards; younger segments would be more and smaller parts
MAX_RECORD_BYTES = 8 << 20

_OPEN, _READY, _CORRUPT, _REFUSED = ".open", ".ready", ".corrupt", ".refused"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segment:
    """Records that are delivered together. ``name`` is unique for ever; bytes beyond ``size`` do not count."""

    path: Path
    size: int

    @property
    def name(self) -> str:
        """The token of its delivery."""
        return self.path.stem


@dataclass(slots=True)
class _Active:
    """The segment that is being written; bytes beyond ``size`` do not count."""

    path: Path
    descriptor: int
    begun_at: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    frame: bytes
    done: asyncio.Future[None]


class Spill:
    """The journal of one folder. When `append` returns, the record is on disk and survives a kill -9.

    An `append` that raises has left nothing behind, except when it raises OutcomeUnknownError. What a crash cut in the
    middle of a write is removed by the next `open`. Records that are appended at the same time share one flush of the
    disk. One process owns the folder. Belongs to one event loop.
    """

    def __init__(
        self, folder: Path, lock: FolderLock, *, max_bytes: int, segment_bytes: int, segment_age_s: float
    ) -> None:
        self.folder = folder
        self._lock = lock
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._ready: deque[Segment] = deque()
        self._active: _Active | None = None
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._file = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._hurried = 0
        self._closed = False
        self._last_name = ""
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spill")

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age_s: float = SEGMENT_AGE_S,
    ) -> Spill:
        """Own the journal of ``folder`` and what an earlier owner left. Raises ConflictError when another has it."""
        lock = FolderLock.acquire(folder, "the journal", "let that one end or give another folder")
        spill = cls(folder, lock, max_bytes=max_bytes, segment_bytes=segment_bytes, segment_age_s=segment_age_s)
        try:
            await spill._in_thread(spill._recover)
        except BaseException:
            spill._disk.shutdown()
            lock.release()
            raise
        return spill

    @property
    def bytes_held(self) -> int:
        """What is on disk or on the way there, with what was refused and awaits a person."""
        return self._bytes

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not (self._ready or self._active or self._waiting or self._writer)

    async def append(self, record: bytes) -> None:
        """Keep one record, whole or not at all. Raises OverloadedError when the journal or the disk is full."""
        if self._closed:
            raise TransientError(f"the journal in {self.folder} is closed")
        if not 0 < len(record) <= MAX_RECORD_BYTES:
            raise InvalidError(f"{len(record)} bytes at once; give 1 to {MAX_RECORD_BYTES}")
        frame = framed(record)
        if self._bytes + len(frame) > self._max_bytes:
            raise OverloadedError(
                f"the journal in {self.folder} holds {self._bytes} of {self._max_bytes} bytes; try again later"
            )
        self._bytes += len(frame)
        waiting = _Waiting(frame, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        await waiting.done

    async def next_segment(self) -> Segment:
        """The oldest segment, once one is full or old enough. It stays the next one until it is dropped."""
        while not self._ready:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._ready or self._active))
                if self._active is not None and not self._ready:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(self._active.begun_at + self._segment_age_s):
                            await self._changed.wait_for(lambda: bool(self._ready or self._hurried))
            if not self._ready:
                await self._seal()
        return self._ready[0]

    async def records(self, segment: Segment) -> list[bytes]:
        """What was appended to it, in order. Raises CorruptSegmentError."""
        return await self._in_thread(read_whole, segment.path, segment.size)

    async def drop(self, segment: Segment) -> None:
        """Forget a segment that was delivered."""
        await self._in_thread(segment.path.unlink)
        await self._dropped(segment, segment.size)

    async def set_aside(self, segment: Segment) -> None:
        """Keep a corrupt segment for a person to look at; it is not handed out again."""
        await self._in_thread(segment.path.rename, segment.path.with_suffix(_CORRUPT))
        await self._dropped(segment, 0)

    async def keep_refused(self, name: str, content: bytes) -> None:
        """Keep what a server refuses for good. The same name again replaces it."""
        self._bytes += await self._in_thread(replace, self.folder / f"{name}{_REFUSED}", content)

    async def refused(self) -> list[str]:
        """The names of what was refused."""
        return await self._in_thread(lambda: sorted(path.stem for path in self.folder.glob(f"*{_REFUSED}")))

    async def read_refused(self, name: str) -> bytes:
        """What was refused under this name."""
        return await self._in_thread((self.folder / f"{name}{_REFUSED}").read_bytes)

    async def forget_refused(self, name: str) -> None:
        """Delete what was refused under this name. Idempotent."""
        self._bytes -= await self._in_thread(remove, self.folder / f"{name}{_REFUSED}")

    async def flush(self, timeout_s: float) -> None:
        """Hand everything out now and wait until it was dropped. Raises TransientError after the timeout."""
        self._hurried += 1
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self.empty)
        except TimeoutError:
            raise TransientError(
                f"{self._bytes} bytes in {self.folder} were not delivered in {timeout_s:g} s"
            ) from None
        finally:
            self._hurried -= 1

    async def close(self) -> None:
        """Finish the appends under way and let the folder go; what waits stays on disk. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            await asyncio.shield(self._writer)
        if self._active is not None:
            os.close(self._active.descriptor)
            self._active = None
        self._disk.shutdown()
        self._lock.release()

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(call, *arguments))

    async def _dropped(self, segment: Segment, freed: int) -> None:
        async with self._changed:
            self._ready.remove(segment)
            self._bytes -= freed
            self._changed.notify_all()

    async def _write_waiting(self) -> None:
        """Write what waits until nothing does: while one write is under way, the next one gathers."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write_batch(batch)
        finally:
            self._writer = None
            stranded, self._waiting = self._waiting, []  # only when the task itself was cancelled
            self._bytes -= sum(len(waiting.frame) for waiting in stranded)
            _settle(stranded, TransientError(f"the journal in {self.folder} was stopped"))
            async with self._changed:
                self._changed.notify_all()

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        data = b"".join(waiting.frame for waiting in batch)
        error: RiftlineError | None = OutcomeUnknownError(f"the journal in {self.folder} was stopped during a write")
        try:
            async with self._file:
                error = await self._in_thread(self._write, data)
        finally:
            if error is not None:
                self._bytes -= len(data)
            _settle(batch, error)
        if self._active is not None and self._active.size >= self._segment_bytes:
            await self._seal()
        async with self._changed:
            self._changed.notify_all()

    def _write(self, data: bytes) -> RiftlineError | None:
        try:
            if self._active is None:
                self._active = self._begin()
        except OSError as error:
            return self._failure(error)
        active = self._active
        try:
            write_at(active.descriptor, data, active.size)
        except OSError as error:
            try:
                os.ftruncate(active.descriptor, active.size)
                os.fdatasync(active.descriptor)
            except OSError as second:
                return OutcomeUnknownError(f"the journal in {self.folder} could not be cut after a failure: {second}")
            return self._failure(error)
        active.size += len(data)
        return None

    def _failure(self, error: OSError) -> RiftlineError:
        text = f"the journal in {self.folder} cannot be written: {error.strerror}; nothing was recorded"
        return OverloadedError(text) if error.errno in _FULL else TransientError(text)

    def _begin(self) -> _Active:
        """Make the file of the next segment; its name sorts behind all before it, whatever the clock does."""
        name = f"{max(time.time_ns(), int(self._last_name or 0) + 1):020d}"
        path = self.folder / f"{name}-{uuid4().hex}{_OPEN}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            sync_folder(self.folder)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        self._last_name = name
        return _Active(path, descriptor, time.monotonic())

    async def _seal(self) -> None:
        async with self._file:
            active = self._active
            if active is None:
                return
            segment = await self._in_thread(_finish, active)
            self._active = None  # in one step with the next line: whoever looks sees it in one of both places
            if segment is not None:
                self._ready.append(segment)
        async with self._changed:
            self._changed.notify_all()

    def _recover(self) -> None:
        for found in sorted(self.folder.iterdir()):
            path = _cut_torn_tail(found) if found.suffix == _OPEN else found
            if path is None or path.suffix not in {_READY, _CORRUPT, _REFUSED}:
                continue
            size = path.stat().st_size
            self._bytes += size
            if path.suffix == _READY:
                self._ready.append(Segment(path, size))
                self._last_name = path.name.partition("-")[0]


def holds_segments(folder: Path) -> bool:
    """Whether something in ``folder`` waits to be delivered, by its owner or by who adopts it."""
    return any(any(folder.glob(f"*{suffix}")) for suffix in (_OPEN, _READY))


def holds_refused(folder: Path) -> bool:
    """Whether something in ``folder`` was refused."""
    return any(folder.glob(f"*{_REFUSED}"))


def _finish(active: _Active) -> Segment | None:
    """Seal what is written. Where the disk refuses, it is handed out under its old name: the next `open` cuts that."""
    path = active.path
    try:
        if not active.size:  # its first write failed
            path.unlink()
            return None
        if os.fstat(active.descriptor).st_size != active.size:  # a failed write was not cut
            os.ftruncate(active.descriptor, active.size)
            os.fdatasync(active.descriptor)
        path = path.rename(path.with_suffix(_READY))
    except OSError as error:
        _log.warning("%s could not be sealed, and is delivered all the same: %s", path, error)
    finally:
        os.close(active.descriptor)
    return Segment(path, active.size) if active.size else None


def _settle(batch: list[_Waiting], error: RiftlineError | None) -> None:
    for waiting in batch:
        if waiting.done.done():  # its caller was cancelled
            continue
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)


def _cut_torn_tail(path: Path) -> Path | None:
    """Keep what was whole when the last owner died, and seal it."""
    data = path.read_bytes()
    _, whole = split_frames(data)
    if not whole:
        path.unlink()
        return None
    with path.open("rb+") as file:
        file.truncate(whole)
        os.fsync(file.fileno())
    return path.rename(path.with_suffix(_READY))
