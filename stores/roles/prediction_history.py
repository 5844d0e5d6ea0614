"""What a user asked lately, to be shown at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class PredictionHistory(Protocol):
    """The ids of each user's newest predictions, at most ``most`` of them, kept for 24 hours after the first entry.

    A cache over the predictions: it knows whether it has all of a user's newest ids, and answers None where it may
    lack one; who asks then reads the predictions and fills it. An `add` that failed leaves a gap: `forget` the user
    then, or live with it for 24 hours. Raises TransientError when the server does not answer.
    """

    most: int

    async def add(self, user_id: UUID, prediction_ids: Sequence[UUID]) -> None:
        """Enter new predictions (UUIDv7), in any order; a known one is left as it is."""
        ...

    async def newest(self, user_id: UUID, limit: int) -> list[UUID] | None:
        """Up to ``limit`` ids, newest first, fewer where the user has no more; None when that is not known.

        Raises InvalidError for a limit beyond ``most``.
        """
        ...

    async def fill(self, user_id: UUID, prediction_ids: Sequence[UUID]) -> None:
        """Enter the user's newest predictions as the truth has them; what was added meanwhile stays."""
        ...

    async def forget(self, user_id: UUID) -> None:
        """Forget the user, also for good (a deleted account)."""
        ...
