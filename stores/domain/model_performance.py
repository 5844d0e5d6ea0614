"""How a model did on one day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from stores.domain.checks import MAX_BIGINT, check_number
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import date, datetime

SCORES = ("accuracy", "precision_score", "recall_score", "f1_score", "auc_score", "data_quality_score")
DRIFTS = ("feature_drift_score", "target_drift_score")
COUNTS = ("total_predictions", "over_predictions", "under_predictions", "correct_predictions")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyPerformance:
    """The measures of one model on one day; both together are its identity. What was not measured is None.

    Scores lie in [0, 1], drifts are distances from 0 on. The last two fields are given by the store.
    """

    model_id: UUID
    metric_date: date
    accuracy: float | None = None
    precision_score: float | None = None
    recall_score: float | None = None
    f1_score: float | None = None
    auc_score: float | None = None
    total_predictions: int | None = None
    over_predictions: int | None = None
    under_predictions: int | None = None
    correct_predictions: int | None = None
    feature_drift_score: float | None = None
    target_drift_score: float | None = None
    data_quality_score: float | None = None
    metric_id: UUID = field(default_factory=uuid4, compare=False)
    created_at: datetime | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in SCORES:
            check_number(getattr(self, name), name, 0, 1)
        for name in DRIFTS:
            check_number(getattr(self, name), name, 0, 1e308)
        for name in COUNTS:
            check_number(getattr(self, name), name, 0, MAX_BIGINT)
        if self.total_predictions is not None:
            for name in COUNTS[1:]:
                if (getattr(self, name) or 0) > self.total_predictions:
                    raise InvalidError(f"{name} is more than total_predictions; count again", name)
