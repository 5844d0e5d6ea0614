"""What operators set while the system runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stores.domain.configurations import Configuration


class Configurations(Protocol):
    """The entries by environment and key. What a call changed is durable when it returns. No error quotes a value."""

    async def get(self, config_key: str, environment: str) -> Configuration:
        """One entry, also an inactive one. Raises NotFoundError."""
        ...

    async def put(self, configuration: Configuration, expected_version: int) -> Configuration:
        """Write an entry that was read at ``expected_version`` (0: that is new) and return it as stored.

        Of two editors who read the same version one wins, the other gets ConflictError and reads again. Repeat with the
        same values: when this very change is what is stored, it is returned. Raises NotFoundError when there is nothing
        to replace, InvalidError when ``last_modified_by`` is no user.
        """
        ...

    async def list(self, environment: str) -> tuple[Configuration, ...]:
        """Every entry of an environment, also inactive ones, by key."""
        ...

    async def flags(self, environment: str) -> dict[str, Any]:
        """The values of the active feature flags of an environment, in one query."""
        ...
