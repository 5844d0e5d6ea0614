"""The keys of programs in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from stores.domain.api_keys import ApiKey, Scope, check_prefix
from stores.domain.checks import check_aware
from stores.domain.users import SubscriptionTier
from stores.errors import NotFoundError
from stores.postgres.user_sessions import ACTIVE_USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from stores.postgres.pool import Pool

# ruff: noqa: S608 — every name below is a field of our own class
_COLUMNS = tuple(field.name for field in fields(ApiKey))
_LIST = ", ".join(_COLUMNS)
_LIVE = (
    "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND (user_id IS NULL"
    " OR EXISTS (SELECT 1 FROM users WHERE users.user_id = api_keys.user_id AND users.is_active))"
)
INSERT = (
    f"INSERT INTO api_keys ({_LIST}) VALUES ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
    " ON CONFLICT (api_key_id) DO NOTHING"
)
BY_ID = f"SELECT {_LIST} FROM api_keys WHERE api_key_id = $1"
LIVE_BY_ID = f"{BY_ID} AND {_LIVE}"
LIVE = f"SELECT {_LIST} FROM api_keys WHERE prefix = $1 AND {_LIVE}"
ALL = f"SELECT {_LIST} FROM api_keys ORDER BY created_at DESC, prefix"
REVOKE = f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE prefix = $1 RETURNING {_LIST}"
TOUCH = (
    "UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at)"
    " FROM unnest($1::uuid[], $2::timestamptz[]) AS used (id, at) WHERE api_key_id = used.id"
)


class PostgresApiKeys:
    """`ApiKeys` in PostgreSQL. Every read is of the primary: a replica would go on showing a revoked key as live."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, key: ApiKey) -> ApiKey:
        """Add a key."""
        async with self._pool.transaction() as connection:
            if key.user_id is not None and await connection.fetchval(ACTIVE_USER, key.user_id) is None:
                raise NotFoundError(f"there is no active user {key.user_id}")
            await connection.execute(INSERT, *(getattr(key, name) for name in _COLUMNS))
            return _key(await connection.fetchrow(BY_ID, key.api_key_id))

    async def live(self, prefix: str, now: datetime) -> ApiKey:
        """The live key of this prefix."""
        check_prefix(prefix)
        check_aware(now, "now")
        async with self._pool.transaction(readonly=True) as connection:
            return _key(await connection.fetchrow(LIVE, prefix, now))

    async def live_by_id(self, api_key_id: UUID, now: datetime) -> ApiKey:
        """The live key of this id."""
        check_aware(now, "now")
        async with self._pool.transaction(readonly=True) as connection:
            return _key(await connection.fetchrow(LIVE_BY_ID, api_key_id, now))

    async def list(self) -> tuple[ApiKey, ...]:
        """Every key."""
        async with self._pool.transaction(readonly=True) as connection:
            return tuple(_key(row) for row in await connection.fetch(ALL))

    async def revoke(self, prefix: str, now: datetime) -> ApiKey:
        """End a key."""
        check_prefix(prefix)
        check_aware(now, "now")
        async with self._pool.transaction() as connection:
            return _key(await connection.fetchrow(REVOKE, prefix, now))

    async def touch(self, used: Mapping[UUID, datetime]) -> None:
        """Note when keys were last used."""
        for moment in used.values():
            check_aware(moment, "used")
        ordered = sorted(used)  # two replicas that lock rows in two orders would wait for each other
        async with self._pool.transaction() as connection:
            await connection.execute(TOUCH, ordered, [used[one] for one in ordered])


def _key(row: asyncpg.Record | None) -> ApiKey:
    if row is None:
        raise NotFoundError("there is no such live API key")
    scopes = tuple(Scope(scope) for scope in row["scopes"])
    return ApiKey(**dict(row) | {"tier": SubscriptionTier(row["tier"]), "scopes": scopes})
