"""One process owns a folder: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from stores.errors import ConflictError

if TYPE_CHECKING:
    from pathlib import Path


class FolderLock:
    """The ownership of one folder, held from `acquire` to `release` or to the end of this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path, what: str, remedy: str) -> FolderLock:
        """Own ``folder``, making it when there is none. Raises ConflictError naming the owner when there is one."""
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise ConflictError(f"{what} in {folder} belongs to process {owner}; {remedy}") from None
        except OSError:  # a full disk cannot take the number: the lock holds without it
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let the folder go. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
