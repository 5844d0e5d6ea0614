"""What every store of feedback keeps: one outcome per prediction and source, the latest word, of known predictions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.prediction_id import new_prediction_id
from stores.errors import InvalidError, NotFoundError
from stores.postgres.feedback import MAX_MANY, PostgresFeedback
from stores.postgres.partitions import TABLES, drop_expired, ensure_partitions
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]

pytestmark = pytest.mark.role("feedback")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def predictions(pool: Pool) -> PostgresPredictions:
    """The predictions that are judged."""
    return PostgresPredictions(pool)


@pytest.fixture
def store(pool: Pool) -> PostgresFeedback:
    """A store on the same fresh database."""
    return PostgresFeedback(pool)


def feedback(prediction_id: UUID, **changes: Any) -> Feedback:
    """An outcome with every field filled and awkward floats."""
    given: dict[str, Any] = {
        "prediction_id": prediction_id,
        "source": FeedbackSource.MANUAL,
        "actual_result": ActualResult.OVER,
        "given_at": NOON,
        "actual_stat_value": 0.1 + 0.2,
        "match_completed_at": NOON - MINUTE,
        "user_id": UUID(int=7),
        "confidence_score": 1 / 3,
        "notes": "he said \"five\"; ''--",
    }
    return Feedback(**given | changes)


async def test_an_outcome_is_read_back_to_the_bit(
    store: PostgresFeedback, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """Every field comes back equal, and so does an outcome with the required ones only."""
    records = [prediction(), prediction()]
    await predictions.record_many(records)
    full = feedback(records[0].prediction_id)
    bare = Feedback(
        prediction_id=records[1].prediction_id,
        source=FeedbackSource.AUTOMATED,
        actual_result=ActualResult.PUSH,
        given_at=NOON,
    )
    for one in (full, bare):
        await store.record(one)
        assert await store.get(one.prediction_id) == (one,)


async def test_an_unknown_prediction_is_refused(
    store: PostgresFeedback, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """Nothing is kept of a prediction that nobody gave; of many at once the known ones are kept."""
    known, stranger = prediction(), new_prediction_id(NOON)
    await predictions.record(known)
    with pytest.raises(NotFoundError, match=str(stranger)):
        await store.record(feedback(stranger))
    assert await store.get(stranger) == ()
    errors = await store.record_many([feedback(stranger), feedback(known.prediction_id)])
    assert [type(error) for error in errors] == [NotFoundError, type(None)]
    assert await store.get(known.prediction_id) == (feedback(known.prediction_id),)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_latest_word_of_a_source_holds(
    store: PostgresFeedback, predictions: PostgresPredictions, prediction: MakePrediction, order: tuple[int, ...]
) -> None:
    """Whichever arrives first, one by one or together, and however often each is repeated."""
    one, other = prediction(), prediction()
    await predictions.record_many([one, other])
    for record in (one, other):
        said = [
            feedback(record.prediction_id, given_at=NOON + minute * MINUTE, actual_stat_value=float(minute))
            for minute in range(3)
        ]
        given = [said[index] for index in order] * 2
        if record is one:
            for outcome in given:
                await store.record(outcome)
        else:
            assert await store.record_many(given) == [None] * 6
        assert await store.get(record.prediction_id) == (said[-1],)


async def test_sources_stand_beside_each_other(
    store: PostgresFeedback, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """A user, a program and a person who checked may disagree; the most reliable comes first."""
    record = prediction()
    await predictions.record(record)
    said = [feedback(record.prediction_id, source=source) for source in FeedbackSource]
    await store.record_many(said)
    assert await store.get(record.prediction_id) == tuple(reversed(said))


async def test_writers_of_the_same_rows_end_with_the_latest(
    store: PostgresFeedback, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """Twelve batches over the same forty predictions in different orders at once: no deadlock, the latest stays."""
    records = [prediction() for _ in range(40)]
    await predictions.record_many(records)
    ids = [record.prediction_id for record in records]

    async def write(minute: int) -> None:
        ordered = ids[minute:] + ids[:minute]
        await store.record_many([feedback(it, given_at=NOON + minute * MINUTE) for it in ordered])

    await asyncio.gather(*(write(minute) for minute in range(12)))
    for it in ids:
        assert await store.get(it) == (feedback(it, given_at=NOON + 11 * MINUTE),)


async def test_pending_pages_cover_what_nobody_judged(
    store: PostgresFeedback, pool: Pool, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """The pages join to the predictions of the span without an outcome, oldest first, over the turn of a month."""
    await ensure_partitions(pool, NOON, TABLES[:3])
    records = [prediction(at=NOON + timedelta(days=day, milliseconds=day)) for day in range(-20, 20)]
    await predictions.record_many(records)
    await store.record_many([feedback(record.prediction_id) for record in records[::3]])
    since, until = NOON - timedelta(days=15), NOON + timedelta(days=15)
    wanted = [it for index, it in enumerate(records) if index % 3 and since <= it.created_at < until]
    found: list[PredictionRecord] = []
    after = None
    while page := await store.pending(since, until, after=after, limit=6):
        found += page
        after = page[-1].prediction_id
    assert found == wanted
    assert len(found) == 19


async def test_told_pages_cover_the_rest_with_what_was_said(
    store: PostgresFeedback, pool: Pool, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """The pages join to the predictions of the span with an outcome, each with all its sources, the verified first."""
    await ensure_partitions(pool, NOON, TABLES[:3])
    records = [prediction(at=NOON + timedelta(days=day, milliseconds=day)) for day in range(-20, 20)]
    await predictions.record_many(records)
    verified = [feedback(record.prediction_id, source=FeedbackSource.VERIFIED) for record in records[::6]]
    await store.record_many([*(feedback(record.prediction_id) for record in records[::3]), *verified])
    since, until = NOON - timedelta(days=15), NOON + timedelta(days=15)
    wanted = [it for it in records[::3] if since <= it.created_at < until]
    found: list[tuple[PredictionRecord, tuple[Feedback, ...]]] = []
    after = None
    while page := await store.told(since, until, after=after, limit=3):
        found += page
        after = page[-1][0].prediction_id
    assert [record for record, _ in found] == wanted
    assert len(found) == 10
    for record, sources in found:
        assert sources == await store.get(record.prediction_id)
        assert len(sources) == 2 - records.index(record) % 2


async def test_feedback_leaves_with_its_predictions(
    store: PostgresFeedback, pool: Pool, predictions: PostgresPredictions, prediction: MakePrediction
) -> None:
    """An outcome does not keep an old partition from being dropped, and goes by the same policy."""
    await ensure_partitions(pool, NOON, TABLES[:3])
    record = prediction(at=NOON)
    await predictions.record(record)
    await store.record(feedback(record.prediction_id))
    dropped = await drop_expired(pool, NOON + TABLES[0].kept + timedelta(days=31), TABLES[:3])
    assert {"prediction_requests_2026_03", "prediction_feedback_2026_03", "prediction_curves_2026_03"} <= set(dropped)
    assert await store.get(record.prediction_id) == ()
    with pytest.raises(NotFoundError):
        await store.record(feedback(record.prediction_id))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"given_at": datetime(2026, 3, 14)}, "given_at"),  # noqa: DTZ001  # a naive time is the point
        ({"match_completed_at": datetime(2026, 3, 14)}, "match_completed_at"),  # noqa: DTZ001
        ({"actual_stat_value": float("nan")}, "actual_stat_value"),
        ({"actual_stat_value": -1.0}, "actual_stat_value"),
        ({"confidence_score": 1.01}, "confidence_score"),
        ({"notes": "x" * 2001}, "notes"),
        ({"notes": "a\0b"}, "notes"),
        ({"notes": "\ud800"}, "notes"),
        ({"prediction_id": uuid4()}, "prediction_id"),
    ],
)
def test_a_wrong_outcome_names_its_field(changes: dict[str, Any], field: str) -> None:
    """What cannot be true, or what the server cannot hold, is refused before it is sent."""
    with pytest.raises(InvalidError) as caught:
        replace(feedback(new_prediction_id(NOON)), **changes)
    assert caught.value.field == field


async def test_too_many_at_once_are_refused(store: PostgresFeedback) -> None:
    """A batch, and a page, have a bound; an empty batch is nothing."""
    one = feedback(new_prediction_id(NOON))
    with pytest.raises(InvalidError):
        await store.record_many([one] * (MAX_MANY + 1))
    with pytest.raises(InvalidError):
        await store.pending(NOON, NOON, limit=0)
    with pytest.raises(InvalidError):
        await store.pending(NOON, NOON, after=uuid4())
    with pytest.raises(InvalidError):
        await store.told(NOON, NOON, limit=MAX_MANY + 1)
    assert await store.record_many([]) == []
