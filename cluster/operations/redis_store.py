"""Redis for its operator: the embedded server, a single node or a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus, ask
from stores.errors import TransientError
from stores.redis_store import backup, embedded
from stores.redis_store.connection import address_of, open_redis

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from stores.redis_store.connection import RedisConnection
    from stores.settings import RedisSettings


class OperatedRedis:
    """Redis. It is never the only copy of anything, except for the event log in the embedded server, which is saved."""

    name = "redis"

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._embedded = not settings.url

    async def status(self) -> StoreStatus:
        """Whether it answers, and as what."""
        url = self._settings.url or embedded.running_url(self._settings.data_dir)
        if url is None:
            address = f"Redis in {self._settings.data_dir}"
            return StoreStatus(self.name, address, embedded=True, healthy=False, detail="stopped")
        return await ask(self.name, self._address, lambda: open_redis(url), _kind, embedded=self._embedded)

    async def migrate(self) -> list[str]:
        """Start the embedded server; keys need no schema."""
        if self._embedded:
            embedded.start(self._settings.data_dir)
        return []

    async def check(self) -> list[Problem]:
        """Whether it answers, and what its server says of its own disk and memory."""
        url = self._settings.url or embedded.running_url(self._settings.data_dir)
        if url is None:
            raise TransientError(f"the Redis in {self._settings.data_dir} does not run; start it by `riftline up`")
        connection = await open_redis(url)
        try:
            await connection.ping()
        finally:
            await connection.close()
        return []

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Copy the embedded server's log of writes."""
        del earlier, continuous  # a cache has no past worth keeping, and the event log is its own
        if not self._embedded:
            return "nothing: a server by URL keeps its own files, and Riftline can lose its keys"
        await asyncio.to_thread(backup.copy_log, self._settings.data_dir, folder)
        return "the log of writes"

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """A log of writes that is there already."""
        del folder, until
        held = self._embedded and (self._settings.data_dir / backup.LOG_DIR).exists()
        return f"{self._settings.data_dir} holds data; move it away before restoring over it" if held else None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Start the embedded server from the copy."""
        del until
        if not self._embedded or not (folder / backup.LOG_DIR).exists():
            return "nothing"
        backup.restore_log(folder, self._settings.data_dir)
        return "the log of writes"

    def _address(self) -> str:
        return f"Redis in {self._settings.data_dir}" if self._embedded else address_of(self._settings.url)


async def _kind(connection: RedisConnection) -> str:
    return "a cluster" if connection.is_cluster else "a single node"
