"""The versions of every model, and which of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stores.domain.models import ModelRecord


class ModelRegistry(Protocol):
    """The versions of every model. A version that was registered never changes, except for its deployment.

    What a call returned is durable. A name has at most one version in production at any moment, in every reader's eyes.
    """

    async def register(self, record: ModelRecord) -> ModelRecord:
        """Add a version and return it as stored. Raises ConflictError when it exists, InvalidError when it is wrong."""
        ...

    async def promote(self, name: str, version: str) -> ModelRecord:
        """Put a version into production and deprecate the one before it, in one step. Idempotent; also the rollback.

        Promotions of one name queue behind one another. Raises NotFoundError when the version does not exist.
        """
        ...

    async def production(self, name: str) -> ModelRecord | None:
        """The version of ``name`` that is in production, if there is one."""
        ...

    async def get(self, name: str, version: str) -> ModelRecord:
        """One version. Raises NotFoundError, suggesting the versions that do exist."""
        ...

    async def list(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        """Every version, of ``name`` only when given: by name, the newest first."""
        ...
