"""Many small additions become few large deliveries: by size or by age, whichever comes first."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from stores.backoff import until_done
from stores.errors import InvalidError, OverloadedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


class Batcher(Generic[T]):
    """A bounded queue in front of ``deliver``. Order is kept; one delivery is under way at a time.

    A delivery that raises TransientError is repeated, with growing pauses, until it succeeds: the queue then fills, and
    `add` makes its caller wait and at last raises OverloadedError. Any other error of a delivery drops its batch and is
    handed to ``dropped``. Nothing survives the process: what must is written to a durable place by `deliver`'s owner
    first. Belongs to one event loop.
    """

    def __init__(  # noqa: PLR0913  # one number per bound
        self,
        deliver: Callable[[list[T]], Awaitable[None]],
        dropped: Callable[[list[T], Exception], None],
        *,
        max_batch: int,
        max_age_s: float,
        max_queued: int,
        add_timeout_s: float = 5.0,
    ) -> None:
        self._deliver = deliver
        self._dropped = dropped
        self._max_batch = max_batch
        self._max_age_s = max_age_s
        self._max_queued = max_queued
        self._add_timeout_s = add_timeout_s
        self._queue: deque[T] = deque()
        self._changed = asyncio.Condition()
        self._hurried = 0  # how many wait for the queue to be empty: do not wait for age
        self._delivering = 0
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many items wait or are being delivered."""
        return len(self._queue) + self._delivering

    async def add(self, items: Sequence[T]) -> None:
        """Queue the items, all or none, waiting while the queue is full.

        Raises OverloadedError after the timeout, and InvalidError for more than the queue can ever hold.
        """
        if self._closed:
            raise TransientError("this queue is closed")
        if len(items) > self._max_queued:
            raise InvalidError(f"{len(items)} items at once; give at most {self._max_queued}")
        self._start()
        async with self._changed:
            try:
                async with asyncio.timeout(self._add_timeout_s):
                    await self._changed.wait_for(lambda: self.queued + len(items) <= self._max_queued)
            except TimeoutError:
                raise OverloadedError(f"{self.queued} items wait to be delivered; try again later") from None
            self._queue.extend(items)
            self._changed.notify_all()

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything that was added is delivered or dropped. Raises TransientError after the timeout."""
        async with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: self.queued == 0)
            except TimeoutError:
                raise TransientError(f"{self.queued} items could not be delivered in {timeout_s:g} s") from None
            finally:
                self._hurried -= 1

    async def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, then stop. Raises TransientError when that took too long: the rest is given up."""
        self._closed = True
        try:
            if self._task is not None:
                await self.flush(timeout_s)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
                self._task = None

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                await until_done(partial(self._deliver, batch), _is_transient)
            except Exception as error:  # noqa: BLE001  # a batch that fails must not stop those behind it
                self._dropped(batch, error)
            async with self._changed:
                self._delivering = 0
                self._changed.notify_all()

    async def _next_batch(self) -> list[T]:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._queue))
            try:
                async with asyncio.timeout(self._max_age_s):
                    await self._changed.wait_for(lambda: bool(self._hurried) or len(self._queue) >= self._max_batch)
            except TimeoutError:
                pass
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]
            self._delivering = len(batch)
            return batch


def _is_transient(error: Exception) -> bool:
    return isinstance(error, TransientError)
