"""How models do, day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from stores.domain.model_performance import DailyPerformance


class ModelPerformance(Protocol):
    """One row per model and day. What a call changed is durable when it returns."""

    async def put(self, performance: DailyPerformance) -> None:
        """Write the row of a model and a day, in place of the one before: late feedback corrects a day.

        Every measure is replaced, also by None. Repeat with the same values; of two at once the later one stays.
        Raises NotFoundError when there is no such model.
        """
        ...

    async def between(self, model_id: UUID, first: date, last: date) -> tuple[DailyPerformance, ...]:
        """The rows of a model from ``first`` to ``last``, both included, in order; days without a row are left out."""
        ...
