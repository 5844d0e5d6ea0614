"""From the journal to the tables: each segment is one insert per table, and its name is the token."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from stores.errors import InvalidError
from stores.journal.adoption import adopt_orphans, others, owned, patiently
from stores.journal.journal import Journal
from stores.journal.segment_files import CorruptSegmentError, holds_refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.journal.segment_files import Segment

ORPHANS_S = 30.0  # how often journals without an owner are looked for
MOST_ALONE = 16  # refused rows looked for in one block; where there are more, single rows are not what is wrong

_log = logging.getLogger(__name__)


class Delivery:
    """Brings what is in the journal to the server, as long as it takes, and every row once.

    A segment is dropped when the server has it. After any failure it is sent again as the same blocks under the same
    tokens, also by the next process. Rows that the server refuses for good are kept aside and reported, alone while
    they are few.
    """

    def __init__(self, connection: ClickHouseConnection, journal: Journal) -> None:
        self._connection = connection
        self._journal = journal
        self._tasks = [
            asyncio.create_task(self._deliver_all(journal)),
            asyncio.create_task(adopt_orphans(journal, Journal.open, self._deliver_rest, ORPHANS_S)),
        ]

    async def close(self) -> None:
        """Stop between two calls; what is under way may or may not arrive, and is repeated by the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def redeliver(self) -> int:
        """As `ClickHouseAnalytics.redeliver`."""
        still = await self._redeliver(self._journal)
        for folder in others(self._journal, holds_refused):
            async with owned(folder, Journal.open) as orphan:
                if orphan is not None:
                    still += await self._redeliver(orphan)
        return still

    async def _deliver_all(self, journal: Journal) -> None:
        while True:
            await self._deliver_patiently(journal, await journal.cursor().next_segment())

    async def _deliver_rest(self, orphan: Journal) -> None:
        while not orphan.cursor().empty:
            await self._deliver_patiently(orphan, await orphan.cursor().next_segment())

    async def _deliver_patiently(self, journal: Journal, segment: Segment) -> None:
        await patiently(partial(self._deliver, journal, segment), lambda _: None)

    async def _deliver(self, journal: Journal, segment: Segment) -> None:
        try:
            records = await journal.records(segment)
        except CorruptSegmentError as error:
            # another token than the whole segment's, which a person may yet repair and bring back
            await self._insert_records(journal, error.sound, f"{segment.name}.{len(error.sound)}")
            await journal.cursor().set_aside(segment)
            _log.error("a part of the journal is kept aside: %s", error)  # no trace: it quotes
            return
        await self._insert_records(journal, records, segment.name)
        await journal.cursor().drop(segment)

    async def _insert_records(self, journal: Journal, records: Iterable[bytes], token: str) -> None:
        rows: defaultdict[str, list[bytes]] = defaultdict(list)
        for record in records:
            table, *lines = record.split(b"\n")
            rows[table.decode()].extend(lines)
        for name, lines in rows.items():
            await self._insert(journal, name, lines, f"{token}-{name}")

    async def _redeliver(self, journal: Journal) -> int:
        still = 0
        for token in await journal.refused():
            table = token.rpartition("-")[2].partition(".")[0]
            rows = (await journal.read_refused(token)).split(b"\n")
            refused = await self._insert(journal, table, rows, token)
            still += sum(map(len, refused.values()))
            if token not in refused:
                await journal.forget_refused(token)
        return still

    async def _insert(self, journal: Journal, table: str, rows: list[bytes], token: str) -> dict[str, list[bytes]]:
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
                _log.error("%d rows are kept aside in %s: %s", len(lines), journal.folder, error)  # no trace: it quotes
        for part, lines in refused.items():
            await journal.keep_refused(part, b"\n".join(lines))
        return refused
