"""What became of a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.domain.checks import check_aware, check_number, check_text
from stores.domain.prediction_id import created_at

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_NOTES = 2000
MAX_STAT = 10_000.0  # ten players over five maps stay far below


class ActualResult(StrEnum):
    """On which side of the line the count came out; a whole line can be met exactly."""

    OVER = "OVER"
    UNDER = "UNDER"
    PUSH = "PUSH"


class FeedbackSource(StrEnum):
    """Who says so, the least reliable first."""

    MANUAL = "manual"
    AUTOMATED = "automated"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The outcome of one prediction as one source says it. ``confidence_score``, 0 to 1, is how sure its giver is.

    ``given_at`` orders what a source says: the latest holds. Raises InvalidError naming the field.
    """

    prediction_id: UUID
    source: FeedbackSource
    actual_result: ActualResult
    given_at: datetime
    actual_stat_value: float | None = None
    match_completed_at: datetime | None = None
    user_id: UUID | None = None
    confidence_score: float | None = None
    notes: str | None = None

    def __post_init__(self) -> None:
        created_at(self.prediction_id)
        check_aware(self.given_at, "given_at")
        check_aware(self.match_completed_at, "match_completed_at")
        check_number(self.actual_stat_value, "actual_stat_value", 0, MAX_STAT)
        check_number(self.confidence_score, "confidence_score", 0, 1)
        check_text(self.notes, "notes", MAX_NOTES)

    @property
    def predicted_at(self) -> datetime:
        """The moment inside the prediction's id."""
        return created_at(self.prediction_id)
