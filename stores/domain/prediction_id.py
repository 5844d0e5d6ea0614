"""Prediction ids: they carry their moment (`stores.domain.time_ids`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.domain.time_ids import moment_of, new_time_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def new_prediction_id(now: datetime) -> UUID:
    """A fresh id of the moment ``now``, cut to the millisecond. Raises InvalidError for a naive or pre-1970 time."""
    return new_time_id(now)


def created_at(prediction_id: UUID) -> datetime:
    """The moment inside the id, to the millisecond. Raises InvalidError for a UUID of another kind."""
    return moment_of(prediction_id, "prediction_id", "a prediction id")
