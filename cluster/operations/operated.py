"""What an operator can do with every store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How a store is. ``address`` never holds a password; ``detail`` is for people."""

    name: str
    address: str
    embedded: bool
    healthy: bool
    detail: str
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong in a store, and what to do about it."""

    store: str
    problem: str
    remedy: str


class OperatedStore(Protocol):
    """One store as its operator sees it. Opens what it needs for each call and closes it again."""

    @property
    def name(self) -> str:
        """The store's name, also of its folder in a backup."""
        ...

    async def status(self) -> StoreStatus:
        """How it is now; starts nothing and raises nothing for a store that is down."""
        ...

    async def migrate(self) -> list[str]:
        """Bring its schema up to date, starting an embedded server for it; returns what was done. Safe to repeat."""
        ...

    async def check(self) -> list[Problem]:
        """What is wrong with it. Raises TransientError while it does not answer."""
        ...

    async def backup(self, folder: Path, *, continuous: bool) -> str:
        """Save what it alone holds into ``folder`` and return what that was, for people.

        ``continuous`` keeps later changes there too, where the server can. A backup that fails leaves the earlier one.
        """
        ...

    async def held(self) -> str | None:
        """What it holds that a restore would overwrite, for people; None for a store that is empty or takes nothing."""
        ...

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Bring a backup into an empty store and return what came back."""
        ...
