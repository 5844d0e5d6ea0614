"""The curves shown beside predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from stores.domain.curves import PredictionCurve


class PredictionCurves(Protocol):
    """At most one curve per prediction; it never changes, so a write may be repeated. What a call returned is durable.

    A curve goes when its prediction is dropped by age.
    """

    async def store(self, curve: PredictionCurve) -> None:
        """Keep the curve. Raises NotFoundError for an unknown prediction, ConflictError when it has another curve."""
        ...

    async def get(self, prediction_id: UUID) -> PredictionCurve:
        """The curve of one prediction, to the bit. Raises NotFoundError when none was stored."""
        ...
