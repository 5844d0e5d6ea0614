"""Time series for their operator: InfluxDB, or tables in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus, ask, no_detail
from stores.clock import utc_now
from stores.influx.connection import address_of, open_influx
from stores.open_stores import opened_time_series

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from stores.settings import Settings


class OperatedTimeSeries:
    """Time series. Measurements are no truth: InfluxDB is not saved, tables in PostgreSQL are with it."""

    name = "time-series"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def status(self) -> StoreStatus:
        """Whether InfluxDB answers; the tables are as well as their PostgreSQL."""
        influx = self._settings.influx
        if not influx.url:
            return StoreStatus(self.name, "tables in PostgreSQL", embedded=True, healthy=True, detail="see postgres")
        return await ask(
            self.name, lambda: address_of(influx.url), lambda: open_influx(influx), no_detail, embedded=False
        )

    async def migrate(self) -> list[str]:
        """Make buckets, tasks or partitions that are missing."""
        async with opened_time_series(self._settings) as series:
            await series.ensure(utc_now())
        return []

    async def check(self) -> list[Problem]:
        """Whether the server is reached."""
        status = await self.status()
        return [] if status.healthy else [Problem(self.name, status.detail, "see that InfluxDB runs")]

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Nothing: see the class."""
        del folder, earlier, continuous
        return "nothing: measurements are no truth" if self._settings.influx.url else "with postgres"

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """Nothing: see the class."""
        del folder, until
        return None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Nothing: see the class."""
        del folder, until
        return "nothing" if self._settings.influx.url else "with postgres"
