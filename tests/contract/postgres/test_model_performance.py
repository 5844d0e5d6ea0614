"""What every store of model performance keeps: one row per model and day, corrected by who comes later."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.model_performance import DailyPerformance
from stores.errors import InvalidError, NotFoundError
from stores.postgres.model_performance import PostgresModelPerformance
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.partitions import ensure_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.models import ModelRecord
    from stores.postgres.pool import Pool
    from stores.roles.model_performance import ModelPerformance

pytestmark = pytest.mark.role("model_performance")

DAY = date(2026, 3, 14)
FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)


@pytest.fixture
def performance(pool: Pool) -> ModelPerformance:
    """The daily rows of a fresh database."""
    return PostgresModelPerformance(pool)


@pytest.fixture
async def model_id(pool: Pool, model: Callable[..., ModelRecord]) -> UUID:
    """A registered model."""
    stored = await PostgresModelRegistry(pool).register(model())
    assert stored.model_id is not None
    return stored.model_id


def day(model_id: UUID, metric_date: date = DAY, **changes: Any) -> DailyPerformance:
    """A day with every measure."""
    measures = {
        "accuracy": 0.1 + 0.2,
        "precision_score": 1 / 3,
        "recall_score": 1.0,
        "f1_score": 0.0,
        "auc_score": 5e-324,
        "total_predictions": 2**62,
        "over_predictions": 7,
        "under_predictions": 3,
        "correct_predictions": 0,
        "feature_drift_score": 12.5,
        "target_drift_score": 1e300,
        "data_quality_score": 0.99,
    }
    return DailyPerformance(model_id=model_id, metric_date=metric_date, **measures | changes)


async def test_a_day_is_read_back_as_written(performance: ModelPerformance, model_id: UUID) -> None:
    """Every measure comes back to the bit, and what was not measured is None."""
    await performance.put(day(model_id))
    await performance.put(DailyPerformance(model_id=model_id, metric_date=DAY + timedelta(days=1)))
    first, second = await performance.between(model_id, FIRST, LAST)
    assert first == day(model_id)
    assert second == DailyPerformance(model_id=model_id, metric_date=DAY + timedelta(days=1))
    assert first.created_at is not None


async def test_a_day_is_corrected_in_place(performance: ModelPerformance, model_id: UUID) -> None:
    """A later row replaces every measure, also by None; of many at once one stays, and there is one row."""
    corrections = [day(model_id, accuracy=None, over_predictions=number) for number in range(10)]
    await performance.put(day(model_id))
    await asyncio.gather(*(performance.put(correction) for correction in corrections))
    [kept] = await performance.between(model_id, FIRST, LAST)
    assert kept in corrections


async def test_a_range_holds_both_its_ends(performance: ModelPerformance, model_id: UUID) -> None:
    """Days come in order, from the first to the last one asked for, of this model alone."""
    for offset in (5, 0, 3, 1):
        await performance.put(day(model_id, DAY + timedelta(days=offset)))
    found = await performance.between(model_id, DAY, DAY + timedelta(days=3))
    assert [(one.metric_date - DAY).days for one in found] == [0, 1, 3]
    assert await performance.between(uuid4(), FIRST, LAST) == ()
    assert await performance.between(model_id, LAST, FIRST) == ()


async def test_a_model_must_exist(performance: ModelPerformance, model_id: UUID) -> None:
    """A row of a model that is not registered is refused, naming it."""
    stranger = uuid4()
    with pytest.raises(NotFoundError, match=str(stranger)):
        await performance.put(day(stranger))
    assert await performance.between(model_id, FIRST, LAST) == ()


async def test_rows_move_into_the_partition_of_their_month(
    performance: ModelPerformance, model_id: UUID, pool: Pool
) -> None:
    """Days on both sides of a month's end are found before and after their partitions are made."""
    days = [day(model_id, date(2026, 2, 28)), day(model_id, date(2026, 3, 1))]
    for one in days:
        await performance.put(one)
    await ensure_partitions(pool, datetime(2026, 3, 14, tzinfo=UTC))
    async with pool.transaction() as connection:
        rows = await connection.fetch(
            "SELECT tableoid::regclass::text AS name FROM model_performance_metrics ORDER BY metric_date"
        )
    assert [row["name"] for row in rows] == [f"model_performance_metrics_2026_0{month}" for month in (2, 3)]
    assert await performance.between(model_id, FIRST, LAST) == tuple(days)
    await performance.put(day(model_id, date(2026, 3, 1), accuracy=0.5))
    assert (await performance.between(model_id, FIRST, LAST))[1].accuracy == 0.5


async def test_the_server_itself_refuses_a_wrong_row(performance: ModelPerformance, model_id: UUID, pool: Pool) -> None:
    """What comes past the domain, by hand, meets the table's checks."""
    await performance.put(day(model_id))
    for change in ("accuracy = 1.1", "recall_score = 'NaN'", "over_predictions = -1", "total_predictions = 1"):
        with pytest.raises(InvalidError):
            async with pool.transaction() as connection:
                await connection.execute(f"UPDATE model_performance_metrics SET {change}")  # noqa: S608  # constants
