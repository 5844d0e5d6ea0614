"""What became of the predictions: for training, for the figures of accuracy, and for the user's own record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from stores.domain.feedback import Feedback as Outcome
    from stores.domain.predictions import PredictionRecord
    from stores.errors import NotFoundError


class Feedback(Protocol):
    """One outcome per prediction and source. What a source says later corrects what it said before, whichever arrives
    first; so every write may be repeated. What a call returned is durable. Concurrent writers never mix their rows.
    """

    async def record(self, feedback: Outcome) -> None:
        """Keep this outcome unless the source said a later one. Raises NotFoundError for an unknown prediction.

        A prediction of a moment ago may still be on its way from a gateway, and is waited for.
        """
        ...

    async def record_many(self, feedback: Sequence[Outcome]) -> list[NotFoundError | None]:
        """Keep many in one transaction: in order, the error of each whose prediction is unknown, None for the others.

        Raises InvalidError for more than 10,000.
        """
        ...

    async def get(self, prediction_id: UUID) -> tuple[Outcome, ...]:
        """What each source says of one prediction, the most reliable first; empty when nobody said anything."""
        ...

    async def pending(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 1000
    ) -> tuple[PredictionRecord, ...]:
        """The predictions of ``since`` <= time < ``until`` of which nobody said anything, the oldest first.

        ``after`` is the id of the last one of the page before. Raises InvalidError for a limit beyond 10,000.
        """
        ...

    async def told(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 1000
    ) -> tuple[tuple[PredictionRecord, tuple[Outcome, ...]], ...]:
        """The other predictions of that time, the oldest first, each with what its sources say as in `get`.

        Pages and errors are those of `pending`; a prediction is on a page of one of the two.
        """
        ...
