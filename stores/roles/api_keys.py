"""The keys by which programs ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from stores.domain.api_keys import ApiKey


class ApiKeys(Protocol):
    """The records of keys; the keys themselves are nowhere. Times are the caller's.

    A key is live until ``revoked_at`` or ``expires_at``, as long as its user, if it has one, is active. What a call
    changed is durable when it returns, and no reader after that finds a revoked key live. Every call may be repeated
    after OutcomeUnknownError. Raises TransientError when nothing was changed.
    """

    async def create(self, key: ApiKey) -> ApiKey:
        """Add a key and return it as stored; one that is already there under its id is returned as it is.

        Raises ConflictError when another key has this prefix, NotFoundError when there is no active user of its id.
        """
        ...

    async def live(self, prefix: str, now: datetime) -> ApiKey:
        """The live key of this prefix; whether it is the caller's is for the caller to see. Raises NotFoundError."""
        ...

    async def live_by_id(self, api_key_id: UUID, now: datetime) -> ApiKey:
        """The live key of this id. Raises NotFoundError."""
        ...

    async def list(self) -> tuple[ApiKey, ...]:
        """Every key, also those that have ended, the newest first."""
        ...

    async def revoke(self, prefix: str, now: datetime) -> ApiKey:
        """End a key and return it; one that was revoked before keeps its moment. Raises NotFoundError."""
        ...

    async def touch(self, used: Mapping[UUID, datetime]) -> None:
        """Note when keys were last used. A later use that is known stays; unknown ids are passed over."""
        ...
