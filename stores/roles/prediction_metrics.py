"""Predictions by context and their metrics over time, raw for thirty days and by the hour for two years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from stores.domain.prediction_metrics import ContextPrediction, HourlyMetric, PredictionMetric


class PredictionMetrics(Protocol):
    """What a call returned is durable. Every write has a key and may be repeated: the first one stays.

    A metric may come before its prediction, and later than others of its hour: hourly figures are made of what was
    stored when they were last rolled up. What is older than thirty days changes them no more.
    """

    async def record(self, prediction: ContextPrediction) -> None:
        """Store one prediction. A known id is left as it is."""
        ...

    async def get(self, prediction_id: UUID) -> ContextPrediction:
        """One prediction. Raises NotFoundError."""
        ...

    async def historical(
        self, user_id: UUID, start: datetime, end: datetime, *, before: UUID | None = None, limit: int = 50
    ) -> tuple[ContextPrediction, ...]:
        """A user's predictions of ``start`` <= time < ``end``, newest first; ``before`` is the last id of the page
        before. May be seconds behind.
        """
        ...

    async def store(self, metric: PredictionMetric) -> None:
        """Store one observation."""
        ...

    async def store_many(self, metrics: Sequence[PredictionMetric]) -> None:
        """Store many, all or none. Raises InvalidError for more than 10,000."""
        ...

    async def hourly(
        self, prediction_id: UUID, metric_name: str, start: datetime, end: datetime
    ) -> tuple[HourlyMetric, ...]:
        """The figures of the hours that begin in [``start``, ``end``), in order. May be seconds behind."""
        ...

    async def rollup(self, now: datetime) -> int:
        """Bring the hourly figures up to date with all that is stored, and return how many hours changed.

        Idempotent, and safe from many processes at once. 0 where the server does it by itself.
        """
        ...
