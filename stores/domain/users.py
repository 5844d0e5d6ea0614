"""Who uses Riftline: the account, its profile and the ways to log in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID, uuid4

from stores.domain.checks import check_object, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

MAX_EMAIL = 255
MAX_USERNAME = 50
MAX_PASSWORD_HASH = 255  # an Argon2 string has about 100
MAX_URL = 2048


class SubscriptionTier(StrEnum):
    """What a user pays for."""

    FREE = "free"
    PREMIUM = "premium"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class AuthType(StrEnum):
    """A way to log in."""

    PASSWORD = "password"  # noqa: S105  # a name
    OAUTH_GOOGLE = "oauth_google"
    OAUTH_DISCORD = "oauth_discord"
    OAUTH_RIOT = "oauth_riot"


class ProfileVisibility(StrEnum):
    """Who sees a profile."""

    PUBLIC = "public"
    FRIENDS = "friends"
    PRIVATE = "private"


def identity_key(name: str) -> str:
    """What two names must not share: case and compatible forms are folded (NFKC), the same on every server.

    PostgreSQL's lower() would depend on the database's locale: under C it folds ASCII alone.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. ``user_id`` is made by the caller, so that a repeated creation cannot double it.

    ``email`` and ``username`` are kept as written and are unique by their `identity_key`. ``password_hash`` is None for
    who logs in by a provider only. The last three fields are given by the store and ignored when a user is created.
    """

    email: str
    username: str
    user_id: UUID = field(default_factory=uuid4)
    password_hash: str | None = field(default=None, repr=False)
    email_verified: bool = False
    subscription_tier: SubscriptionTier = SubscriptionTier.FREE
    is_active: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)
    created_by: UUID | None = None
    updated_by: UUID | None = None
    last_login_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        _check_name(self.email, "email", MAX_EMAIL)
        local, _, host = self.email.rpartition("@")
        if not local or not host or " " in self.email:
            raise InvalidError("email is no address; give name@host", "email")
        _check_name(self.username, "username", MAX_USERNAME)
        check_text(self.password_hash, "password_hash", MAX_PASSWORD_HASH, blank=False)
        check_object(self.metadata, "metadata")


class UserChanges(TypedDict, total=False):
    """The fields of a user that an update may give; what is not given stays."""

    email: str
    username: str
    password_hash: str | None
    email_verified: bool
    subscription_tier: SubscriptionTier
    metadata: dict[str, Any]
    updated_by: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProfile:
    """What a user tells of themselves, and what they consent to. The times are given by the store."""

    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    timezone: str = "UTC"
    language_code: str = "en"
    preferences: dict[str, Any] = field(default_factory=dict)
    riot_account_id: str | None = None
    summoner_name: str | None = None
    region: str | None = None
    profile_visibility: ProfileVisibility = ProfileVisibility.PUBLIC
    data_sharing_consent: bool = False
    marketing_consent: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        for name, most in _PROFILE_TEXTS.items():
            check_text(getattr(self, name), name, most)
        for name in ("timezone", "language_code"):
            check_text(getattr(self, name), name, _PROFILE_TEXTS[name], blank=False)
        check_object(self.preferences, "preferences")


_PROFILE_TEXTS = {
    "first_name": 100,
    "last_name": 100,
    "display_name": 100,
    "avatar_url": MAX_URL,
    "timezone": 50,
    "language_code": 10,
    "riot_account_id": 100,
    "summoner_name": 50,
    "region": 10,
}


class ProfileChanges(TypedDict, total=False):
    """The fields of a profile that an update may give; what is not given stays."""

    first_name: str | None
    last_name: str | None
    display_name: str | None
    avatar_url: str | None
    timezone: str
    language_code: str
    preferences: dict[str, Any]
    riot_account_id: str | None
    summoner_name: str | None
    region: str | None
    profile_visibility: ProfileVisibility
    data_sharing_consent: bool
    marketing_consent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthMethod:
    """One way of one user to log in; a user has at most one of each type, and at most one primary.

    ``provider_id`` is the user's id at the provider: every provider's method has one, a password has none.
    ``auth_data`` may hold a provider's tokens and is never shown. The last two fields are given by the store.
    """

    auth_type: AuthType
    provider_id: str | None = None
    auth_method_id: UUID = field(default_factory=uuid4)
    auth_data: dict[str, Any] | None = field(default=None, repr=False)
    is_primary: bool = False
    is_verified: bool = False
    last_used_at: datetime | None = None
    created_at: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.provider_id, "provider_id", 255, blank=False)
        if (self.provider_id is None) != (self.auth_type is AuthType.PASSWORD):
            wrong = "is missing" if self.provider_id is None else "is given"
            raise InvalidError(f"provider_id {wrong} for {self.auth_type}; a provider has one", "provider_id")
        if self.auth_data is not None:
            check_object(self.auth_data, "auth_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDeletion:
    """The proof of a deletion: how many rows of the user each table gave up. All zero when there were none."""

    user_id: UUID
    users: int
    user_profiles: int
    user_auth_methods: int
    user_sessions: int
    api_keys: int


def check_credentials(user: User, method: AuthMethod) -> None:
    """Refuse a user who could not log in by their first method."""
    if method.auth_type is AuthType.PASSWORD and user.password_hash is None:
        raise InvalidError("password_hash is missing; give one or log in by a provider", "password_hash")


def _check_name(name: str, name_field: str, most: int) -> None:
    check_text(name, name_field, most, blank=False)
    if name != name.strip() or not name.isprintable():
        raise InvalidError(f"{name_field} has blanks around it or invisible characters; leave them out", name_field)
    if len(identity_key(name)) > most:  # some characters fold into many, and the key must fit an index
        raise InvalidError(f"{name_field} is longer than {most} characters when folded; shorten it", name_field)
