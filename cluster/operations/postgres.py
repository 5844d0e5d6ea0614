"""PostgreSQL for its operator: the embedded server, or one by URL."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus
from stores.clock import utc_now
from stores.errors import RiftlineError, TransientError
from stores.postgres import backup, embedded, soundness
from stores.postgres.migrate import migrate
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import address_of, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from stores.postgres.pool import Pool
    from stores.settings import PostgresSettings


class OperatedPostgres:
    """PostgreSQL. A backup is a dump of a server by URL, and a copy of the embedded one that can be continued."""

    name = "postgres"

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._embedded = not settings.url

    async def status(self) -> StoreStatus:
        """Whether it answers, its version, and what is not migrated."""
        url = self._url()
        address = f"PostgreSQL in {self._settings.data_dir}" if self._embedded else address_of(self._settings.url)
        if url is None:
            return StoreStatus(self.name, address, self._embedded, healthy=False, detail="stopped")
        begun = time.perf_counter()
        try:
            async with self._pool() as pool:
                version, pending = await soundness.version(pool), await soundness.pending(pool)
        except RiftlineError as error:
            return StoreStatus(self.name, address, self._embedded, healthy=False, detail=str(error))
        detail = f"{version}, {len(pending)} migrations pending" if pending else version
        latency_ms = (time.perf_counter() - begun) * 1e3
        return StoreStatus(self.name, address, self._embedded, not pending, detail, latency_ms)

    async def migrate(self) -> list[str]:
        """Apply pending migrations and make the partitions that are missing."""
        if self._embedded:
            embedded.start(self._settings.data_dir)
        async with self._pool() as pool:
            done = await migrate(pool)
            partitions = await ensure_partitions(pool, utc_now())
        return done + ([f"{len(partitions)} partitions"] if partitions else [])

    async def check(self) -> list[Problem]:
        """Pending migrations, invalid indexes, damaged pages, an archive that fails."""
        async with self._pool() as pool:
            return [Problem(self.name, problem, remedy) for problem, remedy in await soundness.faults(pool)]

    async def backup(self, folder: Path, *, continuous: bool) -> str:
        """Copy the embedded server, or dump another one."""
        if not self._embedded:
            backup.dump(self._settings.url, folder)
            return "a dump; its server's own archive gives later moments" if continuous else "a dump"
        if continuous:
            await backup.archive_to(self._settings.data_dir, folder)
        backup.copy_base(self._settings.data_dir, folder)
        return "a copy, and its log from now on" if continuous else "a copy"

    async def held(self) -> str | None:
        """A data folder, or tables."""
        if self._embedded:
            return f"{self._settings.data_dir} holds a database" if _full(self._settings.data_dir) else None
        async with self._pool() as pool:
            tables = await soundness.tables(pool)
        return f"{pool.address} holds {len(tables)} tables" if tables else None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Load the dump, or start the embedded server from the copy."""
        if self._embedded:
            await backup.restore_base(folder, self._settings.data_dir, until)
            return f"all until {until}" if until else "all"
        await backup.load(self._settings.url, folder)
        return "the dump"

    def _url(self) -> str | None:
        return self._settings.url or embedded.running_url(self._settings.data_dir)

    @asynccontextmanager
    async def _pool(self) -> AsyncIterator[Pool]:
        url = self._url()
        if url is None:
            raise TransientError(f"the PostgreSQL in {self._settings.data_dir} does not run; start it by `riftline up`")
        pool = await open_pool(url, 1)
        try:
            yield pool
        finally:
            await pool.close()


def _full(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())
