"""Who uses Riftline: accounts, profiles and ways to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Unpack

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from stores.domain.users import (
        AuthMethod,
        AuthType,
        ProfileChanges,
        User,
        UserChanges,
        UserDeletion,
        UserProfile,
    )


class Users(Protocol):
    """The accounts. An email, a username and a provider's account belong to one user, whatever their case.

    Every call is one step for all readers: whole or not at all, and durable when it returns. Every call may be repeated
    after OutcomeUnknownError, as its docstring says. Raises NotFoundError where a user is named that does not exist,
    TransientError when nothing was changed. No error quotes an email.
    """

    async def create(self, user: User, method: AuthMethod, profile: UserProfile) -> User:
        """Add a user with the profile and the first way to log in, and return the user as stored.

        Repeat with the same values: the user that is already stored under this ``user_id`` is returned. Raises
        ConflictError saying whether email, username or the provider's account is taken: of two at once one wins.
        InvalidError when the user could not log in by ``method``.
        """
        ...

    async def get(self, user_id: UUID) -> User:
        """One user. Raises NotFoundError."""
        ...

    async def by_email(self, email: str) -> User:
        """The user with this email, in any case. Raises NotFoundError."""
        ...

    async def by_username(self, username: str) -> User:
        """The user with this name, in any case. Raises NotFoundError."""
        ...

    async def by_provider(self, auth_type: AuthType, provider_id: str) -> User:
        """The user to whom this account at a provider belongs. Raises NotFoundError."""
        ...

    async def update(self, user_id: UUID, **changes: Unpack[UserChanges]) -> User:
        """Change the given fields alone and return the user; updates of other fields at once are both kept.

        A changed email is unverified unless ``email_verified`` says otherwise. Repeat with the same values. Raises
        ConflictError when email or username is taken.
        """
        ...

    async def touch_login(self, user_id: UUID, auth_type: AuthType, now: datetime) -> None:
        """Note a login: of the user and of the method used. A later one that is known stays. Repeat at will."""
        ...

    async def deactivate(self, user_id: UUID) -> int:
        """Close the account and end its sessions; their number is returned. Repeat at will: then 0.

        A login that runs at the same time either fails or is ended too.
        """
        ...

    async def reactivate(self, user_id: UUID) -> None:
        """Open the account again; its ended sessions stay ended. Repeat at will."""
        ...

    async def delete(self, user_id: UUID) -> UserDeletion:
        """Delete the user with profile, ways to log in, sessions and API keys, and prove it by the rows that went.

        Predictions, usage and audit keep the bare id, which then leads nowhere. Repeat at will: then all zero, which is
        also what an unknown user gives.
        """
        ...

    async def profile(self, user_id: UUID) -> UserProfile:
        """The user's profile. Raises NotFoundError."""
        ...

    async def update_profile(self, user_id: UUID, **changes: Unpack[ProfileChanges]) -> UserProfile:
        """Change the given fields alone and return the profile. Repeat with the same values."""
        ...

    async def put_auth_method(self, user_id: UUID, method: AuthMethod) -> AuthMethod:
        """Add a way to log in, or replace the one with this ``auth_method_id``. A primary one displaces the former.

        Repeat with the same values. Raises ConflictError when the user has another one of this type, or when the
        provider's account belongs to someone else.
        """
        ...

    async def auth_methods(self, user_id: UUID) -> tuple[AuthMethod, ...]:
        """The user's ways to log in, the primary one first; none for a user that does not exist."""
        ...
