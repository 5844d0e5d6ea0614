"""The event log for its operator: Kafka, or streams in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.operations.operated import Problem, StoreStatus, ask, no_detail
from stores.kafka_log.connection import address_of, open_kafka
from stores.open_stores import opened_event_log

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from stores.settings import Settings


class OperatedEventLog:
    """The event log. Kafka keeps its own copies; the embedded log is saved with Redis."""

    name = "event-log"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = settings.kafka.bootstrap_servers

    async def status(self) -> StoreStatus:
        """Whether the brokers answer; the embedded log is as well as its Redis."""
        if not self._servers:
            return StoreStatus(self.name, "streams in Redis", embedded=True, healthy=True, detail="see redis")
        return await ask(
            self.name, lambda: address_of(self._servers), lambda: open_kafka(self._servers), no_detail, embedded=False
        )

    async def migrate(self) -> list[str]:
        """Make the topics that are missing."""
        async with opened_event_log(self._settings) as log:
            await log.ensure_topics()
        return []

    async def check(self) -> list[Problem]:
        """Whether the log is reached and keeps what it acknowledges."""
        await self.migrate()  # raises for topics and servers that break the log's promises
        return []

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Nothing: see the class."""
        del folder, earlier, continuous
        return "nothing: Kafka keeps its own copies" if self._servers else "with redis"

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """Nothing: see the class."""
        del folder, until
        return None

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Nothing: see the class."""
        del folder, until
        return "nothing" if self._servers else "with redis"
