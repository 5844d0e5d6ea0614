"""The predictions that were given in a time, with what users told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from stores.domain.feedback import Feedback as Told
    from stores.domain.predictions import PredictionRecord
    from stores.roles.feedback import Feedback

PAGE = 10_000


async def served_between(
    feedback: Feedback, since: datetime, until: datetime
) -> tuple[list[PredictionRecord], dict[UUID, Sequence[Told]]]:
    """The predictions of ``since`` <= time < ``until`` in order of time, and the feedback of those that have some."""
    predictions: dict[UUID, PredictionRecord] = {}  # feedback that comes meanwhile moves one to the later pages
    last: UUID | None = None
    while page := await feedback.pending(since, until, after=last, limit=PAGE):
        predictions |= {record.prediction_id: record for record in page}
        last = page[-1].prediction_id
    heard: dict[UUID, Sequence[Told]] = {}
    last = None
    while pairs := await feedback.told(since, until, after=last, limit=PAGE):
        predictions |= {record.prediction_id: record for record, _ in pairs}
        heard |= {record.prediction_id: said for record, said in pairs}
        last = pairs[-1][0].prediction_id
    return [predictions[key] for key in sorted(predictions)], heard
