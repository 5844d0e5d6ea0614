"""Redis for its operator: the embedded server, a single node or a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus
from stores.errors import RiftlineError, TransientError
from stores.redis_store import backup, embedded
from stores.redis_store.connection import address_of, open_redis

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

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
        address = f"Redis in {self._settings.data_dir}" if self._embedded else address_of(self._settings.url)
        if url is None:
            return StoreStatus(self.name, address, self._embedded, healthy=False, detail="stopped")
        begun = time.perf_counter()
        try:
            connection = await open_redis(url)
            try:
                await connection.ping()
            finally:
                await connection.close()
        except RiftlineError as error:
            return StoreStatus(self.name, address, self._embedded, healthy=False, detail=str(error))
        kind = "a cluster" if connection.is_cluster else "a single node"
        latency_ms = (time.perf_counter() - begun) * 1e3
        return StoreStatus(self.name, address, self._embedded, healthy=True, detail=kind, latency_ms=latency_ms)

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

    async def backup(self, folder: Path, *, continuous: bool) -> str:
        """Copy the embedded server's log of writes."""
        del continuous  # a cache has no past worth keeping, and the event log is its own
        if not self._embedded:
            return "nothing: a server by URL keeps its own files, and Riftline can lose its keys"
        backup.copy_log(self._settings.data_dir, folder)
        return "the log of writes"

    async def held(self) -> str | None:
        """The embedded server's log of writes."""
        log = self._settings.data_dir / backup.LOG_DIR
        return f"{self._settings.data_dir} holds data" if self._embedded and log.exists() else None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Start the embedded server from the copy."""
        del until
        if not self._embedded or not (folder / backup.LOG_DIR).exists():
            return "nothing"
        backup.restore_log(folder, self._settings.data_dir)
        return "the log of writes"
