"""The logins that last: the durable truth behind the sessions cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from stores.domain.user_sessions import UserSession


class UserSessions(Protocol):
    """The sessions of users. Only the hash of a token is kept, so reading this store opens no session.

    A session is live while it is active and ``now`` is before its ``expires_at``; times are the caller's. What a call
    changed is durable when it returns, and a session that was revoked is live for no reader after that. Raises
    TransientError when nothing was changed; every call may be repeated at will after OutcomeUnknownError.
    """

    async def create(self, session: UserSession) -> UserSession:
        """Add a session and return it as stored; one that is already there is returned as it is.

        Raises NotFoundError when there is no such user, or the user is not active.
        """
        ...

    async def live(self, token: str, now: datetime) -> UserSession:
        """The live session of this token. Raises NotFoundError, which never quotes it."""
        ...

    async def touch(self, token: str, now: datetime, lifetime_s: float) -> UserSession:
        """Note activity: the session then lives until ``now`` + ``lifetime_s`` at least. Never shortens it.

        Raises NotFoundError when it is not live: what has expired or was revoked does not come back.
        """
        ...

    async def of_user(self, user_id: UUID, now: datetime) -> tuple[UserSession, ...]:
        """The user's live sessions, the last active one first."""
        ...

    async def revoke(self, session_id: str) -> bool:
        """End one session by its public id. Whether it was still active; False also for an unknown one."""
        ...

    async def revoke_all(self, user_id: UUID) -> int:
        """End every session of a user and return how many were still active."""
        ...

    async def purge_expired(self, now: datetime, limit: int) -> int:
        """Delete at most ``limit`` sessions that have expired and return how many; call it until it gives less.

        Safe beside every other call and from many processes at once: each takes other rows.
        """
        ...
