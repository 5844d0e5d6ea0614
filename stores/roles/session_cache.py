"""Logins that were looked up lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from stores.domain.user_sessions import UserSession


class SessionCache(Protocol):
    """Sessions that are in use, kept for 30 minutes after their last use and never beyond their ``expires_at``.

    A cache: a miss means "ask the user sessions", whoever asks then puts what is found. What was revoked here is not
    put back by someone who had read it before: a put of it is refused for 30 minutes. A fail-over of a cluster may
    forget a revocation of the moment before it; it then ends with the session's 30 minutes or its ``expires_at``.
    What cannot be read counts as a miss and in ``garbled``. Raises TransientError when the server does not answer.
    """

    garbled: int

    async def get(self, session_id: str, now: datetime) -> UserSession | None:
        """The session, its ``last_activity_at`` set to ``now``; its 30 minutes begin anew. None on a miss."""
        ...

    async def put(self, session: UserSession, now: datetime) -> bool:
        """Keep a session. False when it was revoked or has expired: it is not kept and must not be let in."""
        ...

    async def of_user(self, user_id: UUID) -> Sequence[str]:
        """The ids of the user's sessions that are cached, in order; some of them may have expired."""
        ...

    async def revoke(self, session_id: str) -> None:
        """Forget one session and refuse it from now on."""
        ...

    async def revoke_all(self, user_id: UUID, now: datetime) -> int:
        """Forget the user's sessions and refuse all that began until ``now``; how many were cached."""
        ...
