"""Events in a real Kafka broker, and in Redis Streams."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from uuid import UUID

from stores.domain.events import PlayerPerformance
from stores.domain.time_ids import moment_of
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from stores.kafka_log.connection import open_kafka
from stores.kafka_log.event_log import KafkaEventLog
from stores.redis_store.connection import open_redis
from stores.redis_store.event_log import RedisEventLog
from tests.servers.kafka import KafkaServer
from tests.servers.redis import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stores.roles.connection import Connection
    from stores.roles.event_log import EventLog
    from tests.faults.target import Writes
    from tests.servers.process import ServerProcess

TOPIC = "player-performance"


def event_of(event_id: UUID) -> PlayerPerformance:
    """An event with this id."""
    return PlayerPerformance(
        event_id=event_id,
        occurred_at=moment_of(event_id, "event_id", "an event id"),
        producer="faults",
        player_id=f"player-{event_id.int % 50}",
        player_name="Faker",
        match_id="match",
        map_number=1,
        team="T1",
        opponent="Gen.G",
        kills=1,
        deaths=2,
        assists=3,
        game_time_s=60.0,
        final=False,
    )


class _EventWrites:
    """Every id is the id of an event; a repeat would be a second record, so nothing is repeated."""

    def __init__(self, log: EventLog, connection: Connection) -> None:
        self._log = log
        self._connection = connection

    async def write(self, name: str) -> None:
        await self._log.publish(TOPIC, [event_of(UUID(name))])

    async def close(self) -> None:
        await self._log.close()
        await self._connection.close()


class _EventLogTarget(ABC):
    """What both logs have in common: an id that was published is read once."""

    at_once = 16
    resends = False

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Read every partition from its beginning to its end."""
        log, connection = await self._open(options)
        consumer = await log.consumer("faults", [TOPIC])
        codec = EventCodec(SchemaRegistry())
        names: list[str] = []
        while True:
            polled = await consumer.poll(1000, 2.0)
            names += [str(codec.decode(record).event_id) for record in polled.records]
            if not polled.records and not polled.assigned and sum((await consumer.lag()).values()) == 0:
                break
        await consumer.close()
        await log.close()
        await connection.close()
        return names

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Through the log's own publishing."""
        return _EventWrites(*await self._open(options))

    @abstractmethod
    async def _open(self, options: dict[str, str]) -> tuple[EventLog, Connection]: ...

    async def _ensure(self, options: dict[str, str]) -> None:
        log, connection = await self._open(options)
        await log.ensure_topics()
        await log.close()
        await connection.close()


class KafkaTarget(_EventLogTarget):
    """A broker in KRaft mode: the broker and the writer are killed in turns."""

    name = "kafka"
    kills_writers = True

    def __init__(self) -> None:
        self._server: KafkaServer | None = None

    def start(self, folder: Path) -> ServerProcess:
        """A fresh broker with the topics."""
        self._server = KafkaServer(folder / "kafka")
        self._server.start()
        asyncio.run(self._ensure(self.options(folder)))
        return self._server

    def options(self, folder: Path) -> dict[str, str]:
        """Its address."""
        del folder
        assert self._server
        return {"servers": self._server.url}

    def stop(self) -> None:
        """Stop the broker."""
        if self._server:
            self._server.stop()

    async def _open(self, options: dict[str, str]) -> tuple[EventLog, Connection]:
        connection = await open_kafka(options["servers"])
        return KafkaEventLog(connection), connection


class RedisStreamsTarget(_EventLogTarget):
    """The embedded server's program with its settings: the server and the writer are killed in turns."""

    name = "redis-streams"
    kills_writers = True

    def __init__(self) -> None:
        self._server: EmbeddedRedis | None = None

    def start(self, folder: Path) -> EmbeddedRedis:
        """A fresh embedded server with the topics."""
        self._server = EmbeddedRedis(folder / "redis")
        self._server.start()
        asyncio.run(self._ensure(self.options(folder)))
        return self._server

    def options(self, folder: Path) -> dict[str, str]:
        """Its address."""
        del folder
        assert self._server
        return {"url": self._server.url}

    def stop(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.stop()

    async def _open(self, options: dict[str, str]) -> tuple[EventLog, Connection]:
        connection = await open_redis(options["url"])
        return RedisEventLog(connection), connection
