"""The rows of users, user_profiles and user_auth_methods: from values to statements' arguments and back."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stores.domain.users import (
    AuthMethod,
    AuthType,
    ProfileChanges,
    ProfileVisibility,
    SubscriptionTier,
    User,
    UserChanges,
    UserProfile,
    identity_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    import asyncpg

_USER = tuple(field.name for field in fields(User))
_PROFILE = tuple(field.name for field in fields(UserProfile))
_METHOD = tuple(field.name for field in fields(AuthMethod))
_KEYS = ("email_key", "username_key")
_CREATED = tuple(name for name in _USER if name not in {"last_login_at", "created_at", "updated_at"})
_CHANGED = tuple(UserChanges.__annotations__)
_PROFILE_WRITTEN = tuple(ProfileChanges.__annotations__)
_METHOD_WRITTEN = tuple(name for name in _METHOD if name not in {"last_used_at", "created_at"})


def _numbers(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


def _assignments(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 2))


def _columns(names: Iterable[str], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


# ruff: noqa: S608 — every name below is a field of our own classes
_SELECT_USER = f"SELECT {_columns(_USER, 'users')} FROM users"
USER_BY_ID = f"{_SELECT_USER} WHERE user_id = $1"
USER_BY_EMAIL = f"{_SELECT_USER} WHERE email_key = $1"
USER_BY_USERNAME = f"{_SELECT_USER} WHERE username_key = $1"
USER_BY_PROVIDER = (
    f"{_SELECT_USER} JOIN user_auth_methods USING (user_id)"
    " WHERE user_auth_methods.auth_type = $1 AND user_auth_methods.provider_id = $2"
)
LOCK_USER = f"{USER_BY_ID} FOR NO KEY UPDATE"
INSERT_USER = (
    f"INSERT INTO users ({', '.join(_CREATED + _KEYS)}) VALUES ({_numbers(len(_CREATED + _KEYS))})"
    f" RETURNING {', '.join(_USER)}"
)
UPDATE_USER = (
    f"UPDATE users SET {_assignments(_CHANGED + _KEYS)}, updated_at = now() WHERE user_id = $1"
    f" RETURNING {', '.join(_USER)}"
)

PROFILE_BY_ID = f"SELECT {', '.join(_PROFILE)} FROM user_profiles WHERE user_id = $1"
LOCK_PROFILE = f"{PROFILE_BY_ID} FOR NO KEY UPDATE"
INSERT_PROFILE = (
    f"INSERT INTO user_profiles (user_id, {', '.join(_PROFILE_WRITTEN)}) VALUES ({_numbers(len(_PROFILE_WRITTEN) + 1)})"
)
UPDATE_PROFILE = (
    f"UPDATE user_profiles SET {_assignments(_PROFILE_WRITTEN)}, updated_at = now() WHERE user_id = $1"
    f" RETURNING {', '.join(_PROFILE)}"
)

METHODS_OF_USER = (
    f"SELECT {', '.join(_METHOD)} FROM user_auth_methods WHERE user_id = $1 ORDER BY is_primary DESC, auth_type"
)
DEMOTE_OTHERS = (
    "UPDATE user_auth_methods SET is_primary = FALSE WHERE user_id = $1 AND is_primary AND auth_method_id <> $2"
)
PUT_METHOD = (
    f"INSERT INTO user_auth_methods AS kept (user_id, {', '.join(_METHOD_WRITTEN)})"
    f" VALUES ({_numbers(len(_METHOD_WRITTEN) + 1)}) ON CONFLICT (auth_method_id) DO UPDATE SET"
    f" {', '.join(f'{name} = EXCLUDED.{name}' for name in _METHOD_WRITTEN if name != 'auth_method_id')}"
    f" WHERE kept.user_id = EXCLUDED.user_id RETURNING {', '.join(_METHOD)}"
)


def created(user: User) -> list[Any]:
    """The arguments of INSERT_USER."""
    return [*(getattr(user, name) for name in _CREATED), *_keys(user)]


def changed(user: User) -> list[Any]:
    """The arguments of UPDATE_USER."""
    return [user.user_id, *(getattr(user, name) for name in _CHANGED), *_keys(user)]


def written_profile(user_id: UUID, profile: UserProfile) -> list[Any]:
    """The arguments of INSERT_PROFILE and UPDATE_PROFILE."""
    return [user_id, *(getattr(profile, name) for name in _PROFILE_WRITTEN)]


def written_method(user_id: UUID, method: AuthMethod) -> list[Any]:
    """The arguments of PUT_METHOD."""
    return [user_id, *(getattr(method, name) for name in _METHOD_WRITTEN)]


def user_of(row: asyncpg.Record) -> User:
    """The user of a row."""
    values = dict(row)
    return User(**values | {"subscription_tier": SubscriptionTier(values["subscription_tier"])})


def profile_of(row: asyncpg.Record) -> UserProfile:
    """The profile of a row."""
    values = dict(row)
    return UserProfile(**values | {"profile_visibility": ProfileVisibility(values["profile_visibility"])})


def method_of(row: asyncpg.Record) -> AuthMethod:
    """The way to log in of a row."""
    values = dict(row)
    return AuthMethod(**values | {"auth_type": AuthType(values["auth_type"])})


def _keys(user: User) -> tuple[str, str]:
    return identity_key(user.email), identity_key(user.username)
