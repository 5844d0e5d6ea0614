"""Predictions by context, and what is measured of them over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stores.domain.checks import check_aware, check_json, check_number, check_object, check_text
from stores.domain.prediction_id import created_at as moment_inside

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_CONTEXT = 255
MAX_TYPE = 50
MAX_METRIC_NAME = 100
_MOST = 1.7976931348623157e308  # the largest float: refuses infinities and NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPrediction:
    """Predictions given for one context (a match, a series, a player's week). ``confidence`` is in %.

    ``predictions`` and ``metadata`` are JSON values. Raises InvalidError naming the field.
    """

    prediction_id: UUID
    user_id: UUID
    context_id: str
    prediction_type: str
    predictions: dict[str, Any] | list[Any]
    confidence: float
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        moment_inside(self.prediction_id)
        check_text(self.context_id, "context_id", MAX_CONTEXT, blank=False)
        check_text(self.prediction_type, "prediction_type", MAX_TYPE, blank=False)
        check_json(self.predictions, "predictions")
        check_number(self.confidence, "confidence", 0, 100)
        if self.metadata is not None:
            check_object(self.metadata, "metadata")

    @property
    def created_at(self) -> datetime:
        """The moment inside the id."""
        return moment_inside(self.prediction_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionMetric:
    """One observation. Prediction, name and time are its identity. Raises InvalidError naming the field."""

    time: datetime
    prediction_id: UUID
    user_id: UUID
    metric_name: str
    metric_value: float
    tags: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_aware(self.time, "time")
        moment_inside(self.prediction_id)
        check_text(self.metric_name, "metric_name", MAX_METRIC_NAME, blank=False)
        check_number(self.metric_value, "metric_value", -_MOST, _MOST)
        if self.tags is not None:
            check_object(self.tags, "tags")


@dataclass(frozen=True, slots=True)
class HourlyMetric:
    """The mean of one prediction's metric over the hour that begins at ``bucket`` (UTC)."""

    bucket: datetime
    prediction_id: UUID
    metric_name: str
    avg_value: float
    sample_count: int
