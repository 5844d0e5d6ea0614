"""Which rows of a lake table are meant. Values, never text of a query language: nothing in them is ever parsed."""

from __future__ import annotations

from dataclasses import dataclass

from stores.domain.checks import check_text

MAX_VALUE = 65_536


@dataclass(frozen=True, slots=True)
class Equals:
    """Keep the rows whose column has this value; None keeps the null ones."""

    column: str
    value: str | None

    def __post_init__(self) -> None:
        """Refuse what no column can hold."""
        check_text(self.value, self.column, MAX_VALUE)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Keep the rows whose column has one of these values."""

    column: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no column can hold."""
        for index, value in enumerate(self.values):
            check_text(value, f"{self.column}.{index}", MAX_VALUE)


RowFilter = Equals | OneOf | None
