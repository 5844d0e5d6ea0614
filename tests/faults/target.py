"""What a fault run needs to know of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Killable(Protocol):
    """A server process that can be killed and started again."""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        ...

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        ...


class Writes(Protocol):
    """Writes ids durably."""

    async def write(self, name: str) -> None:
        """Write it. Raises OutcomeUnknownError when it may be there, another RiftlineError when it is not."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class Target(Protocol):
    """A store under faults. One run at a time."""

    name: str
    at_once: int
    kills_writers: bool
    resends: bool  # whether an id of unknown outcome may be written again and is there once

    def start(self, folder: Path) -> Killable | None:
        """Start it and make its tables; what is returned is killed, None means that only writers are."""
        ...

    def options(self, folder: Path) -> dict[str, str]:
        """What a writer needs to know."""
        ...

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Called in the writer process."""
        ...

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Every id that is there, as often as it is."""
        ...

    def stop(self) -> None:
        """Stop what was started."""
        ...
