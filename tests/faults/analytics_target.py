"""User events on their way through the journal into ClickHouse."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from stores.clickhouse.analytics import ClickHouseAnalytics, open_analytics
from stores.clickhouse.connection import ClickHouseConnection, clickhouse_at
from stores.clickhouse.migrate import migrate
from stores.domain.analytics import UserEvent
from stores.domain.time_ids import moment_of
from stores.journal.journal import Bounds
from stores.settings import ClickHouseSettings
from tests.servers.clickhouse import ClickHouse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.target import Writes

SEGMENT_AGE_S = 0.1  # a delivery is under way at any moment
DELIVERED_WITHIN_S = 120.0


class _EventWrites:
    """Acknowledged is what the journal holds; a repeated record would count twice, so nothing is repeated."""

    def __init__(self, analytics: ClickHouseAnalytics, connection: ClickHouseConnection) -> None:
        self._analytics = analytics
        self._connection = connection

    async def write(self, name: str) -> None:
        event_id = UUID(name)
        event = UserEvent(
            event_id=event_id,
            event_time=moment_of(event_id, "event_id", "an event id"),
            session_id="faults",
            event_type="page_view",
            event_category="navigation",
            event_action="open",
        )
        await self._analytics.record_events([event])

    async def close(self) -> None:
        await self._analytics.close()
        await self._connection.close()


class ClickHouseTarget:
    """ClickHouse behind HTTP: the server and the owner of the journal are killed in turns."""

    name = "clickhouse"
    at_once = 16
    kills_writers = True
    resends = False

    def __init__(self) -> None:
        self._server: ClickHouse | None = None

    def start(self, folder: Path) -> ClickHouse:
        """A fresh server with the tables."""
        self._server = ClickHouse(folder / "clickhouse")
        self._server.start()
        asyncio.run(_migrate(self.options(folder)))
        return self._server

    def options(self, folder: Path) -> dict[str, str]:
        """The server's URL and the folder of the journals."""
        assert self._server
        return {"url": self._server.url, "spill": str(folder / "spill")}

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Takes over the journal of the writer before it, and delivers what that left."""
        return _EventWrites(*await _opened(options))

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Every event in the table, once the journals are delivered; the hourly view must count the same."""
        analytics, connection = await _opened(options)
        await analytics.flush(DELIVERED_WITHIN_S)
        names = [str(row[0]) for row in await connection.query("SELECT event_id FROM user_events")]
        (counted,) = await connection.query("SELECT sum(event_count) FROM user_activity_hourly")
        await analytics.close()
        await connection.close()
        if counted[0] != len(names):
            raise AssertionError(f"the view counts {counted[0]} events, the table holds {len(names)}")
        return names

    def stop(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.stop()


async def _opened(options: dict[str, str]) -> tuple[ClickHouseAnalytics, ClickHouseConnection]:
    settings = _settings(options)
    connection = clickhouse_at(settings)
    return await open_analytics(connection, settings.spill_dir, Bounds(segment_age_s=SEGMENT_AGE_S)), connection


async def _migrate(options: dict[str, str]) -> None:
    connection = clickhouse_at(_settings(options))
    await migrate(connection)
    await connection.close()


def _settings(options: dict[str, str]) -> ClickHouseSettings:
    spill = Path(options["spill"])
    return ClickHouseSettings(spill.parent / "unused", spill, options["url"])
