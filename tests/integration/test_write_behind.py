"""Answers behind the journal into a real PostgreSQL: read back at once from anywhere, there once whatever is killed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from serve_apps.destinations import TOPIC, Destinations, requested
from serve_apps.write_behind import encoded, opened_write_behind
from stores.clock import utc_now
from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.time_ids import new_time_id
from stores.domain.usage import ApiCall
from stores.errors import TransientError
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from stores.open_stores import event_log_at
from stores.postgres.api_usage import PostgresApiUsage
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from stores.settings import KafkaSettings, RedisSettings
from tests.examples import a_prediction
from tests.servers.need import needed
from tests.servers.postgres import Postgres
from tests.servers.redis import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stores.domain.events import Event
    from stores.postgres.pool import Pool

ROOT = Path(__file__).resolve().parents[2]
USER = UUID(int=7)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A gateway's pool."""
    pool = await open_pool(database, 4)
    yield pool
    await pool.close()


async def test_an_answer_is_found_right_after_it_was_given(pool: Pool, database: str, tmp_path: Path) -> None:
    """By another replica too, and to the bit; its outcome can be told at once; the call is counted."""
    other = await open_pool(database, 2)
    record = a_prediction(user_id=USER)
    outcome = Feedback(
        prediction_id=record.prediction_id,
        source=FeedbackSource.MANUAL,
        actual_result=ActualResult.OVER,
        given_at=utc_now(),
    )
    async with opened_write_behind(Destinations(tmp_path), pool) as behind:
        await behind.add([encoded(record)])
        call = ApiCall(usage_id=new_time_id(utc_now()), endpoint="/", http_method="GET", status_code=200, user_id=USER)
        behind.note_calls([call])
        found, said = await asyncio.gather(
            PostgresPredictions(other).get(record.prediction_id), PostgresFeedback(other).record_many([outcome])
        )
        assert found == record
        assert said == [None]
        await behind.flush(20)
        today = utc_now().date()
        assert sum(day.requests for day in await PostgresApiUsage(other).daily(USER, today, today)) == 1
        assert behind.status().bytes_held == 0
    await other.close()


GATEWAY = """
import asyncio, sys
from pathlib import Path
from serve_apps.destinations import Destinations
from serve_apps.write_behind import encoded, opened_write_behind
from stores.postgres.pool import open_pool
from tests.examples import a_prediction

async def main():
    pool = await open_pool(sys.argv[1], 2)
    async with opened_write_behind(Destinations(Path(sys.argv[2])), pool) as behind:
        async def answer():
            while True:
                record = a_prediction()
                await behind.add([encoded(record)])
                print(record.prediction_id, flush=True)
        await asyncio.gather(*(answer() for _ in range(16)))

asyncio.run(main())
"""


async def test_the_answers_of_a_killed_gateway_are_delivered_by_another(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    """Whatever it had told a client is found at once, though it was killed before its database had it."""
    async with opened_write_behind(Destinations(tmp_path), pool) as living:
        killed = subprocess.Popen(  # noqa: ASYNC220  # starts at once
            [sys.executable, "-c", GATEWAY, database, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert killed.stdout
        told = [await asyncio.to_thread(killed.stdout.readline) for _ in range(200)]
        killed.send_signal(signal.SIGKILL)
        told += await asyncio.to_thread(killed.stdout.readlines)
        killed.wait()
        ids = [UUID(line.strip()) for line in told if line.endswith("\n")]
        store = PostgresPredictions(pool)
        assert (await store.get(ids[-1])).prediction_id == ids[-1]
        assert [(await store.get(one)).prediction_id for one in ids] == ids
        assert await store.count() >= len(ids)
        assert living.status().bytes_held == 0


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A durable server that the test may kill."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    with needed():
        server = Postgres(home / "pg")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


async def test_answers_go_on_while_the_database_is_away(own_server: Postgres, tmp_path: Path) -> None:
    """None waits and none fails; once it is back, it has each of them once, without anything being restarted."""
    pool = await open_pool(own_server.url, 2)
    await migrate(pool)
    records = [a_prediction() for _ in range(300)]
    async with opened_write_behind(Destinations(tmp_path), pool) as behind:
        await asyncio.gather(*(behind.add([encoded(record)]) for record in records[:100]))
        await asyncio.to_thread(own_server.kill)
        await asyncio.gather(*(behind.add([encoded(record)]) for record in records[100:200]))
        with pytest.raises(TransientError):
            await behind.flush(0.3)
        assert behind.status().away == ("postgres",)
        await behind.add(list(map(encoded, records[200:])))
        await asyncio.to_thread(own_server.start)
        await behind.flush(60)
        assert behind.status().away == ()
        store = PostgresPredictions(pool)
        assert await store.count() == 300
        assert [await store.get(record.prediction_id) for record in records[::50]] == records[::50]
    await pool.close()


async def test_an_answer_is_told_to_the_event_log_and_to_postgres(pool: Pool, tmp_path: Path) -> None:
    """Each prediction is one event with the prediction's id, in the log of a server that is named."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    server = EmbeddedRedis(home / "redis")
    server.start()
    try:
        redis = RedisSettings(home, server.url)
        async with event_log_at(KafkaSettings(), redis) as log:
            await log.ensure_topics()
            records = [a_prediction() for _ in range(50)]
            async with opened_write_behind(Destinations(tmp_path, redis=redis), pool) as behind:
                await behind.add(list(map(encoded, records)))
                consumer = await log.consumer("test", [TOPIC])
                found: list[Event] = []
                while len(found) < 50:
                    polled = await consumer.poll(100, 2.0)
                    found += [EventCodec(SchemaRegistry()).decode(record) for record in polled.records]
                await consumer.close()
        by_id = {record.prediction_id: record for record in records}
        assert {event.event_id: event for event in found} == {one: requested(by_id[one]) for one in by_id}
        assert await PostgresPredictions(pool).count() == 50
    finally:
        server.stop()
        shutil.rmtree(home)
