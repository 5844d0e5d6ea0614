"""Every implementation of the event log: a real Kafka, one Valkey, a cluster of six. One server each per session."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest

from stores.domain.events import LiveEventKind, LiveMatchEvent
from stores.domain.time_ids import new_time_id
from stores.kafka_log.connection import KafkaConnection, open_kafka
from stores.kafka_log.event_log import KafkaEventLog
from stores.redis_store.connection import open_redis
from stores.redis_store.event_log import RedisEventLog
from tests.servers.kafka import KafkaServer
from tests.servers.need import needed
from tests.servers.redis import RedisClusterServers, RedisServer, valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stores.roles.connection import Connection
    from stores.roles.event_log import EventLog

KAFKA, STREAMS, CLUSTER = "kafka", "redis-streams", "redis-streams-cluster"
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SESSION_S = 1.5


class Server(Protocol):
    """What the fault tests do to a server."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@dataclass(frozen=True)
class Implementation:
    """One kind of server and how a log on it is opened."""

    name: str
    server: Server
    url: str

    async def open(self, prefix: str, deadline_s: float = 20.0) -> tuple[Connection, EventLog]:
        """A connection and a log of its own on it."""
        if self.name == KAFKA:
            kafka = await open_kafka(self.url, deadline_s=deadline_s)
            return kafka, KafkaEventLog(kafka, prefix, SESSION_S)
        redis = await open_redis(self.url, deadline_s=min(deadline_s, 2.0))
        replicas = 1 if self.name == CLUSTER else 0
        return redis, RedisEventLog(redis, prefix, SESSION_S, deadline_s, replicas)


def _server(name: str, folder: Path) -> Server:
    if name == KAFKA:
        return KafkaServer(folder)
    return RedisClusterServers(valkey(), folder) if name == CLUSTER else RedisServer(valkey(), folder)


@pytest.fixture(scope="session", params=[KAFKA, STREAMS, CLUSTER])
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of the implementation; its server starts with `served`."""
    return str(request.param)


@pytest.fixture(scope="session")
def served(implementation: str) -> Iterator[Implementation]:
    """The implementation with its running server."""
    folder = Path(tempfile.mkdtemp(prefix="rift-log-", dir="/tmp"))
    try:
        with needed():
            server = _server(implementation, folder)
        try:
            server.start()
            yield Implementation(implementation, server, server.url)
        finally:
            server.resume()
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def prefix() -> str:
    """What stands before the names of this test's topics and groups."""
    return f"t{uuid4().hex[:12]}."


@dataclass
class Opened:
    """Opens logs and consumers of one test; all are closed at its end."""

    served: Implementation
    prefix: str
    stack: AsyncExitStack

    async def log(self, **options: Any) -> EventLog:
        """One more log over the same topics, as another process would have."""
        connection, log = await self.served.open(self.prefix, **options)
        self.stack.push_async_callback(connection.close)
        return log

    async def consumer(self, log: EventLog, group: str = "group", *topics: str) -> Any:
        """One more member of a group."""
        consumer = await log.consumer(group, topics or ("live-matches",))
        self.stack.push_async_callback(consumer.close)
        return consumer


@pytest.fixture
async def opened(served: Implementation, prefix: str) -> AsyncIterator[Opened]:
    """Makes logs and consumers."""
    async with AsyncExitStack() as stack:
        yield Opened(served, prefix, stack)
    if served.name == KAFKA:
        await asyncio.to_thread(_delete_topics, served.url, prefix)


def _delete_topics(url: str, prefix: str) -> None:
    """A broker with the topics of all tests needs half a minute to recover from each kill."""
    admin = KafkaConnection(url, 20.0).admin()
    try:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith(prefix)], raise_errors=False)
    finally:
        admin.close()


@pytest.fixture
async def log(opened: Opened) -> EventLog:
    """A log with fresh topics."""
    log = await opened.log()
    await log.ensure_topics()
    return log


@pytest.fixture
def event() -> Callable[..., LiveMatchEvent]:
    """Make the ``number``-th event of a match."""

    def make(match: str = "match-1", number: int = 0, **changes: Any) -> LiveMatchEvent:
        at = NOON + timedelta(seconds=number)
        values: dict[str, Any] = {
            "event_id": new_time_id(at),
            "occurred_at": at,
            "producer": "test",
            "match_id": match,
            "map_number": 1,
            "kind": LiveEventKind.CHAMPION_KILL,
            "game_time_s": float(number),
            **changes,
        }
        return LiveMatchEvent(**values)

    return make
