"""The predictions that were given in a time, with what users told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from stores.domain.feedback import Feedback as Told
    from stores.domain.predictions import PredictionRecord
    from stores.roles.feedback import Feedback

PAGE = 10_000


class ToldPredictions(Protocol):
    """Lists what `Feedback.pending` leaves out: the predictions of which somebody said something."""

    async def told(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 1000
    ) -> tuple[tuple[PredictionRecord, tuple[Told, ...]], ...]:
        """Those of ``since`` <= time < ``until`` with their feedback, the most reliable first; the oldest first."""
        ...


async def served_between(
    feedback: Feedback, told: ToldPredictions | None, since: datetime, until: datetime
) -> tuple[list[PredictionRecord], dict[UUID, Sequence[Told]]]:
    """The predictions of ``since`` <= time < ``until`` in order of time, and the feedback of those that have some.

    Without ``told`` the predictions that users gave feedback on are left out.
    """
    predictions: list[PredictionRecord] = []
    last: UUID | None = None
    while page := await feedback.pending(since, until, after=last, limit=PAGE):
        predictions += page
        last = page[-1].prediction_id
    heard: dict[UUID, Sequence[Told]] = {}
    last = None
    while told is not None and (pairs := await told.told(since, until, after=last, limit=PAGE)):
        predictions += [prediction for prediction, _ in pairs]
        heard |= {prediction.prediction_id: said for prediction, said in pairs}
        last = pairs[-1][0].prediction_id
    return sorted(predictions, key=lambda it: it.prediction_id), heard
