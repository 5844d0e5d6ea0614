"""Which of the predictions given are meant: conditions on their columns. Values, never text of a query language."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from stores.domain.checks import check_aware, check_text
from stores.domain.props import PropType, Side
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

MAX_CONDITIONS = 20
MAX_LISTED = 50  # values of one `in`
MAX_TEXT = 200


class Column(StrEnum):
    """What a condition may be about. ``player_name`` is any of the players that were asked of."""

    PROP_TYPE = "prop_type"
    PROP_VALUE = "prop_value"
    CREATED_AT = "created_at"
    PLAYER_NAME = "player_name"
    PREDICTION = "prediction"
    CONFIDENCE = "confidence"
    MODEL_VERSION = "model_version"


class Operator(StrEnum):
    """How a column is compared; ``in`` takes several values."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"


_NAMES = (Operator.EQ, Operator.NE, Operator.IN)
_ORDER = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)
# A moment and a probability are hardly ever met exactly, and versions have no order: none of this is offered.
OPERATORS: Mapping[Column, tuple[Operator, ...]] = MappingProxyType(
    {
        Column.PROP_TYPE: _NAMES,
        Column.PROP_VALUE: (*_NAMES, *_ORDER),
        Column.CREATED_AT: _ORDER,
        Column.PLAYER_NAME: _NAMES,
        Column.PREDICTION: _NAMES,
        Column.CONFIDENCE: _ORDER,
        Column.MODEL_VERSION: _NAMES,
    }
)
_CHOICES = {Column.PROP_TYPE: tuple(PropType), Column.PREDICTION: tuple(Side)}
_NUMBERS = {Column.PROP_VALUE, Column.CONFIDENCE}

Value = str | float | datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: one value, or for ``in`` one to MAX_LISTED. Raises InvalidError naming it ``filter[...][...]``."""

    column: Column
    operator: Operator
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Refuse an operator that the column does not have, and a number of values that it does not take."""
        most = MAX_LISTED if self.operator is Operator.IN else 1
        if self.operator not in OPERATORS[self.column]:
            raise InvalidError(
                f"{self.name} is none; {self.column} takes {', '.join(OPERATORS[self.column])}", self.name
            )
        if not 1 <= len(self.values) <= most:
            raise InvalidError(f"{self.name} has {len(self.values)} values; give 1 to {most}", self.name)

    @property
    def name(self) -> str:
        """How the condition is written in a URL."""
        return f"filter[{self.column}][{self.operator}]"


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """The predictions of one user, or with None those that nobody in particular asked, of one player; newest first.

    Every condition holds. Raises InvalidError where nobody is named, or for too many conditions.
    """

    user_id: UUID | None
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to search all that nobody in particular asked."""
        if len(self.conditions) > MAX_CONDITIONS:
            raise InvalidError(f"{len(self.conditions)} filters are too many; give at most {MAX_CONDITIONS}", "filter")
        named = {(one.column, one.operator) for one in self.conditions}
        if self.user_id is None and (Column.PLAYER_NAME, Operator.EQ) not in named:
            name = f"filter[{Column.PLAYER_NAME}][{Operator.EQ}]"
            raise InvalidError(f"whose history is meant? Give {name}, or say who asks", name)


def condition_of(column: Column, operator: Operator, text: str) -> Condition:
    """The condition that a URL writes as ``filter[column][operator]=text``; values of ``in`` are parted by commas.

    Raises InvalidError naming the filter.
    """
    name = f"filter[{column}][{operator}]"
    texts = text.split(",") if operator is Operator.IN else [text]
    return Condition(column, operator, tuple(_value(column, one.strip(), name) for one in texts[: MAX_LISTED + 1]))


def _value(column: Column, text: str, name: str) -> Value:
    check_text(text, name, MAX_TEXT, blank=False)
    if column in _NUMBERS:
        return _number(text, name)
    if column is Column.CREATED_AT:
        return _moment(text, name)
    choices = _CHOICES.get(column)
    if choices and text not in choices:
        raise InvalidError(f"{name}: {text[:40]!r} is none; give {' or '.join(choices)}", name)
    return text


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidError(f"{name}: {text[:40]!r} is no finite number", name)
    return number


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a bare + in a URL arrives as a blank
    except ValueError:
        raise InvalidError(f"{name}: {text[:40]!r} is no time; give one like 2026-06-01T12:00:00Z", name) from None
    check_aware(moment, name)
    return moment
