"""User events per second into ClickHouse: clickhouse-connect used plainly, and the store with its journal.

All write the same table of the same server, and the server's disk has each insert when it is answered. Ours has every
row in a journal on disk besides when `record_events` returns; the time runs until all of them are in the table.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import clickhouse_connect

from benchmarks.fresh_server import started
from benchmarks.paired import Way, by_callers, chunks, command, race
from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import ClickHouseConnection, open_clickhouse
from stores.clickhouse.migrate import migrate
from stores.clock import utc_now
from stores.domain.analytics import UserEvent
from stores.settings import ClickHouseSettings
from tests.servers.clickhouse import ClickHouse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from stores.clickhouse.analytics import ClickHouseAnalytics

    Write = Callable[[Sequence[UserEvent]], Awaitable[object]]

FLUSH_S = 60.0
COLUMNS = (
    *("event_id", "user_id", "session_id", "event_type", "event_category", "event_action", "event_label"),
    *("page_url", "page_title", "referrer", "user_agent", "device_type", "browser", "operating_system"),
    *("ip_address", "country", "region", "city", "custom_data", "event_time"),
)
COUNT = (
    "SELECT count(), uniqExact(event_id), countIf(page_url = 'https://example.org/players?page=' || event_label)"
    " FROM user_events WHERE session_id = {session:String}"
)


def new_events(count: int, session: str) -> list[UserEvent]:
    """Events of now, of one session."""
    event = UserEvent(
        event_id=UUID(int=0),  # each has its own
        event_time=utc_now(),
        session_id=session,
        event_type="page_view",
        event_category="navigation",
        event_action="open",
        user_id=UUID(int=7),
        page_title="Players",
        user_agent="Mozilla/5.0 (X11; Linux x86_64)",
        device_type="desktop",
        browser="firefox",
        operating_system="linux",
        ip_address=IPv4Address("192.0.2.7"),
        country="KR",
        custom_data={"prop": "kills"},
    )
    return [
        replace(event, event_id=uuid4(), event_label=f"{n}", page_url=f"https://example.org/players?page={n}")
        for n in range(count)
    ]


def row_of(event: UserEvent) -> list[Any]:
    """The event as a plain insert takes it, in the order of COLUMNS."""
    return [getattr(event, name) for name in COLUMNS]


@dataclass(slots=True)
class Inserts:
    """The work of one way: fresh events for each round, written, and counted in the table afterwards."""

    connection: ClickHouseConnection
    count: int
    write: Write
    events: Sequence[UserEvent] = ()

    def way(self, name: str, beside: str = "") -> Way:
        """It, for a race."""
        return Way(name, self.run, self.prepare, self.check, beside)

    async def prepare(self) -> None:
        """Make the events."""
        self.events = new_events(self.count, uuid4().hex)

    async def run(self) -> int:
        """Write them."""
        await self.write(self.events)
        return self.count

    async def check(self) -> None:
        """Each event is in the table once, with its own address."""
        found = await self.connection.query(COUNT, {"session": self.events[0].session_id})
        assert found == [(self.count,) * 3], f"{found} of {self.count} rows"


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """Insert into one fresh server."""
    with started(ClickHouse) as server, TemporaryDirectory(prefix="rift-", dir="/tmp") as journal:  # one disk
        async with AsyncExitStack() as stack:
            settings = ClickHouseSettings(Path(journal), Path(journal), server.url)
            connection = await open_clickhouse(settings)
            stack.push_async_callback(connection.close)
            await migrate(connection)
            analytics = await open_analytics(connection, Path(journal))
            stack.push_async_callback(analytics.close)
            plain = _plain_client(server.url)
            stack.callback(plain.close)
            yield await race("Insert events into ClickHouse", "rows/s", _ways(connection, analytics, plain), rounds)


def _plain_client(url: str) -> Any:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        host=str(parts.hostname), port=parts.port, username=str(parts.username), password=unquote(str(parts.password))
    )


def _ways(connection: ClickHouseConnection, analytics: ClickHouseAnalytics, plain: Any) -> list[Way]:
    async def insert(size: int, events: Sequence[UserEvent]) -> None:
        for part in chunks(events, size):
            rows = [row_of(event) for event in part]
            await asyncio.to_thread(plain.insert, "user_events", rows, column_names=COLUMNS)

    async def record(size: int, callers: int, events: Sequence[UserEvent]) -> None:
        await by_callers(callers, chunks(events, size), analytics.record_events)
        await analytics.flush(FLUSH_S)

    single, bulk = "clickhouse-connect insert, 1 row a call", "clickhouse-connect insert, 1000 rows a call"
    return [
        Inserts(connection, 30, partial(insert, 1)).way(single),
        Inserts(connection, 10_000, partial(insert, 1000)).way(bulk),
        Inserts(connection, 20_000, partial(insert, 10_000)).way("clickhouse-connect insert, 10,000 rows a call"),
        Inserts(connection, 5_000, partial(record, 1, 256)).way(
            "riftline record_events, 1 a call, 256 callers", single
        ),
        Inserts(connection, 20_000, partial(record, 1000, 4)).way(
            "riftline record_events, 1000 a call, 4 callers", bulk
        ),
    ]


if __name__ == "__main__":
    command(__doc__, "benchmarks.analytics_rows", races)
