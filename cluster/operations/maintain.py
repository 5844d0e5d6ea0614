"""The upkeep of all stores at once, as a schedule or an operator asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stores.clock import utc_now
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import IcebergLake
from stores.maintenance import maintain_database, maintain_lake, snapshots_in_use
from stores.open_stores import opened_postgres, opened_time_series
from stores.postgres.models import PostgresModelRegistry

if TYPE_CHECKING:
    from cluster.local import Steps
    from stores.settings import Settings


async def maintain_all(settings: Settings, steps: Steps) -> dict[str, list[str]]:
    """Roll up, fold, drop, join, expire and tidy; what was done, by store. May be repeated and cut short."""
    now = utc_now()
    done = {}
    lake = IcebergLake(settings.lake)
    try:
        async with opened_postgres(settings.postgres) as pool:
            steps.begin("postgres")
            done["postgres"] = await maintain_database(pool, now)
            keep = await snapshots_in_use(PostgresModelRegistry(pool), lake)
        if settings.influx.url:
            steps.begin("time-series")
            async with opened_time_series(settings) as series:
                await series.downsample(now)
            done["time-series"] = ["folded what the server's own tasks missed"]
        steps.begin("lake")
        done["lake"] = await asyncio.to_thread(maintain_lake, lake, ALL_TABLES, keep, now)
    finally:
        lake.close()
    return done
