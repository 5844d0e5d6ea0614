"""Filters of the history: every right text becomes a condition, every wrong one is named."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.prediction_filters import (
    MAX_CONDITIONS,
    MAX_LISTED,
    OPERATORS,
    Column,
    Condition,
    Operator,
    PredictionFilter,
    condition_of,
)
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.postgres.prediction_history_pages import search

USER = UUID(int=7)
EACH = [(column, operator) for column, operators in OPERATORS.items() for operator in operators]


@given(place=st.sampled_from(EACH), text=st.text(max_size=300))
def test_a_text_is_a_condition_or_named(place: tuple[Column, Operator], text: str) -> None:
    """Whatever a client writes: a condition on that column, or an error whose field is that filter."""
    column, operator = place
    try:
        condition = condition_of(column, operator, text)
    except InvalidError as error:
        said, about = str(error), error.field
        condition = None
    if condition is None:
        assert about == f"filter[{column}][{operator}]"
        assert len(said) < 200
    else:
        assert (condition.column, condition.operator) == place
        assert all(not isinstance(value, float) or math.isfinite(value) for value in condition.values)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_bit(number: float) -> None:
    """A number is compared as it was written."""
    assert condition_of(Column.CONFIDENCE, Operator.GT, repr(number)).values == (number,)


@given(
    moment=st.datetimes(
        datetime(1970, 1, 2),  # noqa: DTZ001  # the strategy adds the zone
        datetime(2100, 1, 1),  # noqa: DTZ001  # as above
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_moments_come_back(moment: datetime) -> None:
    """A time with its zone is read as that moment, also where a + arrived as a blank."""
    for text in (moment.isoformat(), moment.isoformat().replace("+", " ")):
        assert condition_of(Column.CREATED_AT, Operator.LT, text).values == (moment,)


@pytest.mark.parametrize(
    ("column", "operator", "text"),
    [
        (Column.CREATED_AT, Operator.GT, "2026-06-01T12:00:00"),
        (Column.CREATED_AT, Operator.GT, "yesterday"),
        (Column.PROP_VALUE, Operator.EQ, "nan"),
        (Column.PROP_VALUE, Operator.IN, "1,,2"),
        (Column.CONFIDENCE, Operator.GT, "1e999"),
        (Column.PROP_TYPE, Operator.EQ, "deaths"),
        (Column.PREDICTION, Operator.IN, "OVER,over"),
        (Column.PLAYER_NAME, Operator.EQ, "  "),
        (Column.PLAYER_NAME, Operator.EQ, "a\0b"),
        (Column.MODEL_VERSION, Operator.EQ, "x" * 201),
        (Column.PROP_VALUE, Operator.IN, ",".join("1" * (MAX_LISTED + 1))),
    ],
)
def test_a_wrong_value_is_named(column: Column, operator: Operator, text: str) -> None:
    """The error's field is the filter."""
    with pytest.raises(InvalidError) as caught:
        condition_of(column, operator, text)
    assert caught.value.field == f"filter[{column}][{operator}]"


def test_an_operator_that_the_column_lacks() -> None:
    """The error says what the column takes."""
    with pytest.raises(InvalidError, match="eq, ne, in"):
        Condition(Column.PROP_TYPE, Operator.GT, (PropType.KILLS,))


def test_without_a_user_a_player_is_named() -> None:
    """All that was ever asked anonymously cannot be searched."""
    of_faker = Condition(Column.PLAYER_NAME, Operator.EQ, ("Faker",))
    assert PredictionFilter(None, (of_faker,)).conditions == (of_faker,)
    with pytest.raises(InvalidError, match="player_name"):
        PredictionFilter(None, (Condition(Column.PLAYER_NAME, Operator.NE, ("Faker",)),))
    with pytest.raises(InvalidError, match="too many"):
        PredictionFilter(USER, (of_faker,) * (MAX_CONDITIONS + 1))


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=5))
def test_no_value_is_in_the_statement(texts: list[str]) -> None:
    """The statement depends on columns and operators alone; the values travel beside it."""
    conditions = tuple(Condition(Column.MODEL_VERSION, Operator.EQ, (text,)) for text in texts)
    statement, values = search(PredictionFilter(USER, conditions))
    plain, _ = search(PredictionFilter(USER, (Condition(Column.MODEL_VERSION, Operator.EQ, ("x",)),) * len(texts)))
    assert statement == plain
    assert values == texts
