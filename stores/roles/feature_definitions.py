"""The meaning of every feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.feature_definitions import FeatureDefinition


class FeatureDefinitions(Protocol):
    """The features by name. What a call changed is durable when it returns; every call may be repeated at will."""

    async def register(self, definitions: Sequence[FeatureDefinition]) -> int:
        """Add these or replace those of the same name, all or none, and return how many were new or different.

        A deprecated one becomes active again; ``feature_id`` and ``created_by`` stay those of the first registration.
        What is equal is not written, so every process may register at its start. Raises InvalidError when a name comes
        twice or ``created_by`` is no user.
        """
        ...

    async def get(self, feature_name: str) -> FeatureDefinition:
        """One definition, also a deprecated one. Raises NotFoundError."""
        ...

    async def active(self) -> tuple[FeatureDefinition, ...]:
        """The definitions that are not deprecated, by name."""
        ...

    async def deprecate(self, feature_name: str) -> FeatureDefinition:
        """Mark a feature as no longer used; the first time of it stays. Raises NotFoundError."""
        ...
