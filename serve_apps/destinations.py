"""Where answers go after they are given. PostgreSQL is always there, the others where their servers are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from stores.domain.analytics import PredictionEvent
from stores.domain.events import PredictionRequested
from stores.open_stores import analytics_at, event_log_at
from stores.postgres import api_usage, prediction_copy
from stores.postgres.copying import CopiedRows, insert_once
from stores.postgres.prediction_copy import decode
from stores.settings import ClickHouseSettings, InfluxSettings, KafkaSettings, RedisSettings  # pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool
    from stores.roles.analytics import Analytics
    from stores.roles.event_log import EventLog

T = TypeVar("T")

TOPIC = "prediction-requests"
PREDICTION, CALL = b"P", b"C"  # the first byte of a record; the rest is the row as PostgreSQL copies it
POSTGRES, ANALYTICS, EVENTS = "postgres", "analytics", "events"
MAX_EVENTS = 1000  # of one call


@dataclass(frozen=True, slots=True)
class Destinations:
    """The folder of the journals, which no two machines share, and the servers.

    Analytics and events are sent only where a server of theirs is named by URL: the embedded ClickHouse belongs to one
    process, which is none of the replicas, and the embedded Redis is no log that others read.
    """

    journal_dir: Path
    clickhouse: ClickHouseSettings | None = None
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    redis: RedisSettings = field(default_factory=lambda: RedisSettings(Path("redis")))
    influx: InfluxSettings = field(default_factory=InfluxSettings)


class Destination(Protocol):
    """Takes segments of the journal, each perhaps more than once."""

    name: str

    async def deliver(self, records: Sequence[bytes]) -> None:
        """Take them all, durably. Raises InvalidError when one is refused for good; any other error is repeated."""
        ...


class ToPostgres:
    """Predictions and calls, as the bytes that the journal holds."""

    name = POSTGRES

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def deliver(self, records: Sequence[bytes]) -> None:
        """All in one transaction; what is known is left as it is."""
        predictions, calls = rows_of(records, PREDICTION), rows_of(records, CALL)
        batches = [CopiedRows(prediction_copy.TABLE, prediction_copy.COLUMNS, predictions)] if predictions else []
        if calls:
            batches.append(CopiedRows(api_usage.TABLE, api_usage.COLUMNS, calls))
        await insert_once(self._pool, batches)


class ToAnalytics:
    """Predictions, counted once by their ids."""

    name = ANALYTICS

    def __init__(self, analytics: Callable[[], Awaitable[Analytics]]) -> None:
        self._analytics = analytics

    async def deliver(self, records: Sequence[bytes]) -> None:
        """In one call."""
        rows = rows_of(records, PREDICTION)
        if rows:
            await (await self._analytics()).record_predictions([PredictionEvent.of(decode(row)) for row in rows])


class ToEvents:
    """Predictions as events whose ids are those of the predictions: a reader knows a repeat."""

    name = EVENTS

    def __init__(self, log: Callable[[], Awaitable[EventLog]]) -> None:
        self._log = log

    async def deliver(self, records: Sequence[bytes]) -> None:
        """In order."""
        rows = rows_of(records, PREDICTION)
        for start in range(0, len(rows), MAX_EVENTS):
            events = [requested(decode(row)) for row in rows[start : start + MAX_EVENTS]]
            await (await self._log()).publish(TOPIC, events)


class OpenedAtFirstUse(Generic[T]):
    """A server that need not be there when a replica starts. What fails to open is tried again by the next call."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[T]], stack: AsyncExitStack) -> None:
        self._opened = opened
        self._stack = stack
        self._found: T | None = None

    async def __call__(self) -> T:
        if self._found is None:
            self._found = await self._stack.enter_async_context(self._opened())
        return self._found


def destinations_of(settings: Destinations, pool: Pool, stack: AsyncExitStack) -> list[Destination]:
    """PostgreSQL first, then those whose servers are named. ``stack`` closes what they open."""
    found: list[Destination] = [ToPostgres(pool)]
    clickhouse, redis = settings.clickhouse, settings.redis
    if clickhouse is not None and clickhouse.url:
        found.append(ToAnalytics(OpenedAtFirstUse(partial(analytics_at, clickhouse), stack)))
    if settings.kafka.bootstrap_servers or redis.url:
        found.append(ToEvents(OpenedAtFirstUse(partial(event_log_at, settings.kafka, redis), stack)))
    return found


def rows_of(records: Sequence[bytes], kind: bytes) -> list[bytes]:
    """The rows of the records of this kind."""
    return [record[1:] for record in records if record.startswith(kind)]


def requested(record: PredictionRecord) -> PredictionRequested:
    """The event that tells of this answer."""
    request = record.request
    return PredictionRequested(
        event_id=record.prediction_id,
        occurred_at=record.created_at,
        producer="gateway",
        prediction_id=record.prediction_id,
        player_names=request.player_names,
        prop_type=request.prop_type,
        prop_value=request.prop_value,
        map_range=request.map_range,
        prediction=record.prediction,
        confidence=record.confidence,
        model_version=record.model_version,
        feature_version=record.feature_version,
        lake_snapshot_id=record.lake_snapshot_id,
        cache_hit=record.cache_hit,
        user_id=record.user_id,
    )
