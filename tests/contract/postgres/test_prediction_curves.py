"""What every store of curves keeps: one curve per known prediction, to the bit, for good."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.curves import MAX_LINES, PredictionCurve
from stores.domain.prediction_id import new_prediction_id
from stores.domain.props import Side
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.prediction_curves import PostgresPredictionCurves
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]

pytestmark = pytest.mark.role("prediction curves")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def store(pool: Pool) -> PostgresPredictionCurves:
    """A store on a fresh database."""
    return PostgresPredictionCurves(pool)


@pytest.fixture
async def prediction_id(pool: Pool, prediction: MakePrediction) -> UUID:
    """The id of a prediction that is stored."""
    record = prediction()
    await PostgresPredictions(pool).record(record)
    return record.prediction_id


def curve(prediction_id: UUID, lines: int = 3) -> PredictionCurve:
    """A curve of so many lines with awkward floats."""
    return PredictionCurve(
        prediction_id=prediction_id,
        prop_values=tuple(line / 2 for line in range(lines)),
        predictions=tuple(Side.OVER if line < 2 else Side.UNDER for line in range(lines)),
        confidences=tuple(100 / (line + 1.1) for line in range(lines)),
        expected_stats=(0.1 + 0.2,) * lines,
    )


@pytest.mark.parametrize("lines", [1, 3, MAX_LINES])
async def test_a_curve_is_read_back_to_the_bit(
    store: PostgresPredictionCurves, prediction_id: UUID, lines: int
) -> None:
    """From one line to all of them."""
    await store.store(curve(prediction_id, lines))
    assert await store.get(prediction_id) == curve(prediction_id, lines)


async def test_a_repeated_curve_is_kept_and_another_one_refused(
    store: PostgresPredictionCurves, prediction_id: UUID
) -> None:
    """Storing the same again is quiet, also at once; another curve of the same prediction is a conflict."""
    await asyncio.gather(*(store.store(curve(prediction_id)) for _ in range(8)))
    with pytest.raises(ConflictError, match=str(prediction_id)):
        await store.store(replace(curve(prediction_id), expected_stats=(1.0, 1.0, 1.0)))
    assert await store.get(prediction_id) == curve(prediction_id)


async def test_a_curve_of_nothing_is_not_found(store: PostgresPredictionCurves, prediction_id: UUID) -> None:
    """A prediction that nobody gave takes no curve, and one without a curve has none."""
    with pytest.raises(NotFoundError):
        await store.store(curve(new_prediction_id(NOON)))
    with pytest.raises(NotFoundError):
        await store.get(prediction_id)
    with pytest.raises(InvalidError):
        await store.get(uuid4())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prop_values": ()}, "prop_values"),
        ({"prop_values": tuple(float(line) for line in range(MAX_LINES + 1))}, "prop_values"),
        ({"prop_values": (1.0, 1.0, 2.0)}, "prop_values"),
        ({"prop_values": (0.0, 1.0, 201.0)}, "prop_values.2"),
        ({"predictions": (Side.OVER,)}, "predictions"),
        ({"confidences": (1.0, 2.0, 3.0, 4.0)}, "confidences"),
        ({"confidences": (1.0, float("nan"), 3.0)}, "confidences.1"),
        ({"expected_stats": (1.0, float("inf"), 3.0)}, "expected_stats.1"),
        ({"prediction_id": uuid4()}, "prediction_id"),
    ],
)
def test_a_wrong_curve_names_its_field(changes: dict[str, Any], field: str) -> None:
    """Lines that do not rise, arrays of different lengths and numbers out of range are refused."""
    with pytest.raises(InvalidError) as caught:
        replace(curve(new_prediction_id(NOON)), **changes)
    assert caught.value.field == field
