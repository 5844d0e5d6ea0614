"""A circuit breaker: a server that went silent costs a deadline a few times, and nothing from then on.

Source: Nygard, Release It! (2018), "Circuit Breaker".
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from stores.errors import OutcomeUnknownError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FAILURES = 3  # in a row: one may be a broken connection, which is replaced at its next use
FIRST_PAUSE_S = 0.5
MOST_PAUSE_S = 10.0  # a server that came back is found within this time


class State(StrEnum):
    """Closed: calls pass. Open: none does. Half-open: one passes, and its outcome decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Counts the failures of one server. Belongs to one event loop; ``clock`` is monotonic, in seconds.

    After ``failures`` in a row it opens; after a pause one call may try, and each failed try doubles the pause. An
    outcome counts only for the state in which its call began: a late one neither opens nor closes anything.
    """

    def __init__(self, name: str, *, failures: int = FAILURES, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._most = failures
        self._clock = clock
        self._state = State.CLOSED
        self._failed = 0
        self._pause_s = FIRST_PAUSE_S
        self._opened_at = 0.0
        self._epoch = 0

    @property
    def state(self) -> State:
        """As of the last call."""
        return self._state

    def enter(self) -> int | None:
        """Begin a call: its epoch, to be told to one of the three below; None when it must not be made."""
        if self._state is State.OPEN and self._clock() - self._opened_at >= self._pause_s:
            self._become(State.HALF_OPEN)
            return self._epoch
        return self._epoch if self._state is State.CLOSED else None

    def succeeded(self, epoch: int) -> None:
        """The server answered."""
        if epoch != self._epoch:
            return
        self._failed, self._pause_s = 0, FIRST_PAUSE_S
        if self._state is State.HALF_OPEN:
            self._become(State.CLOSED)

    def failed(self, epoch: int) -> None:
        """The server did not answer."""
        if epoch != self._epoch:
            return
        self._failed += 1
        if self._state is State.HALF_OPEN:
            self._pause_s = min(2 * self._pause_s, MOST_PAUSE_S)
        if self._state is State.HALF_OPEN or self._failed >= self._most:
            self._opened_at = self._clock()
            self._become(State.OPEN)

    def left(self, epoch: int) -> None:
        """The caller gave up; nothing is known of the server. Of a try this makes room for the next one."""
        if epoch == self._epoch and self._state is State.HALF_OPEN:
            self._become(State.OPEN)

    async def call(self, ask: Callable[[], Awaitable[T]], within_s: float, *, writes: bool = False) -> T:
        """What ``ask`` returns, within the deadline.

        Raises TransientError at once while open, and at the deadline; there OutcomeUnknownError of what ``writes``.
        Errors that the server gave count as answers.
        """
        epoch = self.enter()
        if epoch is None:
            raise TransientError(f"{self.name} did not answer the last calls; it is asked again in a moment")
        try:
            async with asyncio.timeout(within_s):
                result = await ask()
        except TimeoutError:
            self.failed(epoch)
            late = OutcomeUnknownError if writes else TransientError
            raise late(f"{self.name} does not answer within {within_s:g} s") from None
        except (TransientError, OutcomeUnknownError):
            self.failed(epoch)
            raise
        except asyncio.CancelledError:
            self.left(epoch)
            raise
        except Exception:
            self.succeeded(epoch)
            raise
        self.succeeded(epoch)
        return result

    def _become(self, state: State) -> None:
        self._state = state
        self._failed = 0
        self._epoch += 1
