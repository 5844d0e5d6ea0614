"""What was asked of the API, kept for quotas, bills and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from stores.domain.usage import ApiCall, DailyUsage


class ApiUsage(Protocol):
    """The calls of the API. Written by many at a time: put a `Batcher` in front of `record_many`."""

    async def record_many(self, calls: Sequence[ApiCall]) -> None:
        """Store these calls, all or none; durable when it returns. Repeat with the same ids: none is doubled."""
        ...

    async def daily(self, user_id: UUID, first: date, last: date) -> tuple[DailyUsage, ...]:
        """The sums of a user's days of UTC from ``first`` to ``last``, both included, days without calls left out."""
        ...
