"""Pages of the predictions given: what a filter means is said here a second time, in Python, and both must agree."""

from __future__ import annotations

import operator
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from stores.domain.prediction_filters import OPERATORS, Column, Condition, Operator, PredictionFilter
from stores.domain.prediction_id import new_prediction_id
from stores.domain.props import PropType, Side
from stores.errors import InvalidError, TransientError
from stores.postgres.pool import open_pool
from stores.postgres.prediction_history_pages import MAX_PAGE, PostgresPredictionHistoryPages
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]

pytestmark = pytest.mark.role("prediction history pages")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
USER, OTHER = UUID(int=7), UUID(int=8)
PLAYERS = ("Faker", "Chovy", "Quo'te, {Brace}", "페이커")
VERSIONS = ("2026.03.14", "2026.04.01", "x' OR 'x'='x")
COMPARED: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}


def _holds(condition: Condition, record: PredictionRecord) -> bool:
    """What the condition means."""
    values = condition.values
    if condition.column is Column.PLAYER_NAME:
        among = any(value in record.request.player_names for value in values)
        return not among if condition.operator is Operator.NE else among
    found = {
        Column.PROP_TYPE: record.request.prop_type,
        Column.PROP_VALUE: record.request.prop_value,
        Column.CREATED_AT: record.created_at,
        Column.PREDICTION: record.prediction,
        Column.CONFIDENCE: record.confidence,
        Column.MODEL_VERSION: record.model_version,
    }[condition.column]
    if condition.operator is Operator.IN:
        return found in values
    return COMPARED[condition.operator](found, values[0])


def _value(column: Column, chance: random.Random) -> Any:
    match column:
        case Column.PROP_TYPE:
            return chance.choice([*PropType])
        case Column.PREDICTION:
            return chance.choice([*Side])
        case Column.PLAYER_NAME:
            return chance.choice(PLAYERS)
        case Column.MODEL_VERSION:
            return chance.choice(VERSIONS)
        case Column.CREATED_AT:
            return NOON + timedelta(minutes=chance.randrange(60))
    return chance.choice([0.5, 1.0, 2.5, 50.0, 75.0])


def _condition(column: Column, said: Operator, chance: random.Random) -> Condition:
    count = chance.randint(1, 3) if said is Operator.IN else 1
    return Condition(column, said, tuple(_value(column, chance) for _ in range(count)))


def _some(prediction: MakePrediction, chance: random.Random, count: int) -> list[PredictionRecord]:
    """Predictions of an hour, of a user, of another and of nobody, several of them within one millisecond."""
    made = []
    for _ in range(count):
        at = NOON + timedelta(minutes=chance.randrange(60))
        full = prediction(at=at, user_id=chance.choice([USER, OTHER, None]), model_version=chance.choice(VERSIONS))
        names = tuple(chance.sample(PLAYERS, chance.randint(1, 2)))
        question = replace(
            full.request,
            player_names=names,
            prop_type=chance.choice([*PropType]),
            prop_value=_value(Column.PROP_VALUE, chance),
            position_roles=(),
            champions=(),
        )
        made.append(
            full._replace(
                request=question,
                prediction=chance.choice([*Side]),
                confidence=_value(Column.CONFIDENCE, chance),
                prediction_id=new_prediction_id(at),
            )
        )
    return made


def _meant(records: Sequence[PredictionRecord], asked: PredictionFilter) -> list[PredictionRecord]:
    found = [
        record
        for record in records
        if record.user_id == asked.user_id and all(_holds(one, record) for one in asked.conditions)
    ]
    return sorted(found, key=lambda it: it.prediction_id, reverse=True)


@pytest.fixture
def chance() -> random.Random:
    """Always the same."""
    return random.Random(3)  # noqa: S311  # chooses examples, no secrets


@pytest.fixture
async def records(pool: Pool, prediction: MakePrediction, chance: random.Random) -> list[PredictionRecord]:
    """What the database holds."""
    made = _some(prediction, chance, 300)
    assert await PostgresPredictions(pool).record_many(made) == [None] * len(made)
    return made


@pytest.fixture
def pages(pool: Pool) -> PostgresPredictionHistoryPages:
    """The adapter on a fresh database."""
    return PostgresPredictionHistoryPages(pool)


async def test_every_operator_means_what_it_says(
    pages: PostgresPredictionHistoryPages, records: list[PredictionRecord], chance: random.Random
) -> None:
    """Each column with each of its operators, and pairs of them, find exactly what the same words find in Python."""
    each = [(column, said) for column, its in OPERATORS.items() for said in its]
    found = 0
    for column, said in each * 3:
        second = _condition(*chance.choice(each), chance) if chance.random() < 0.3 else None
        conditions = (_condition(column, said, chance), *([second] if second else []))
        asked = PredictionFilter(USER, conditions)
        page = await pages.page(asked, limit=MAX_PAGE)
        assert list(page) == _meant(records, asked), conditions
        found += len(page)
    assert found > len(records)


async def test_what_nobody_in_particular_asked_is_found_by_player(
    pages: PostgresPredictionHistoryPages, records: list[PredictionRecord]
) -> None:
    """Without a user the page holds what was asked anonymously of the player, and nothing of any user."""
    for player in PLAYERS:
        asked = PredictionFilter(None, (Condition(Column.PLAYER_NAME, Operator.EQ, (player,)),))
        page = await pages.page(asked, limit=MAX_PAGE)
        assert list(page) == _meant(records, asked)
        assert page
        assert {record.user_id for record in page} == {None}


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_give_everything_once(
    pages: PostgresPredictionHistoryPages, records: list[PredictionRecord], pool: Pool, limit: int
) -> None:
    """Page after page gives all that is meant, once and in order, also while newer ones come in."""
    asked = PredictionFilter(USER, (Condition(Column.CONFIDENCE, Operator.GT, (1.0,)),))
    seen: list[PredictionRecord] = []
    while page := await pages.page(asked, before=seen[-1].prediction_id if seen else None, limit=limit):
        assert len(page) <= limit
        seen += page
        newer = records[0]._replace(prediction_id=new_prediction_id(NOON + timedelta(hours=2)), user_id=USER)
        await PostgresPredictions(pool).record(newer)
    assert seen == _meant(records, asked)


@pytest.mark.parametrize("text", ["'; DROP TABLE prediction_requests; --", "$1", "\\", "%", "페이커", '{"a"}'])
async def test_texts_are_values(
    pages: PostgresPredictionHistoryPages, records: list[PredictionRecord], text: str
) -> None:
    """Whatever a value holds, it is compared and not executed."""
    for column in (Column.PLAYER_NAME, Column.MODEL_VERSION):
        for said in OPERATORS[column]:
            asked = PredictionFilter(USER, (Condition(column, said, (text,)),))
            assert list(await pages.page(asked, limit=MAX_PAGE)) == _meant(records, asked)


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_page_has_a_size(pages: PostgresPredictionHistoryPages, limit: int) -> None:
    """Neither an empty page nor one without end."""
    with pytest.raises(InvalidError, match="limit") as caught:
        await pages.page(PredictionFilter(USER), limit=limit)
    assert caught.value.field == "limit"


async def test_an_id_of_another_kind_is_no_cursor(pages: PostgresPredictionHistoryPages) -> None:
    """An id that carries no moment cannot be behind anything."""
    with pytest.raises(InvalidError):
        await pages.page(PredictionFilter(USER), before=UUID(int=1))


async def test_a_closed_database_is_transient(database: str) -> None:
    """Who cannot reach the server hears to come back."""
    pool = await open_pool(database, 1)
    await pool.close()
    with pytest.raises(TransientError):
        await PostgresPredictionHistoryPages(pool).page(PredictionFilter(USER))
