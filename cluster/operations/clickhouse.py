"""ClickHouse for its operator: a server over HTTP, or its engine in this process."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus, ask, no_detail
from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import address_of, open_clickhouse
from stores.clickhouse.migrate import migrate
from stores.errors import ConflictError
from stores.folder_lock import FolderLock
from stores.journal.segment_files import holds_segments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.settings import ClickHouseSettings

ENGINE, JOURNALS = "engine", "spill"
REFUSED, CORRUPT = "*/*.refused", "*/*.corrupt"  # of the journals
STATUS_DEADLINE_S = 5.0  # an operator waits


class OperatedClickHouse:
    """ClickHouse. The embedded engine belongs to one process: while another has it, it is as well as that process."""

    name = "clickhouse"

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._embedded = not settings.url

    async def status(self) -> StoreStatus:
        """Whether it answers, and whether rows wait for it. The embedded engine is not started for the question."""
        waiting = "rows wait in the journal" if self._journals() else ""
        if self._embedded:
            address = f"ClickHouse in {self._settings.data_dir}"
            made = (self._settings.data_dir / ENGINE).exists()
            detail = ", ".join(filter(None, ["" if made else "not made yet", waiting]))
            return StoreStatus(self.name, address, embedded=True, healthy=True, detail=detail)
        found = await ask(
            self.name,
            lambda: address_of(self._settings.url),
            lambda: open_clickhouse(self._settings, deadline_s=STATUS_DEADLINE_S),
            no_detail,
            embedded=False,
        )
        return replace(found, detail=", ".join(filter(None, [found.detail, waiting])))

    async def migrate(self) -> list[str]:
        """Apply pending migrations, and send again what an older schema refused."""
        async with self._connection() as connection:
            done = await migrate(connection)
            if [*self._settings.spill_dir.glob(REFUSED)]:
                analytics = await open_analytics(connection, self._settings.spill_dir)
                try:
                    done.append(f"refused rows were sent again, {await analytics.redeliver()} are still refused")
                finally:
                    await analytics.close()
            return done

    async def check(self) -> list[Problem]:
        """Whether it answers; what its server refused or a disk has damaged."""
        files = [file for pattern in (REFUSED, CORRUPT) for file in self._settings.spill_dir.glob(pattern)]
        problems = [
            Problem(
                self.name,
                f"{file} was set aside",
                "riftline stores migrate sends refused rows again; then look into it",
            )
            for file in files
        ]
        status = await self.status()
        if not status.healthy:
            problems.append(Problem(self.name, status.detail, "see that ClickHouse runs"))
        return problems

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Copy the rows that wait, and the embedded engine's folder while no process uses it."""
        del earlier, continuous
        _copy(self._settings.spill_dir, folder / JOURNALS)
        if not self._embedded:
            return "the rows that wait; save the server by its own BACKUP"
        if not (self._settings.data_dir / ENGINE).exists():
            return "the rows that wait; the engine was not made yet"
        try:
            lock = FolderLock.acquire(self._settings.data_dir, "the embedded ClickHouse", "end what uses it first")
        except ConflictError as error:
            return f"the rows that wait; not the engine: {error}"
        try:
            _copy(self._settings.data_dir / ENGINE, folder / ENGINE)
        finally:
            lock.release()
        return "the engine's folder and the rows that wait"

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """The embedded engine's folder, or rows that wait, where the backup holds some."""
        del until
        for name, place in ((ENGINE, self._settings.data_dir / ENGINE), (JOURNALS, self._settings.spill_dir)):
            if (folder / name).exists() and place.exists() and any(place.iterdir()):
                return f"{place} holds data; move it away before restoring over it"
        return None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Put the copies in the place of empty folders."""
        del until
        if self._embedded:
            _copy(folder / ENGINE, self._settings.data_dir / ENGINE)
        _copy(folder / JOURNALS, self._settings.spill_dir)
        return "what was saved of it"

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
    shutil.copytree(source, draft, symlinks=True)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
