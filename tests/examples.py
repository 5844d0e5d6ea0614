"""Plain values for tests that need one and do not care which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from stores.clock import utc_now
from stores.domain.prediction_id import new_prediction_id
from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, PropRequest, PropType, Side

if TYPE_CHECKING:
    from datetime import datetime

_PREDICTION = PredictionRecord(
    prediction_id=UUID(int=0),
    request=PropRequest(("Faker",), PropType.KILLS, 2.5, MapRange(1, 2), tournament="LCK", team="T1"),
    prediction=Side.OVER,
    confidence=55.0,
    base_model_confidence=54.0,
    push_probability=0.0,
    expected_stat=4.8,
    confidence_interval=(2.0, 8.0),
    data_tier=DataTier.DIRECT,
    model_version="1",
    feature_version="1",
    lake_snapshot_id=1,
    processing_time_ms=2.5,
)


def a_prediction(at: datetime | None = None, **changes: Any) -> PredictionRecord:
    """A prediction with an id of its own, of the moment ``at`` or of now."""
    return _PREDICTION._replace(**{"prediction_id": new_prediction_id(at or utc_now())} | changes)
