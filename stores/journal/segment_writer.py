"""The open segment of a journal. Belongs to one thread at a time."""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from stores.errors import OutcomeUnknownError, OverloadedError, RiftlineError, TransientError
from stores.journal.segment_files import OPEN, READY, Segment, sync_folder, write_at

if TYPE_CHECKING:
    from pathlib import Path

RESERVED_BYTES = 1 << 20  # at a time, ahead of what is written: a flush that allocates costs half as much again
RISE = 0.1  # of what a slower flush adds to `flush_s`: one of 10 ms is seen at once

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Active:
    """The segment that is being written; bytes beyond ``size`` do not count."""

    path: Path
    descriptor: int
    begun_at: float
    size: int = 0
    reserved: int = 0

    def reserve(self, size: int) -> None:
        """Have room for so much more."""
        while self.reserved < self.size + size:
            with suppress(OSError):  # a full disk may still have room for what comes
                os.posix_fallocate(self.descriptor, self.reserved, RESERVED_BYTES)
            self.reserved += RESERVED_BYTES


class SegmentWriter:
    """Appends to the open segment, begins it and seals it. ``last_name`` is that of the newest segment ever.

    ``flush_s`` is about what the disk takes for a flush: one quick flush is believed, slow ones must repeat, since a
    thread that waits for the interpreter looks like a slow disk.
    """

    def __init__(self, folder: Path) -> None:
        self.last_name = ""
        self.flush_s = 1.0  # slow, until one was quick
        self._folder = folder
        self._active: _Active | None = None

    @property
    def size(self) -> int:
        """What the open segment holds."""
        return 0 if self._active is None else self._active.size

    @property
    def begun_at(self) -> float | None:
        """When the open segment was begun, in monotonic seconds, None while it holds nothing."""
        return self._active.begun_at if self._active is not None and self._active.size else None

    def write(self, data: bytes) -> RiftlineError | None:
        """Append and flush the disk. Returns what went wrong; nothing is left behind unless the outcome is unknown."""
        try:
            if self._active is None:
                self._active = self._begin()
        except OSError as error:
            return self._failure(error)
        active = self._active
        active.reserve(len(data))
        begun = time.perf_counter()
        try:
            write_at(active.descriptor, data, active.size)
        except OSError as error:
            try:
                os.ftruncate(active.descriptor, active.size)
                os.fdatasync(active.descriptor)
            except OSError as second:
                return OutcomeUnknownError(f"the journal in {self._folder} could not be cut after a failure: {second}")
            return self._failure(error)
        active.size += len(data)
        took = time.perf_counter() - begun
        self.flush_s = min(took, self.flush_s + RISE * (took - self.flush_s))
        return None

    def finish(self) -> Segment | None:
        """Seal what is written. Where the disk refuses, it keeps its name, and the next owner cuts what is torn."""
        if self._active is None:
            return None
        active, self._active = self._active, None
        path = active.path
        try:
            if not active.size:  # its first write failed
                path.unlink()
                return None
            if os.fstat(active.descriptor).st_size != active.size:  # what was reserved, or a failed write
                os.ftruncate(active.descriptor, active.size)
                os.fdatasync(active.descriptor)
            path = path.rename(path.with_suffix(READY))
        except OSError as error:
            _log.warning("%s could not be sealed, and is delivered all the same: %s", path, error)
        finally:
            os.close(active.descriptor)
        return Segment(path, active.size) if active.size else None

    def close(self) -> None:
        """Leave the open segment as it is to the next owner."""
        if self._active is not None:
            os.close(self._active.descriptor)
            self._active = None

    def _begin(self) -> _Active:
        """Make the file of the next segment; its name sorts behind all before it, whatever the clock does."""
        name = f"{max(time.time_ns(), int(self.last_name or 0) + 1):020d}"
        path = self._folder / f"{name}-{uuid4().hex}{OPEN}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        self.last_name = name
        return _Active(path, descriptor, time.monotonic())

    def _failure(self, error: OSError) -> RiftlineError:
        text = f"the journal in {self._folder} cannot be written: {error.strerror}; nothing was recorded"
        return OverloadedError(text) if error.errno in _FULL else TransientError(text)
