"""Answers on their way to the stores: a journal on disk before the answer is sent, the servers after it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from serve_apps.destinations import CALL, POSTGRES, PREDICTION, destinations_of
from stores.errors import InvalidError, RiftlineError, TransientError
from stores.journal.adoption import adopt_orphans, open_slot, patiently
from stores.journal.journal import Bounds, Journal
from stores.journal.segment_files import CorruptSegmentError, framed
from stores.postgres import api_usage, prediction_copy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from serve_apps.destinations import Destination, Destinations
    from stores.domain.predictions import PredictionRecord
    from stores.domain.usage import ApiCall
    from stores.journal.segment_files import Segment
    from stores.postgres.pool import Pool

# A gigabyte is 2 million answers: PostgreSQL may be away for an hour at 600 answers a second.
# Younger segments would be more transactions: at 0.05 s two replicas cost PostgreSQL four times as much an answer.
BOUNDS = Bounds(max_bytes=1 << 30, segment_bytes=4 << 20, segment_age_s=0.2)
NOTED_S = 0.05
ORPHANS_S = 1.0  # a killed replica's answers are in the database before those who ask for them give up
DRAIN_S = 5.0  # Serve kills a replica 10 s after it was asked to end
MOST_ALONE = 16  # refused rows looked for in one segment; where there are more, single rows are not what is wrong
RATE_OVER_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What waits: ``oldest_s`` is the age of the oldest segment, ``away`` are the destinations that do not take it."""

    bytes_held: int
    oldest_s: float
    delivered_per_s: float
    away: tuple[str, ...]
    full: bool


class WriteBehind:
    """Guarantee: when `add` is done, the answers are on this machine's disk, survive a kill -9 of this process, and
    come to each destination once, whatever is away meanwhile; what raises has recorded nothing, except for
    OutcomeUnknownError.

    The journal is bounded: when PostgreSQL has been away for too long, `add` raises OverloadedError. Any other
    destination may be behind by half of the bound; then its oldest segments are let go and counted, for PostgreSQL has
    them. Each replica owns a journal; those of dead replicas of this machine are delivered by the living.
    """

    def __init__(self, journal: Journal, destinations: Sequence[Destination], bounds: Bounds = BOUNDS) -> None:
        """Takes over ``journal``, which has a cursor for each destination, and begins to deliver."""
        self.let_go: dict[str, int] = {destination.name: 0 for destination in destinations}  # segments
        self._journal = journal
        self._destinations = destinations
        self._bounds = bounds
        self._noted: list[bytes] = []
        self._noting: asyncio.TimerHandle | None = None
        self._away: set[str] = set()
        self._delivered: deque[tuple[float, int]] = deque()
        self._tasks = [asyncio.create_task(self._deliver_all(journal, one)) for one in destinations]
        open_journal = partial(Journal.open, cursors=_names(destinations), bounds=bounds)
        self._tasks.append(asyncio.create_task(adopt_orphans(journal, open_journal, self._deliver_rest, ORPHANS_S)))

    def add(self, rows: Sequence[bytes]) -> asyncio.Future[None]:
        """Keep answers as `encoded` makes them, all or none: the future of the flush that they share."""
        noted, self._noted = self._noted, []
        return self._journal.add([*noted, *rows])

    def note_calls(self, calls: Sequence[ApiCall]) -> None:
        """Keep what was asked of the API. Nobody waits for it: it shares the flush of the next answer.

        A crash within NOTED_S loses it, as does a journal that is full.
        """
        for call in calls:
            with suppress(RiftlineError):
                self._noted.append(CALL + api_usage.encode(call))
        if self._noted and self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(NOTED_S, self._keep_noted)

    def _keep_noted(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        if self._noted:  # no answer took them with it
            with suppress(RiftlineError):
                self.add(())

    def status(self) -> QueueStatus:
        """How the deliveries go."""
        now = time.monotonic()
        self._forget_before(now - RATE_OVER_S)
        waiting = [self._journal.cursor(one.name).waiting for one in self._destinations]
        oldest = min((segments[0].begun_at_s for segments in waiting if segments), default=None)
        return QueueStatus(
            bytes_held=self._journal.bytes_held,
            oldest_s=0.0 if oldest is None else max(0.0, time.time() - oldest),
            delivered_per_s=sum(rows for _, rows in self._delivered) / RATE_OVER_S,
            away=tuple(sorted(self._away)),
            full=self._journal.full,
        )

    async def flush(self, timeout_s: float) -> None:
        """Wait until PostgreSQL has all that was recorded before. Raises TransientError after the timeout."""
        self._keep_noted()
        await self._journal.cursor(POSTGRES).flush(timeout_s)

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Deliver what can be in time and let the journal go; the next replica or another one delivers the rest."""
        try:
            with suppress(TransientError):
                await self.flush(timeout_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._journal.close()

    async def _deliver_all(self, journal: Journal, destination: Destination) -> None:
        while True:
            await self._deliver_next(journal, destination)

    async def _deliver_rest(self, orphan: Journal) -> None:
        async def deliver(destination: Destination) -> None:
            while not orphan.cursor(destination.name).empty:
                await self._deliver_next(orphan, destination)

        await asyncio.gather(*map(deliver, self._destinations))

    async def _deliver_next(self, journal: Journal, destination: Destination) -> None:
        def tell(error: Exception | None) -> None:
            (self._away.discard if error is None else self._away.add)(destination.name)

        segment = await journal.cursor(destination.name).next_segment()
        await patiently(partial(self._deliver, journal, destination, segment), tell)

    async def _deliver(self, journal: Journal, destination: Destination, segment: Segment) -> None:
        cursor, damaged = journal.cursor(destination.name), None
        if self._may_be_let_go(journal, destination.name, segment):
            self.let_go[destination.name] += 1
            _log.error("%s is too far behind, a segment of %d bytes is let go", destination.name, segment.size)
            await cursor.drop(segment)
            return
        try:
            records = await journal.records(segment)
        except CorruptSegmentError as error:
            records, damaged = error.sound, error
        await self._send(journal, destination, segment.name, records)
        if damaged is None:
            await cursor.drop(segment)
        else:
            await cursor.set_aside(segment)
            _log.error("a part of the journal is kept aside: %s", damaged)
        self._delivered.append((time.monotonic(), len(records) if destination.name == POSTGRES else 0))
        self._forget_before(time.monotonic() - RATE_OVER_S)

    def _may_be_let_go(self, journal: Journal, name: str, segment: Segment) -> bool:
        """Whether a destination that is behind would soon take the room that answers need."""
        if name == POSTGRES or journal.cursor(name).bytes_waiting <= self._bounds.max_bytes / 2:
            return False
        return segment not in journal.cursor(POSTGRES).waiting

    async def _send(self, journal: Journal, destination: Destination, token: str, records: list[bytes]) -> None:
        """Deliver the records and keep aside what is refused for good: halved until what poisons them is alone."""
        parts, refused = [(token, records)] if records else [], 0
        while parts:
            part, some = parts.pop()
            try:
                await destination.deliver(some)
            except InvalidError as error:
                if len(some) > 1 and refused < MOST_ALONE:
                    middle = len(some) // 2
                    parts += [(f"{part}.1", some[middle:]), (f"{part}.0", some[:middle])]
                    continue
                refused += 1
                await journal.keep_refused(f"{part}-{destination.name}", b"".join(map(framed, some)))
                _log.error("%s refuses %d records, kept in %s: %s", destination.name, len(some), journal.folder, error)

    def _forget_before(self, moment: float) -> None:
        while self._delivered and self._delivered[0][0] < moment:
            self._delivered.popleft()


def told(status: QueueStatus) -> str:
    """The status in words for people outside."""
    held = f"{status.bytes_held / 1e6:.1f} MB wait, the oldest for {status.oldest_s:.1f} s"
    if status.full:
        return f"full: {held}"
    others = [name for name in status.away if name != POSTGRES]
    return f"ok, but {' and '.join(others)} do not answer: {held}" if others else f"ok: {held}"


@asynccontextmanager
async def opened_write_behind(
    settings: Destinations, pool: Pool, bounds: Bounds = BOUNDS
) -> AsyncIterator[WriteBehind]:
    """A replica's own, over the first journal that no living replica owns; drained at the end of the block."""
    async with AsyncExitStack() as stack:
        destinations = destinations_of(settings, pool, stack)
        open_journal = partial(Journal.open, cursors=_names(destinations), bounds=bounds)
        behind = WriteBehind(await open_slot(settings.journal_dir, open_journal), destinations, bounds)
        try:
            yield behind
        finally:
            await behind.close()


def _names(destinations: Sequence[Destination]) -> tuple[str, ...]:
    return tuple(destination.name for destination in destinations)


def encoded(record: PredictionRecord) -> bytes:
    """The record as the journal keeps it. Raises a bare RiftlineError where no database would take it."""
    try:
        return PREDICTION + prediction_copy.encode(record)
    except InvalidError as error:
        raise RiftlineError(f"an answer could not be stored: {error}") from error
