"""The accounts in PostgreSQL."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from stores.domain.checks import check_aware, check_text
from stores.domain.users import ProfileChanges, UserChanges, UserDeletion, check_credentials, identity_key
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres import user_rows as rows
from stores.postgres.user_sessions import END_OF_USER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from stores.domain.users import AuthMethod, AuthType, User, UserProfile
    from stores.postgres.pool import Pool

T = TypeVar("T")

MAX_SEARCHED = 1000  # a longer name than any that is stored; it still must be one
_TAKEN = {
    "users_email_unique": "this email is taken",
    "users_username_unique": "this username is taken",
    "users_pkey": "this user_id is another user's",
    "user_auth_methods_pkey": "this auth_method_id is another method's",
    "user_auth_methods_one_owner": "this account at the provider belongs to another user",
    "user_auth_methods_one_of_a_type": "the user has another method of this type",
}


class PostgresUsers:
    """`Users` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, user: User, method: AuthMethod, profile: UserProfile) -> User:
        """Add a user with the profile and the first way to log in."""
        check_credentials(user, method)
        try:
            async with self._changing() as connection:
                row = await connection.fetchrow(rows.INSERT_USER, *rows.created(user))
                await connection.execute(rows.INSERT_PROFILE, *rows.written_profile(user.user_id, profile))
                await connection.execute(rows.PUT_METHOD, *rows.written_method(user.user_id, method))
        except ConflictError:
            stored = await self._find(rows.USER_BY_ID, user.user_id)
            if stored is None or (stored.email, stored.username) != (user.email, user.username):
                raise
            return stored  # this very creation was repeated
        return rows.user_of(row)

    async def get(self, user_id: UUID) -> User:
        """One user."""
        return _found(await self._find(rows.USER_BY_ID, user_id), f"there is no user {user_id}")

    async def by_email(self, email: str) -> User:
        """The user with this email."""
        check_text(email, "email", MAX_SEARCHED)
        return _found(await self._find(rows.USER_BY_EMAIL, identity_key(email)), "no user has this email")

    async def by_username(self, username: str) -> User:
        """The user with this name."""
        check_text(username, "username", MAX_SEARCHED)
        return _found(await self._find(rows.USER_BY_USERNAME, identity_key(username)), "no user has this username")

    async def by_provider(self, auth_type: AuthType, provider_id: str) -> User:
        """The user of an account at a provider."""
        check_text(provider_id, "provider_id", MAX_SEARCHED)
        return _found(await self._find(rows.USER_BY_PROVIDER, auth_type, provider_id), f"no user has this {auth_type}")

    async def update(self, user_id: UUID, **changes: Unpack[UserChanges]) -> User:
        """Change the given fields alone."""
        _check_fields(changes, UserChanges.__annotations__)
        async with self._changing() as connection:
            former = rows.user_of(_found(await connection.fetchrow(rows.LOCK_USER, user_id), _no_user(user_id)))
            user = replace(former, **changes)
            if user.email != former.email and "email_verified" not in changes:
                user = replace(user, email_verified=False)
            row = await connection.fetchrow(rows.UPDATE_USER, *rows.changed(user))
        return rows.user_of(row)

    async def touch_login(self, user_id: UUID, auth_type: AuthType, now: datetime) -> None:
        """Note a login."""
        check_aware(now, "now")
        async with self._pool.transaction() as connection:
            known = await connection.fetchval(
                "UPDATE users SET last_login_at = greatest(last_login_at, $2) WHERE user_id = $1 RETURNING TRUE",
                user_id,
                now,
            )
            _found(known, _no_user(user_id))
            used = await connection.fetchval(
                "UPDATE user_auth_methods SET last_used_at = greatest(last_used_at, $3)"
                " WHERE user_id = $1 AND auth_type = $2 RETURNING TRUE",
                user_id,
                auth_type,
                now,
            )
            _found(used, f"user {user_id} has no {auth_type}")

    async def deactivate(self, user_id: UUID) -> int:
        """Close the account and end its sessions."""
        async with self._pool.transaction() as connection:
            await self._set_active(connection, user_id, active=False)
            return int(await connection.fetchval(END_OF_USER, user_id))

    async def reactivate(self, user_id: UUID) -> None:
        """Open the account again."""
        async with self._pool.transaction() as connection:
            await self._set_active(connection, user_id, active=True)

    async def delete(self, user_id: UUID) -> UserDeletion:
        """Delete the user and what hangs on it."""
        async with self._pool.transaction() as connection:
            await connection.execute("SELECT 1 FROM users WHERE user_id = $1 FOR UPDATE", user_id)
            return UserDeletion(
                user_id=user_id,
                user_sessions=await _deleted(connection, "user_sessions", user_id),
                api_keys=await _deleted(connection, "api_keys", user_id),
                user_auth_methods=await _deleted(connection, "user_auth_methods", user_id),
                user_profiles=await _deleted(connection, "user_profiles", user_id),
                users=await _deleted(connection, "users", user_id),
            )

    async def profile(self, user_id: UUID) -> UserProfile:
        """The user's profile."""
        async with self._pool.transaction(readonly=True) as connection:
            return rows.profile_of(_found(await connection.fetchrow(rows.PROFILE_BY_ID, user_id), _no_user(user_id)))

    async def update_profile(self, user_id: UUID, **changes: Unpack[ProfileChanges]) -> UserProfile:
        """Change the given fields of the profile alone."""
        _check_fields(changes, ProfileChanges.__annotations__)
        async with self._pool.transaction() as connection:
            former = _found(await connection.fetchrow(rows.LOCK_PROFILE, user_id), _no_user(user_id))
            profile = replace(rows.profile_of(former), **changes)
            row = await connection.fetchrow(rows.UPDATE_PROFILE, *rows.written_profile(user_id, profile))
        return rows.profile_of(row)

    async def put_auth_method(self, user_id: UUID, method: AuthMethod) -> AuthMethod:
        """Add a way to log in, or replace it."""
        async with self._changing() as connection:
            _found(await connection.fetchrow(rows.LOCK_USER, user_id), _no_user(user_id))
            if method.is_primary:
                await connection.execute(rows.DEMOTE_OTHERS, user_id, method.auth_method_id)
            row = await connection.fetchrow(rows.PUT_METHOD, *rows.written_method(user_id, method))
            if row is None:
                raise ConflictError(_TAKEN["user_auth_methods_pkey"])
        return rows.method_of(row)

    async def auth_methods(self, user_id: UUID) -> tuple[AuthMethod, ...]:
        """The user's ways to log in."""
        async with self._pool.transaction(readonly=True) as connection:
            found = await connection.fetch(rows.METHODS_OF_USER, user_id)
        return tuple(rows.method_of(row) for row in found)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction whose conflicts say what is taken, and quote nothing."""
        try:
            async with self._pool.transaction() as connection:
                yield connection
        except ConflictError as error:
            raise ConflictError(_TAKEN.get(_constraint(error), str(error))) from None  # the driver's quotes the row

    async def _find(self, statement: str, *arguments: Any) -> User | None:
        async with self._pool.transaction(readonly=True) as connection:
            row = await connection.fetchrow(statement, *arguments)
        return None if row is None else rows.user_of(row)

    async def _set_active(self, connection: asyncpg.Connection, user_id: UUID, *, active: bool) -> None:
        known = await connection.fetchval(
            "UPDATE users SET is_active = $2, updated_at = CASE WHEN is_active = $2 THEN updated_at ELSE now() END"
            " WHERE user_id = $1 RETURNING TRUE",
            user_id,
            active,
        )
        _found(known, _no_user(user_id))


def _check_fields(changes: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in changes:
        if name not in known:
            raise InvalidError(f"{name} cannot be updated; give some of {', '.join(known)}", name)


def _found(value: T | None, message: str) -> T:
    if value is None:
        raise NotFoundError(message)
    return value


def _no_user(user_id: UUID) -> str:
    return f"there is no user {user_id}"


def _constraint(error: ConflictError) -> str:
    return getattr(error.__cause__, "constraint_name", None) or ""


async def _deleted(connection: asyncpg.Connection, table: str, user_id: UUID) -> int:
    status = await connection.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)  # noqa: S608  # our tables
    return int(status.removeprefix("DELETE "))
