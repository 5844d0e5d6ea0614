"""Telling every process that something it may have cached has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stores.domain.invalidation import Invalidation, Missed


class Invalidations(Protocol):
    """A loudspeaker, not a log: who listens hears what is said from then on, in the order of each speaker.

    What is said while a listener is cut off is lost for it, and it is told so: `Missed` means "drop everything". So a
    listener that heeds both never keeps what was invalidated for longer than an interruption goes unnoticed (a few
    seconds), and a lifetime on everything cached bounds the rest.
    """

    async def publish(self, invalidation: Invalidation) -> None:
        """Tell all who listen now. Raises TransientError when the server does not answer."""
        ...

    def listen(self) -> AsyncGenerator[Invalidation | Missed, None]:
        """What is said, without end; `Missed` comes first, when it begins to hear, and again after each interruption.

        Never raises for a server that is away: it goes on trying. Close the iterator to stop.
        """
        ...
