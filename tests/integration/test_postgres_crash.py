"""A real server is killed again and again in the middle of writes: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from stores.clock import utc_now
from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.prediction_id import new_prediction_id
from stores.domain.prediction_metrics import PredictionMetric
from stores.errors import RiftlineError
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.migrate import migrate
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import open_pool
from stores.postgres.prediction_metrics import PostgresPredictionMetrics
from stores.postgres.predictions import PostgresPredictions
from tests.examples import a_prediction
from tests.servers.need import needed
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.postgres.pool import Pool

KILLS = 5
WRITERS = 12
PER_KILL = 150  # acknowledged predictions between two kills
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
METRIC_OF = new_prediction_id(NOON)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A durable server of this test's own."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    with needed():
        server = Postgres(home / "pg")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@dataclass(slots=True)
class Acknowledged:
    """What the stores said is kept."""

    predictions: set[UUID] = field(default_factory=set)
    feedback: set[UUID] = field(default_factory=set)
    metrics: set[datetime] = field(default_factory=set)
    enough: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def reached(self, count: int) -> None:
        """Wait until so many predictions are acknowledged."""
        async with self.enough:
            await self.enough.wait_for(lambda: len(self.predictions) >= count)


async def test_kills_in_a_burst_of_writes_lose_and_double_nothing(server: Postgres) -> None:
    """Predictions, outcomes and metrics are written and rolled up through five kills; then the sets are compared."""
    pool = await open_pool(server.url, 4)
    await migrate(pool)
    await ensure_partitions(pool, utc_now())
    acknowledged, stop = Acknowledged(), asyncio.Event()
    predictions = PostgresPredictions(pool, retry_delays_s=(0.05,))  # also show what a caller must repeat
    writers = [asyncio.create_task(_write(pool, predictions, number, acknowledged, stop)) for number in range(WRITERS)]
    for kill in range(1, KILLS + 1):
        await acknowledged.reached(kill * PER_KILL)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await acknowledged.reached(len(acknowledged.predictions) + PER_KILL)
    stop.set()
    await asyncio.gather(*writers)
    await _compare(pool, acknowledged)
    await pool.close()


async def _write(
    pool: Pool, predictions: PostgresPredictions, writer: int, acknowledged: Acknowledged, stop: asyncio.Event
) -> None:
    """Write one prediction, its outcome and a metric after the other; each is repeated until it is acknowledged."""
    number = 0
    while not stop.is_set():
        record, number = a_prediction(), number + 1
        moment = NOON + timedelta(seconds=writer, microseconds=number)
        outcome = Feedback(
            prediction_id=record.prediction_id,
            source=FeedbackSource.AUTOMATED,
            actual_result=ActualResult.OVER,
            given_at=NOON,
        )
        while True:
            try:
                await predictions.record(record)
                acknowledged.predictions.add(record.prediction_id)
                await PostgresFeedback(pool).record(outcome)
                acknowledged.feedback.add(record.prediction_id)
                await PostgresPredictionMetrics(pool).store(_metric(moment))
                acknowledged.metrics.add(moment)
                if number % 20 == 0:
                    await PostgresPredictionMetrics(pool).rollup(NOON)
            except RiftlineError:
                await asyncio.sleep(0.05)  # the server is away
            else:
                break
        async with acknowledged.enough:
            acknowledged.enough.notify_all()


async def _compare(pool: Pool, acknowledged: Acknowledged) -> None:
    async with pool.transaction() as connection:
        stored = await connection.fetch("SELECT prediction_id FROM prediction_requests")
        told = await connection.fetch("SELECT prediction_id FROM prediction_feedback")
        measured = await connection.fetch("SELECT time FROM prediction_metrics")
    assert {row["prediction_id"] for row in stored} == acknowledged.predictions
    assert {row["prediction_id"] for row in told} == acknowledged.feedback
    assert {row["time"] for row in measured} == acknowledged.metrics
    assert len(stored) == len(told) == len(measured) == len(acknowledged.predictions)
    metrics = PostgresPredictionMetrics(pool)
    await metrics.rollup(NOON)
    (hour,) = await metrics.hourly(METRIC_OF, "latency_ms", NOON, NOON + timedelta(hours=1))
    assert hour.sample_count == len(acknowledged.metrics)


def _metric(moment: datetime) -> PredictionMetric:
    return PredictionMetric(
        time=moment, prediction_id=METRIC_OF, user_id=UUID(int=7), metric_name="latency_ms", metric_value=1.0
    )
