"""The sessions of users in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING

from stores.domain.checks import check_aware, check_number
from stores.domain.user_sessions import UserSession, check_session_id, session_id_of
from stores.errors import NotFoundError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from stores.postgres.pool import Pool

MAX_LIFETIME_S = 366 * 86_400.0
MAX_PURGE = 100_000  # rows of one transaction

# ruff: noqa: S608 — every name below is a field of our own class
_COLUMNS = tuple(field.name for field in fields(UserSession))
_LIST = ", ".join(_COLUMNS)
_LIVE = "is_active AND expires_at > $2"
ACTIVE_USER = "SELECT 1 FROM users WHERE user_id = $1 AND is_active FOR SHARE"  # a deactivation waits, or we see it
INSERT = (
    f"INSERT INTO user_sessions ({_LIST}) VALUES ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
    " ON CONFLICT (session_id) DO NOTHING"
)
BY_ID = f"SELECT {_LIST} FROM user_sessions WHERE session_id = $1"
LIVE = f"{BY_ID} AND {_LIVE}"
TOUCH = (
    "UPDATE user_sessions SET last_activity_at = greatest(last_activity_at, $2),"
    f" expires_at = greatest(expires_at, $3) WHERE session_id = $1 AND {_LIVE} RETURNING {_LIST}"
)
OF_USER = f"SELECT {_LIST} FROM user_sessions WHERE user_id = $1 AND {_LIVE} ORDER BY last_activity_at DESC, session_id"
END = "UPDATE user_sessions SET is_active = FALSE WHERE session_id = $1 AND is_active RETURNING TRUE"
END_OF_USER = (
    "WITH ended AS (UPDATE user_sessions SET is_active = FALSE WHERE user_id = $1 AND is_active RETURNING 1)"
    " SELECT count(*) FROM ended"
)
PURGE = (
    "WITH expired AS MATERIALIZED (SELECT session_id FROM user_sessions WHERE expires_at <= $1"
    " ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),"
    " gone AS (DELETE FROM user_sessions USING expired WHERE user_sessions.session_id = expired.session_id RETURNING 1)"
    " SELECT count(*) FROM gone"
)


class PostgresUserSessions:
    """`UserSessions` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, session: UserSession) -> UserSession:
        """Add a session."""
        async with self._pool.transaction() as connection:
            if await connection.fetchval(ACTIVE_USER, session.user_id) is None:
                raise NotFoundError(f"there is no active user {session.user_id}")
            await connection.execute(INSERT, *(getattr(session, name) for name in _COLUMNS))
            return _session(await connection.fetchrow(BY_ID, session.session_id))

    async def live(self, token: str, now: datetime) -> UserSession:
        """The live session of this token."""
        check_aware(now, "now")
        async with self._pool.transaction(readonly=True) as connection:
            return _session(await connection.fetchrow(LIVE, session_id_of(token), now))

    async def touch(self, token: str, now: datetime, lifetime_s: float) -> UserSession:
        """Note activity."""
        check_aware(now, "now")
        check_number(lifetime_s, "lifetime_s", 1, MAX_LIFETIME_S)
        until = now + timedelta(seconds=lifetime_s)
        async with self._pool.transaction() as connection:
            return _session(await connection.fetchrow(TOUCH, session_id_of(token), now, until))

    async def of_user(self, user_id: UUID, now: datetime) -> tuple[UserSession, ...]:
        """The user's live sessions."""
        check_aware(now, "now")
        async with self._pool.transaction(readonly=True) as connection:
            return tuple(_session(row) for row in await connection.fetch(OF_USER, user_id, now))

    async def revoke(self, session_id: str) -> bool:
        """End one session."""
        check_session_id(session_id, "session_id")
        async with self._pool.transaction() as connection:
            return await connection.fetchval(END, session_id) is True

    async def revoke_all(self, user_id: UUID) -> int:
        """End every session of a user."""
        async with self._pool.transaction() as connection:
            return int(await connection.fetchval(END_OF_USER, user_id))

    async def purge_expired(self, now: datetime, limit: int) -> int:
        """Delete some expired sessions."""
        check_aware(now, "now")
        check_number(limit, "limit", 1, MAX_PURGE)
        async with self._pool.transaction() as connection:
            return int(await connection.fetchval(PURGE, now, limit))


def _session(row: asyncpg.Record | None) -> UserSession:
    if row is None:
        raise NotFoundError("there is no live session of this token")
    return UserSession(**dict(row))
