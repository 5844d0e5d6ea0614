"""ClickHouse for its operator: a server over HTTP, or its engine in this process."""

from __future__ import annotations

import shutil
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus
from stores.clickhouse.connection import address_of, open_clickhouse
from stores.clickhouse.migrate import migrate
from stores.errors import ConflictError, RiftlineError, TransientError
from stores.folder_lock import FolderLock
from stores.spill import holds_segments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.settings import ClickHouseSettings

ENGINE, JOURNALS = "engine", "spill"


class OperatedClickHouse:
    """ClickHouse. The embedded engine belongs to one process: while another has it, it is as well as that process."""

    name = "clickhouse"

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._embedded = not settings.url

    async def status(self) -> StoreStatus:
        """Whether it answers, and whether rows wait for it."""
        address = f"ClickHouse in {self._settings.data_dir}" if self._embedded else address_of(self._settings.url)
        waiting = "rows wait in the journal" if self._journals() else ""
        if self._embedded and not self._settings.data_dir.exists():
            return StoreStatus(self.name, address, embedded=True, healthy=True, detail="not made yet")
        begun = time.perf_counter()
        try:
            async with self._connection():
                pass
        except ConflictError:
            return StoreStatus(self.name, address, embedded=True, healthy=True, detail="used by another process")
        except RiftlineError as error:
            return StoreStatus(self.name, address, self._embedded, healthy=False, detail=str(error))
        latency_ms = (time.perf_counter() - begun) * 1e3
        return StoreStatus(self.name, address, self._embedded, healthy=True, detail=waiting, latency_ms=latency_ms)

    async def migrate(self) -> list[str]:
        """Apply pending migrations."""
        async with self._connection() as connection:
            return await migrate(connection)

    async def check(self) -> list[Problem]:
        """Whether it answers; what its server refused."""
        refused = [*self._settings.spill_dir.glob("*/refused*")] if self._settings.spill_dir.exists() else []
        problems = [Problem(self.name, f"{file} was refused by the server", "look into it") for file in refused]
        status = await self.status()
        if not status.healthy:
            problems.append(Problem(self.name, status.detail, "see that ClickHouse runs"))
        return problems

    async def backup(self, folder: Path, *, continuous: bool) -> str:
        """Copy the embedded engine's folder while nothing uses it, and the rows that wait."""
        del continuous
        if not self._embedded:
            return "nothing: save the server by its own BACKUP"
        if not self._settings.data_dir.exists():
            return "nothing: not made yet"
        lock = FolderLock.acquire(self._settings.data_dir, "the embedded ClickHouse", "end what uses it first")
        try:
            _copy(self._settings.data_dir / ENGINE, folder / ENGINE)
            _copy(self._settings.spill_dir, folder / JOURNALS)
        finally:
            lock.release()
        return "the engine's folder and the rows that wait"

    async def held(self) -> str | None:
        """The embedded engine's folder, or rows that wait."""
        for place in (self._settings.data_dir / ENGINE, self._settings.spill_dir) if self._embedded else ():
            if place.exists() and any(place.iterdir()):
                return f"{place} holds data"
        return None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Put the copies in the place of empty folders."""
        del until
        if not self._embedded or not (folder / ENGINE).exists():
            return "nothing"
        _copy(folder / ENGINE, self._settings.data_dir / ENGINE)
        if (folder / JOURNALS).exists():
            _copy(folder / JOURNALS, self._settings.spill_dir)
        return "the engine's folder and the rows that waited"

    def _journals(self) -> bool:
        folder = self._settings.spill_dir
        return folder.exists() and any(holds_segments(slot) for slot in folder.iterdir() if slot.is_dir())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[ClickHouseConnection]:
        connection = await open_clickhouse(self._settings)
        try:
            yield connection
        finally:
            await connection.close()


def _copy(source: Path, target: Path) -> None:
    """Copy a folder beside its place and rename it."""
    if not source.exists():
        return
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(source, draft, symlinks=True)
    except (OSError, shutil.Error) as error:
        raise TransientError(f"{source} could not be copied: {error}") from error
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
