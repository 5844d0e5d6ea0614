"""The predictions given, searched page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from stores.domain.prediction_filters import PredictionFilter
    from stores.domain.predictions import PredictionRecord


class PredictionHistoryPages(Protocol):
    """Pages of what was predicted, newest first: no prediction is on two pages, and none that was there at the first
    page is left out of all. A page may be seconds behind what was recorded.
    """

    async def page(
        self, meant: PredictionFilter, *, before: UUID | None = None, limit: int = 50
    ) -> tuple[PredictionRecord, ...]:
        """At most ``limit`` predictions, older than ``before``, the last one of the page before.

        Raises InvalidError for a limit or a cursor out of range, TransientError while no server answers.
        """
        ...
