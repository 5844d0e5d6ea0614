"""What an operator can do with every store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from stores.errors import RiftlineError
from stores.roles.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

C = TypeVar("C", bound=Connection)


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


async def ask(
    name: str,
    address: Callable[[], str],
    opened: Callable[[], Awaitable[C]],
    describe: Callable[[C], Awaitable[str]],
    *,
    embedded: bool,
) -> StoreStatus:
    """Open a connection, ask whether its server answers and what it is, and close it; a server that is down is told.

    ``address`` raises InvalidError for settings that lead nowhere.
    """
    where, begun = "", time.perf_counter()
    try:
        where = address()
        connection = await opened()
        try:
            await connection.ping()
            detail = await describe(connection)
        finally:
            await connection.close()
    except RiftlineError as error:
        return StoreStatus(name, where, embedded, healthy=False, detail=str(error))
    return StoreStatus(
        name, where, embedded, healthy=True, detail=detail, latency_ms=(time.perf_counter() - begun) * 1e3
    )


async def no_detail(_: Connection) -> str:
    """Nothing to add."""
    return ""


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

    async def backup(self, folder: Path, earlier: Path | None, *, continuous: bool) -> str:
        """Save what it alone holds into the empty ``folder`` and return what that was, for people.

        ``earlier`` is the folder of the backup that this one will replace. ``continuous`` keeps later changes in
        ``folder`` too, where the server can.
        """
        ...

    async def obstacle(self, folder: Path, until: datetime | None) -> str | None:
        """Why this backup cannot be restored here, in words with a remedy: what the store holds, what is missing.

        Changes nothing. Raises InvalidError for a backup that is damaged or does not fit.
        """
        ...

    async def restore(self, folder: Path, until: datetime | None) -> str:
        """Bring a backup into an empty store and return what came back."""
        ...
