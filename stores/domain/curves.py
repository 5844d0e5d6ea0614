"""The distribution behind a prediction, read at many lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores.domain.checks import check_number
from stores.domain.prediction_id import created_at
from stores.domain.props import MAX_LINE
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from stores.domain.props import Side

MAX_LINES = 401  # every whole and half line up to MAX_LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionCurve:
    """One entry per line, the lines rising. Confidences are in %. Raises InvalidError naming the field."""

    prediction_id: UUID
    prop_values: tuple[float, ...]
    predictions: tuple[Side, ...]
    confidences: tuple[float, ...]
    expected_stats: tuple[float, ...]

    def __post_init__(self) -> None:
        created_at(self.prediction_id)
        if not 1 <= len(self.prop_values) <= MAX_LINES:
            raise InvalidError(f"prop_values has {len(self.prop_values)} lines; give 1 to {MAX_LINES}", "prop_values")
        for field in ("predictions", "confidences", "expected_stats"):
            if len(getattr(self, field)) != len(self.prop_values):
                raise InvalidError(
                    f"{field} has {len(getattr(self, field))} entries for {len(self.prop_values)} lines; give one each",
                    field,
                )
        for field, most in (("prop_values", MAX_LINE), ("confidences", 100.0), ("expected_stats", 10 * MAX_LINE)):
            for index, number in enumerate(getattr(self, field)):
                check_number(number, f"{field}.{index}", 0, most)
        if any(later <= line for line, later in zip(self.prop_values, self.prop_values[1:], strict=False)):
            raise InvalidError("prop_values do not rise; give each line once, in order", "prop_values")

    @property
    def predicted_at(self) -> datetime:
        """The moment inside the prediction's id."""
        return created_at(self.prediction_id)
