"""Every store of the settings, opened: the embedded one where no server is named, and closed with its block.

What an embedded store needs is started. Schemas are those of `riftline stores migrate`; nothing is made here. Drivers
of servers that few name are imported where one is named: a replica that takes over is there sooner without them.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import clickhouse_at
from stores.postgres import embedded as embedded_postgres
from stores.postgres.routing import open_database
from stores.postgres.time_series import PostgresTimeSeries
from stores.redis_store import embedded as embedded_redis
from stores.redis_store.connection import open_redis
from stores.redis_store.event_log import RedisEventLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stores.postgres.pool import Pool
    from stores.redis_store.connection import RedisConnection
    from stores.roles.analytics import Analytics
    from stores.roles.event_log import EventLog
    from stores.roles.time_series import TimeSeries
    from stores.settings import (
        ClickHouseSettings,
        InfluxSettings,
        KafkaSettings,
        PostgresSettings,
        RedisSettings,
        Settings,
    )


@asynccontextmanager
async def opened_postgres(settings: PostgresSettings) -> AsyncIterator[Pool]:
    """A pool of connections to the primary, and to its replica where one is named."""
    url = settings.url or embedded_postgres.start(settings.data_dir)
    pool = await open_database(url, settings.replica_url, settings.pool_size)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def opened_redis(settings: RedisSettings) -> AsyncIterator[RedisConnection]:
    """A single node or a cluster."""
    connection = await open_redis(settings.url or embedded_redis.start(settings.data_dir))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened_analytics(settings: Settings) -> AsyncIterator[Analytics]:
    """Recording works while the server is away; the embedded engine belongs to one process."""
    async with analytics_at(settings.clickhouse) as analytics:
        yield analytics


@asynccontextmanager
async def analytics_at(settings: ClickHouseSettings) -> AsyncIterator[Analytics]:
    """As `opened_analytics`."""
    connection = clickhouse_at(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        analytics = await open_analytics(connection, settings.spill_dir)
        stack.push_async_callback(analytics.close)
        yield analytics


@asynccontextmanager
async def opened_time_series(settings: Settings) -> AsyncIterator[TimeSeries]:
    """InfluxDB where one is named, else PostgreSQL."""
    async with AsyncExitStack() as stack:
        series: TimeSeries
        if settings.influx.url:
            series = await stack.enter_async_context(influx_at(settings.influx))
        else:
            series = PostgresTimeSeries(await stack.enter_async_context(opened_postgres(settings.postgres)))
        stack.push_async_callback(series.close)
        yield series


@asynccontextmanager
async def influx_at(settings: InfluxSettings) -> AsyncIterator[TimeSeries]:
    """The InfluxDB that the settings name. Who leaves the block by an error does not wait for what is not written."""
    from stores.influx.connection import open_influx  # noqa: PLC0415  # see above
    from stores.influx.time_series import InfluxTimeSeries  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        connection = await open_influx(settings)
        stack.push_async_callback(connection.close)
        series = InfluxTimeSeries(connection)
        yield series
        await series.close()


@asynccontextmanager
async def opened_event_log(settings: Settings) -> AsyncIterator[EventLog]:
    """Kafka where brokers are named, else Redis Streams: on a cluster with one replica behind each answer."""
    async with event_log_at(settings.kafka, settings.redis) as log:
        yield log


@asynccontextmanager
async def event_log_at(kafka: KafkaSettings, redis: RedisSettings) -> AsyncIterator[EventLog]:
    """As `opened_event_log`."""
    async with AsyncExitStack() as stack:
        log: EventLog
        if kafka.bootstrap_servers:
            from stores.kafka_log.connection import open_kafka  # noqa: PLC0415  # see above
            from stores.kafka_log.event_log import KafkaEventLog  # noqa: PLC0415

            brokers = await open_kafka(kafka.bootstrap_servers)
            stack.push_async_callback(brokers.close)
            log = KafkaEventLog(brokers)
        else:
            server = await stack.enter_async_context(opened_redis(redis))
            log = RedisEventLog(server, replicas=int(server.is_cluster))
        stack.push_async_callback(log.close)
        yield log
