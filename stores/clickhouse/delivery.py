"""From the journal to the tables: each segment is one insert per table, and its name is the token."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from stores.backoff import until_done
from stores.clickhouse.spill import Spill, holds_refused, holds_segments
from stores.clickhouse.spill_files import CorruptSegmentError
from stores.errors import ConflictError, InvalidError, RiftlineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.clickhouse.spill import Segment

ORPHANS_S = 30.0  # how often journals without an owner are looked for
SLOTS = 64  # writing processes of one machine
MOST_ALONE = 16  # refused rows looked for in one block; where there are more, single rows are not what is wrong

_log = logging.getLogger(__name__)


class Delivery:
    """Brings what is in the journal to the server, as long as it takes, and every row once.

    A segment is dropped when the server has it. After any failure it is sent again as the same blocks under the same
    tokens, also by the next process. Rows that the server refuses for good are kept aside and reported, alone while
    they are few.
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

    async def redeliver(self) -> int:
        """As `ClickHouseAnalytics.redeliver`."""
        still = await self._redeliver(self._spill)
        for folder in self._others(holds_refused):
            async with _owned(folder) as orphan:
                if orphan is not None:
                    still += await self._redeliver(orphan)
        return still

    async def _deliver_all(self, spill: Spill) -> None:
        while True:
            await self._deliver_patiently(spill, await spill.next_segment())

    async def _adopt_orphans(self) -> None:
        """Deliver the journals of processes that ended for good."""
        while True:
            for folder in self._others(holds_segments):
                async with _owned(folder) as orphan:
                    while orphan is not None and not orphan.empty:
                        await self._deliver_patiently(orphan, await orphan.next_segment())
            await asyncio.sleep(ORPHANS_S)

    def _others(self, wanted: Callable[[Path], bool]) -> list[Path]:
        folders = sorted(self._spill.folder.parent.iterdir())
        return [folder for folder in folders if folder != self._spill.folder and wanted(folder)]

    async def _deliver_patiently(self, spill: Spill, segment: Segment) -> None:
        told = ""

        def tell(error: Exception) -> bool:
            """Say what changed since the last attempt; nothing is given up."""
            nonlocal told
            if str(error) != told:
                ours = isinstance(error, (RiftlineError, OSError))  # of others, the next release may know more
                _log.warning("not delivered, will be tried again: %s", error, exc_info=None if ours else error)
            told = str(error)
            return True

        await until_done(partial(self._deliver, spill, segment), tell)

    async def _deliver(self, spill: Spill, segment: Segment) -> None:
        try:
            records = await spill.records(segment)
        except CorruptSegmentError as error:
            # another token than the whole segment's, which a person may yet repair and bring back
            await self._insert_records(spill, error.sound, f"{segment.name}.{len(error.sound)}")
            await spill.set_aside(segment)
            _log.error("a part of the journal is kept aside: %s", error)  # no trace: it quotes
            return
        await self._insert_records(spill, records, segment.name)
        await spill.drop(segment)

    async def _insert_records(self, spill: Spill, records: Iterable[bytes], token: str) -> None:
        rows: defaultdict[str, list[bytes]] = defaultdict(list)
        for record in records:
            table, *lines = record.split(b"\n")
            rows[table.decode()].extend(lines)
        for name, lines in rows.items():
            await self._insert(spill, name, lines, f"{token}-{name}")

    async def _redeliver(self, spill: Spill) -> int:
        still = 0
        for token in await spill.refused():
            table = token.rpartition("-")[2].partition(".")[0]
            rows = (await spill.read_refused(token)).split(b"\n")
            refused = await self._insert(spill, table, rows, token)
            still += sum(map(len, refused.values()))
            if token not in refused:
                await spill.forget_refused(token)
        return still

    async def _insert(self, spill: Spill, table: str, rows: list[bytes], token: str) -> dict[str, list[bytes]]:
        """Insert the rows, keep aside what the server refuses, and return that by its token.

        A block that is refused is halved until the rows that poison it are alone. After `MOST_ALONE` of them the rest
        is refused in as few pieces as it has come to.
        """
        refused: dict[str, list[bytes]] = {}
        parts = [(token, rows)]
        while parts:
            part, lines = parts.pop()
            try:
                await self._connection.insert(table, b"\n".join(lines), part)
            except InvalidError as error:
                if len(lines) > 1 and len(refused) < MOST_ALONE:
                    middle = len(lines) // 2
                    parts += [(f"{part}.1", lines[middle:]), (f"{part}.0", lines[:middle])]
                    continue
                refused[part] = lines
                _log.error("%d rows are kept aside in %s: %s", len(lines), spill.folder, error)  # no trace: it quotes
        for part, lines in refused.items():
            await spill.keep_refused(part, b"\n".join(lines))
        return refused


@asynccontextmanager
async def _owned(folder: Path) -> AsyncIterator[Spill | None]:
    """The journal of ``folder`` while nobody else owns it."""
    try:
        spill = await Spill.open(folder)
    except (ConflictError, OSError):
        yield None
        return
    try:
        yield spill
    finally:
        await spill.close()
