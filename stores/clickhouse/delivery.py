"""From the journal to the tables: each segment is one insert per table, and its name is the token."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from stores.backoff import pauses_s
from stores.errors import ConflictError, InvalidError, RiftlineError
from stores.spill import CorruptSegmentError, Spill, holds_segments

if TYPE_CHECKING:
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.spill import Segment

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0  # a server that is back is found within this time
ORPHANS_S = 30.0  # how often journals without an owner are looked for
SLOTS = 64  # writing processes of one machine

_log = logging.getLogger(__name__)


class Delivery:
    """Brings what is in the journal to the server, as long as it takes, and every row once.

    A segment is dropped when the server has it. After any failure it is sent again as the same blocks under the same
    tokens, also by the next process. Rows that the server refuses for good are kept aside and reported, alone.
    """

    def __init__(self, connection: ClickHouseConnection, spill: Spill) -> None:
        self._connection = connection
        self._spill = spill
        self._tasks = [asyncio.create_task(self._deliver_all(spill)), asyncio.create_task(self._adopt_orphans())]

    async def close(self) -> None:
        """Stop between two calls; what is under way may or may not arrive, and is repeated by the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver_all(self, spill: Spill) -> None:
        while True:
            await self._deliver_patiently(spill, await spill.next_segment())

    async def _adopt_orphans(self) -> None:
        """Deliver the journals of processes that ended for good."""
        while True:
            for folder in sorted(self._spill.folder.parent.iterdir()):
                if folder != self._spill.folder and holds_segments(folder):
                    await self._adopt(folder)
            await asyncio.sleep(ORPHANS_S)

    async def _adopt(self, folder: Path) -> None:
        try:
            orphan = await Spill.open(folder)
        except (ConflictError, OSError):
            return
        try:
            while not orphan.empty:
                await self._deliver_patiently(orphan, await orphan.next_segment())
        finally:
            await orphan.close()

    async def _deliver_patiently(self, spill: Spill, segment: Segment) -> None:
        for attempt, pause_s in enumerate(pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, float("inf"))):
            try:
                await self._deliver(spill, segment)
            except CorruptSegmentError:
                _log.exception("a part of the journal is kept aside")
                await spill.set_aside(segment)
                return
            except (RiftlineError, OSError) as error:
                if attempt == 0:
                    _log.warning("not delivered yet, will be tried again: %s", error)
            except Exception:  # noqa: BLE001  # a mistake in our SQL may be repaired by the next release: nothing is given up
                _log.exception("not delivered, will be tried again")
            else:
                return
            await asyncio.sleep(pause_s)

    async def _deliver(self, spill: Spill, segment: Segment) -> None:
        rows: defaultdict[str, list[bytes]] = defaultdict(list)
        for record in await spill.records(segment):
            table, *lines = record.split(b"\n")
            rows[table.decode()].extend(lines)
        for name, lines in rows.items():
            await self._insert(spill, name, lines, f"{segment.name}-{name}")
        await spill.drop(segment)

    async def _insert(self, spill: Spill, table: str, rows: list[bytes], token: str) -> None:
        """Insert the rows; when one of them poisons the block, halve it until that row is alone."""
        try:
            await self._connection.insert(table, b"\n".join(rows), token)
        except InvalidError as error:
            if len(rows) == 1:
                _log.error("a row is kept aside in %s: %s", spill.folder, error)  # no trace: it quotes
                await spill.keep_refused(token, rows[0])
                return
            middle = len(rows) // 2
            await self._insert(spill, table, rows[:middle], f"{token}.0")
            await self._insert(spill, table, rows[middle:], f"{token}.1")
