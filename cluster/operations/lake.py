"""The lake for its operator: any catalog and warehouse."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cluster.operations.operated import Problem, StoreStatus
from stores.errors import RiftlineError
from stores.features.tables import ALL_TABLES
from stores.lake import backup
from stores.lake.catalog import IcebergLake

if TYPE_CHECKING:
    from datetime import datetime

    from stores.settings import LakeSettings


class OperatedLake:
    """The lake. A backup holds which state every table is in, and the files of a local warehouse."""

    name = "lake"

    def __init__(self, settings: LakeSettings) -> None:
        self._settings = settings
        self._embedded = settings.catalog_uri.startswith("sqlite:") and settings.warehouse.startswith("file:")

    async def status(self) -> StoreStatus:
        """Whether catalog and warehouse answer."""
        if self._embedded and not self._made():
            return StoreStatus(self.name, self._settings.warehouse, embedded=True, healthy=True, detail="not made yet")
        begun = time.perf_counter()
        try:
            address = await asyncio.to_thread(self._ping)
        except RiftlineError as error:
            return StoreStatus(self.name, self._settings.warehouse, self._embedded, healthy=False, detail=str(error))
        latency_ms = (time.perf_counter() - begun) * 1e3
        return StoreStatus(self.name, address, self._embedded, healthy=True, detail="", latency_ms=latency_ms)

    async def migrate(self) -> list[str]:
        """Make the tables that are missing and evolve the others."""
        await asyncio.to_thread(self._ensure)
        return []

    async def check(self) -> list[Problem]:
        """Whether every file that the tables need is there."""
        missing = await asyncio.to_thread(backup.missing_files, self._settings)
        return [Problem(self.name, f"{file} is missing", "riftline stores restore") for file in missing]

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Save the tables' states and a local warehouse."""
        del continuous  # each snapshot stays readable: a backup holds the past as well
        tables = await asyncio.to_thread(backup.save, self._settings, folder, earlier)
        local = self._settings.warehouse.startswith("file:")
        return f"{tables} tables" + ("" if local else "; their files stay in the bucket")

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """Tables in the catalog, files in a local warehouse, or a backup of another warehouse."""
        del until
        return await asyncio.to_thread(backup.obstacle, self._settings, folder)

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Bring the tables back into an empty catalog."""
        del until  # snapshots hold every moment
        return f"{await asyncio.to_thread(backup.restore, self._settings, folder)} tables"

    def _made(self) -> bool:
        return Path(urlsplit(self._settings.catalog_uri).path[1:]).exists()

    def _ping(self) -> str:
        lake = IcebergLake(self._settings, retry_within_s=0)
        try:
            lake.ping()
            return lake.address
        finally:
            lake.close()

    def _ensure(self) -> None:
        lake = IcebergLake(self._settings)
        try:
            lake.ensure(ALL_TABLES)
        finally:
            lake.close()
