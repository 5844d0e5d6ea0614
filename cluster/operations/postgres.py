"""PostgreSQL for its operator: the embedded server, or one by URL."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus, ask
from stores.clock import utc_now
from stores.errors import InvalidError, RiftlineError, TransientError
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

PENDING = "migrations pending"


class OperatedPostgres:
    """PostgreSQL. A backup is a dump of a server by URL, and a copy of the embedded one that can be continued."""

    name = "postgres"

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._embedded = not settings.url

    async def status(self) -> StoreStatus:
        """Whether primary and replica answer, the version, and what is not migrated."""
        url = self._url()
        if url is None:
            return StoreStatus(self.name, self._address(), embedded=True, healthy=False, detail="stopped")
        found = await ask(self.name, self._address, lambda: open_pool(url, 1), _described, embedded=self._embedded)
        if not found.healthy or not self._settings.replica_url:
            return replace(found, healthy=found.healthy and PENDING not in found.detail)
        replica = await ask(
            self.name,
            lambda: address_of(self._settings.replica_url),
            lambda: open_pool(self._settings.replica_url, 1),
            soundness.version,
            embedded=False,
        )
        detail = f"{found.detail}; replica {replica.address}: {replica.detail}"
        return replace(found, detail=detail, healthy=replica.healthy and PENDING not in found.detail)

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

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Copy the embedded server, or dump another one."""
        del earlier  # a copy is whole by itself
        if not self._embedded:
            await backup.check_direct(self._settings.direct_url)
            await asyncio.to_thread(backup.dump, self._settings.direct_url, folder)
            return "a dump; its server's own archive gives later moments" if continuous else "a dump"
        data_dir = self._settings.data_dir
        archived = await backup.archiving_to(data_dir)
        if continuous:
            await backup.archive_to(data_dir, folder)
        try:
            await asyncio.to_thread(backup.copy_base, data_dir, folder)
        except RiftlineError:
            await backup.archive_by(data_dir, archived)  # the earlier backup goes on
            raise
        return "a copy, and its log from now on" if continuous else "a copy"

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """A data folder or tables that are there, a dump without later moments, a damaged copy."""
        if not self._embedded:
            if until is not None or not (folder / backup.DUMP).exists():
                raise InvalidError(f"{folder} is {'a dump: it has one moment' if until else 'no dump'}", "until")
            async with self._pool() as pool:
                tables = await soundness.tables(pool)
            return f"{pool.address} holds {len(tables)} tables; give an empty database" if tables else None
        if not (folder / backup.BASE).is_dir():
            raise InvalidError(f"{folder} is no copy of an embedded server; set RIFTLINE_DATABASE_URL", "folder")
        await asyncio.to_thread(backup.verify_base, folder)
        if until is not None and not (folder / backup.WAL).is_dir():
            raise InvalidError(f"{folder} has no archived log; only its own moment can be restored", "until")
        full = _full(self._settings.data_dir)
        return f"{self._settings.data_dir} holds a database; move it away before restoring over it" if full else None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Load the dump, or start the embedded server from the copy."""
        if self._embedded:
            await backup.restore_base(folder, self._settings.data_dir, until)
            return f"all until {until}" if until else "all"
        await asyncio.to_thread(backup.load, self._settings.direct_url, folder)
        return "the dump"

    def _address(self) -> str:
        return f"PostgreSQL in {self._settings.data_dir}" if self._embedded else address_of(self._settings.url)

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


async def stop_archiving_into(settings: PostgresSettings, folder: Path) -> None:
    """Archive the embedded server's log no longer, if that goes into ``folder``, which is about to be removed."""
    if not settings.url and str(folder) in await backup.archiving_to(settings.data_dir):
        await backup.archive_by(settings.data_dir, backup.NOTHING_ARCHIVED)


async def _described(pool: Pool) -> str:
    version, pending = await soundness.version(pool), await soundness.pending(pool)
    return f"{version}, {len(pending)} {PENDING}" if pending else version


def _full(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())
