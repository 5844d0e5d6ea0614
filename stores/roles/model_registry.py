"""The versions of every model, and which of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from stores.domain.models import SYSTEM, Alias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.domain.models import ModelRecord, Transition


class ModelRegistry(Protocol):
    """The versions of every model. A version that was registered never changes, except for its deployment.

    What a call returned is durable. An alias of a name leads to at most one version at any moment, in every reader's
    eyes, and a version has at most one alias; the champion is the version in production. Each move of an alias is in
    `history` and in the audit log (action ``model_deploy``), or did not happen. Moves of one name queue.
    """

    async def register(self, record: ModelRecord) -> ModelRecord:
        """Add a version and return it as stored. Raises ConflictError when it exists, InvalidError when it is wrong."""
        ...

    async def promote(  # noqa: PLR0913 — what, and every word that is kept of it
        self,
        name: str,
        version: str,
        *,
        alias: Alias = Alias.CHAMPION,
        actor: str = SYSTEM,
        reason: str = "",
        gates: Mapping[str, Any] | None = None,
        force: bool = False,
        expected_champion: str | None = None,
    ) -> ModelRecord:
        """Give ``alias`` to a version, in one step; a version that has it already is left as it is. Idempotent.

        The new champion goes into production and the old one is deprecated; a challenger or shadow goes into staging.
        ``gates`` is the report that allowed it: with ``passed`` that is not true it allows nothing without ``force``,
        and what happens all the same is recorded as forced; so is a champion without a report.

        Raises NotFoundError when the version does not exist, InvalidError when the gates did not pass, when the
        champion would become something else, or for wrong words, and ConflictError unless ``expected_champion``, when
        given, is the champion.
        """
        ...

    async def rollback(
        self, name: str, *, actor: str = SYSTEM, reason: str = "", expected_champion: str | None = None
    ) -> ModelRecord:
        """Make the version champion again that was it before the current one; repeated, it goes further back.

        Give ``expected_champion`` so that a repeated call, or that of a second person, does not go back twice: raises
        ConflictError when that is not the champion any more. Raises NotFoundError when there was none before.
        """
        ...

    async def aliases(self, name: str) -> Mapping[Alias, ModelRecord]:
        """The versions that have an alias, all as of one moment."""
        ...

    async def history(self, name: str) -> tuple[Transition, ...]:
        """Every move of an alias of ``name``, the newest first."""
        ...

    async def production(self, name: str) -> ModelRecord | None:
        """The version of ``name`` that is in production, if there is one: its champion."""
        ...

    async def get(self, name: str, version: str) -> ModelRecord:
        """One version. Raises NotFoundError, suggesting the versions that do exist."""
        ...

    async def list(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        """Every version, of ``name`` only when given: by name, the newest first."""
        ...
