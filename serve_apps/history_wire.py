"""The messages of history and feedback."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from stores.domain.feedback import MAX_NOTES, MAX_STAT, ActualResult, Feedback, FeedbackSource
from stores.domain.props import Position, PropType, Side

if TYPE_CHECKING:
    from stores.domain.predictions import PredictionRecord

_SAME_IN_QUESTION = (
    "prop_type",
    "prop_value",
    "opponent",
    "tournament",
    "team",
    "match_date",
    "strict_mode",
    "best_of",
)
_SAME_IN_RECORD = (
    "prediction_id",
    "created_at",
    "prediction",
    "confidence",
    "base_model_confidence",
    "push_probability",
    "expected_stat",
    "confidence_interval",
    "model_version",
    "feature_version",
    "processing_time_ms",
    "cache_hit",
)


class Question(BaseModel):
    """What was asked, as it was asked: what was left out is null or empty."""

    player_names: list[str]
    prop_type: PropType
    prop_value: float
    map_range: tuple[int, int]
    opponent: str | None
    tournament: str | None
    team: str | None
    match_date: date | None
    position_roles: list[Position]
    strict_mode: bool
    champions: list[str]
    best_of: int | None


class StoredPrediction(BaseModel):
    """An answer that was given. Percentages are in [0, 100]."""

    prediction_id: UUID
    created_at: datetime
    request: Question
    prediction: Side
    confidence: float
    base_model_confidence: float
    push_probability: float
    expected_stat: float
    confidence_interval: tuple[float, float]
    data_tier: int
    data_tier_meaning: str
    model_version: str
    feature_version: str
    lake_snapshot_id: str = Field(description="A 64-bit number as text, since JSON numbers lose it.")
    processing_time_ms: float
    cache_hit: bool
    warnings: list[str]

    @classmethod
    def fields_of(cls, record: PredictionRecord) -> dict[str, Any]:
        """The fields of a record; who asked, and from where, is left out."""
        asked = record.request
        question = Question(
            player_names=list(asked.player_names),
            map_range=(asked.map_range.first, asked.map_range.last),
            position_roles=list(asked.position_roles),
            champions=list(asked.champions),
            **{name: getattr(asked, name) for name in _SAME_IN_QUESTION},
        )
        return {
            "request": question,
            "data_tier": int(record.data_tier),
            "data_tier_meaning": record.data_tier.meaning,
            "lake_snapshot_id": str(record.lake_snapshot_id),
            "warnings": list(record.warnings),
            **{name: getattr(record, name) for name in _SAME_IN_RECORD},
        }


class Outcome(BaseModel):
    """What one source says of a prediction."""

    prediction_id: UUID
    source: FeedbackSource
    actual_result: ActualResult
    given_at: datetime
    actual_stat_value: float | None
    match_completed_at: datetime | None
    confidence_score: float | None
    notes: str | None

    @classmethod
    def of(cls, feedback: Feedback) -> Outcome:
        """The message; who said it is left out."""
        return cls(**{name: getattr(feedback, name) for name in cls.model_fields})


class StoredPredictionWithOutcomes(StoredPrediction):
    """An answer that was given, and what became of it."""

    outcomes: list[Outcome] = Field(description="The most reliable source first; empty when nobody said anything.")


class HistoryPage(BaseModel):
    """A page of the history, newest first."""

    predictions: list[StoredPrediction]
    next: str | None = Field(description="The address of the next page, as in the header Link; null on the last one.")
    warnings: list[str] = []


class FeedbackRequest(BaseModel):
    """What became of a prediction. Give the count, the side it fell on, or both if they agree."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"actual_stat_value": 7}, {"actual_result": "PUSH"}]}
    )

    actual_result: ActualResult | None = None
    actual_stat_value: Annotated[float, Field(ge=0, le=MAX_STAT, allow_inf_nan=False)] | None = None
    match_completed_at: datetime | None = Field(default=None, description="With its zone.")
    confidence_score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="How sure the giver is, 0 to 1."
    )
    notes: Annotated[str, Field(max_length=MAX_NOTES)] | None = None
