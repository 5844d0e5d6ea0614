"""What every store of metrics keeps: each observation once, and hourly figures that late ones correct."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.prediction_id import new_prediction_id
from stores.domain.prediction_metrics import ContextPrediction, HourlyMetric, PredictionMetric
from stores.errors import InvalidError, NotFoundError
from stores.postgres.partitions import METRICS_KEPT, drop_expired, ensure_partitions
from stores.postgres.prediction_metrics import MAX_MANY, PostgresPredictionMetrics

if TYPE_CHECKING:
    from stores.postgres.pool import Pool

pytestmark = pytest.mark.role("prediction metrics")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
USER = UUID(int=7)
PREDICTION_ID = new_prediction_id(NOON)


@pytest.fixture
def store(pool: Pool) -> PostgresPredictionMetrics:
    """A store on a fresh database."""
    return PostgresPredictionMetrics(pool)


def prediction(at: datetime = NOON, **changes: Any) -> ContextPrediction:
    """A prediction with every field filled."""
    given: dict[str, Any] = {
        "prediction_id": new_prediction_id(at),
        "user_id": USER,
        "context_id": "series'; DROP TABLE predictions; --",
        "prediction_type": "short_term",
        "predictions": [{"outcome": "OVER", "probability": 0.1 + 0.2}, {"페이커": [None, True, 1]}],
        "confidence": 100 / 3,
        "metadata": {"model": "2026.03.14"},
    }
    return ContextPrediction(**given | changes)


def metric(at: datetime, value: float = 1.0, **changes: Any) -> PredictionMetric:
    """An observation of one prediction's latency."""
    given: dict[str, Any] = {
        "time": at,
        "prediction_id": PREDICTION_ID,
        "user_id": USER,
        "metric_name": "latency_ms",
        "metric_value": value,
    }
    return PredictionMetric(**given | changes)


async def _hours(store: PostgresPredictionMetrics) -> list[tuple[datetime, float, int]]:
    found = await store.hourly(PREDICTION_ID, "latency_ms", NOON - 60 * DAY, NOON + 60 * DAY)
    return [(hour.bucket, hour.avg_value, hour.sample_count) for hour in found]


async def test_a_prediction_is_read_back_to_the_bit(store: PostgresPredictionMetrics) -> None:
    """With metadata and without; a repeated id keeps its first content."""
    for one in (prediction(), prediction(metadata=None, predictions={"any": "object"})):
        await store.record(one)
        await store.record(replace(one, confidence=1.0))
        assert await store.get(one.prediction_id) == one
    with pytest.raises(NotFoundError):
        await store.get(new_prediction_id(NOON))


async def test_historical_pages_cover_the_span_exactly(store: PostgresPredictionMetrics, pool: Pool) -> None:
    """From the start, inclusive, to the end, exclusive, newest first, one user's own."""
    await ensure_partitions(pool, NOON)
    mine = [prediction(NOON + day * DAY) for day in range(-20, 20)]
    for one in (*mine, prediction(user_id=uuid4())):
        await store.record(one)
    found: list[ContextPrediction] = []
    span = (NOON - 15 * DAY, NOON + 15 * DAY)
    while page := await store.historical(USER, *span, before=found[-1].prediction_id if found else None, limit=7):
        found += page
    assert found == mine[5:35][::-1]


async def test_an_observation_is_kept_once(store: PostgresPredictionMetrics, pool: Pool) -> None:
    """A repeated batch, and one repeated inside a batch, count once; another name or moment is another observation."""
    batch = [metric(NOON, 5e-324, tags={"shard": 1}), metric(NOON, 2.0, metric_name="size"), metric(NOON + MINUTE)]
    await store.store_many(batch + batch)
    await store.store(batch[0])
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT * FROM prediction_metrics ORDER BY metric_name, time")
    assert [PredictionMetric(**row) for row in rows] == [batch[0], batch[2], batch[1]]


async def test_a_rollup_is_the_mean_of_each_hour(store: PostgresPredictionMetrics) -> None:
    """Hours are of UTC, whatever zone a time came in; a second run finds nothing to do."""
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    await store.store_many(
        [
            metric(NOON.astimezone(kathmandu), 1.0),
            metric(NOON + 59 * MINUTE, 4.0),
            metric(NOON + HOUR, 7.0),
            metric(NOON, 100.0, metric_name="size"),
        ]
    )
    assert await _hours(store) == []
    assert await store.rollup(NOON + 2 * HOUR) == 2
    assert await _hours(store) == [(NOON, 2.5, 2), (NOON + HOUR, 7.0, 1)]
    assert await store.hourly(PREDICTION_ID, "size", NOON, NOON + HOUR) == (
        HourlyMetric(NOON, PREDICTION_ID, "size", 100.0, 1),
    )
    assert await store.rollup(NOON + 2 * HOUR) == 0


async def test_late_observations_correct_their_hour(store: PostgresPredictionMetrics) -> None:
    """What comes after the roll-up of its hour is in the figures after the next one; a repeated one changes nothing."""
    await store.store(metric(NOON, 1.0))
    await store.rollup(NOON + HOUR)
    await store.store_many([metric(NOON, 1.0), metric(NOON + MINUTE, 2.0)])
    assert await store.rollup(NOON + DAY) == 1
    assert await _hours(store) == [(NOON, 1.5, 2)]
    await store.store(metric(NOON + MINUTE, 2.0))
    assert await store.rollup(NOON + DAY) == 0


async def test_rollups_beside_writers_miss_nothing(store: PostgresPredictionMetrics) -> None:
    """Roll-ups at once beside a stream of writes: after the last one every observation is in its hour."""

    async def write(writer: int) -> None:
        for number in range(20):
            await store.store(metric(NOON + number % 3 * HOUR + timedelta(seconds=writer, milliseconds=number)))

    async def roll_up() -> None:
        for _ in range(10):
            await store.rollup(NOON + DAY)

    await asyncio.gather(*(write(writer) for writer in range(6)), roll_up(), roll_up())
    await store.rollup(NOON + DAY)
    assert [count for _, _, count in await _hours(store)] == [42, 42, 36]


async def test_what_is_dropped_stays_in_the_hourly_figures(store: PostgresPredictionMetrics, pool: Pool) -> None:
    """After a month the raw rows go; one that comes later still does not replace the figures of its hour."""
    await ensure_partitions(pool, NOON)
    await store.store_many([metric(NOON, 1.0), metric(NOON + MINUTE, 2.0)])
    await store.rollup(NOON + HOUR)
    later = NOON + METRICS_KEPT + DAY
    assert "prediction_metrics_2026_03_14" in await drop_expired(pool, later)
    await store.store(metric(NOON + 2 * MINUTE, 100.0))
    assert await store.rollup(later) == 0
    assert await _hours(store) == [(NOON, 1.5, 2)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time": datetime(2026, 3, 14)}, "time"),  # noqa: DTZ001  # a naive time is the point
        ({"prediction_id": uuid4()}, "prediction_id"),
        ({"metric_name": ""}, "metric_name"),
        ({"metric_name": "x" * 101}, "metric_name"),
        ({"metric_name": "a\0b"}, "metric_name"),
        ({"metric_value": float("nan")}, "metric_value"),
        ({"metric_value": float("-inf")}, "metric_value"),
        ({"tags": {"a": object()}}, "tags.a"),
        ({"tags": {"a": "\ud800"}}, "tags.a"),
    ],
)
def test_a_wrong_observation_names_its_field(changes: dict[str, Any], field: str) -> None:
    """What the server cannot hold, or a mean cannot use, is refused before it is sent."""
    with pytest.raises(InvalidError) as caught:
        replace(metric(NOON), **changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"context_id": " "}, "context_id"),
        ({"context_id": "x" * 256}, "context_id"),
        ({"prediction_type": "a\0"}, "prediction_type"),
        ({"predictions": {"p": float("nan")}}, "predictions.p"),
        ({"predictions": ["x" * 70_000]}, "predictions.0"),
        ({"confidence": 100.5}, "confidence"),
        ({"metadata": ["a list"]}, "metadata"),
        ({"prediction_id": uuid4()}, "prediction_id"),
    ],
)
def test_a_wrong_prediction_names_its_field(changes: dict[str, Any], field: str) -> None:
    """As with observations."""
    with pytest.raises(InvalidError) as caught:
        prediction(**changes)
    assert caught.value.field == field


async def test_bounds_are_judged_before_the_server_sees_them(store: PostgresPredictionMetrics) -> None:
    """A batch and a page have a bound, a cursor is a prediction's id, and an empty batch is nothing."""
    with pytest.raises(InvalidError):
        await store.store_many([metric(NOON)] * (MAX_MANY + 1))
    with pytest.raises(InvalidError):
        await store.historical(USER, NOON, NOON, limit=0)
    with pytest.raises(InvalidError):
        await store.historical(USER, NOON, NOON, before=uuid4())
    await store.store_many([])
