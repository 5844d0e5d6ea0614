"""Journals of several processes under one folder: each owns a slot, and the living deliver what the dead have left."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stores.backoff import until_done
from stores.errors import ConflictError, RiftlineError
from stores.journal.segment_files import holds_segments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from stores.journal.journal import Journal

    Open = Callable[[Path], Awaitable[Journal]]

SLOTS = 64  # writing processes of one machine

_log = logging.getLogger(__name__)


async def open_slot(folder: Path, open_journal: Open) -> Journal:
    """Own the first journal under ``folder`` that no living process owns. Raises ConflictError when there is none."""
    for slot in range(SLOTS):
        try:
            return await open_journal(folder / f"{slot:02d}")
        except ConflictError:
            continue
    raise ConflictError(f"{SLOTS} processes own the journals in {folder}; give another folder")


def others(journal: Journal, wanted: Callable[[Path], bool]) -> list[Path]:
    """The folders beside the journal's own that are ``wanted``."""
    return [folder for folder in sorted(journal.folder.parent.iterdir()) if folder != journal.folder and wanted(folder)]


@asynccontextmanager
async def owned(folder: Path, open_journal: Open) -> AsyncIterator[Journal | None]:
    """The journal of ``folder`` while nobody else owns it."""
    try:
        journal = await open_journal(folder)
    except (ConflictError, OSError):
        yield None
        return
    try:
        yield journal
    finally:
        await journal.close()


async def adopt_orphans(
    journal: Journal, open_journal: Open, deliver: Callable[[Journal], Awaitable[object]], every_s: float
) -> None:
    """For ever: ``deliver`` what waits in journals of processes that ended for good."""

    async def adopt(folder: Path) -> None:
        async with owned(folder, open_journal) as orphan:
            if orphan is not None:
                await deliver(orphan)

    async with asyncio.TaskGroup() as adoptions:  # one whose destination is away holds up no other
        while True:
            for folder in others(journal, holds_segments):
                adoptions.create_task(adopt(folder))
            await asyncio.sleep(every_s)


async def patiently(attempt: Callable[[], Awaitable[None]], tell: Callable[[Exception | None], None]) -> None:
    """Repeat a delivery until it succeeds; nothing is given up. ``tell`` hears of each failure, and None at the end."""
    told = ""

    def heard(error: Exception) -> bool:
        """Log what changed since the last attempt."""
        nonlocal told
        if str(error) != told:
            ours = isinstance(error, (RiftlineError, OSError))  # of others, the next release may know more
            _log.warning("not delivered, will be tried again: %s", error, exc_info=None if ours else error)
        told = str(error)
        tell(error)
        return True

    await until_done(attempt, heard)
    tell(None)
