"""Gathers what is asked of the model while it is being asked: what waits together is computed together.

Nothing waits for others to come: a question is sent as long as fewer than TOGETHER calls are under way, and what comes
then waits for the next one to return. So a question alone costs no delay, and batches grow with the load.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.forecast_kernel import Evidence
from serve_apps.model_replica import MOST_SERIES, Asked, ModelKey, Said
from stores.errors import RiftlineError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    Ask = Callable[[ModelKey, Sequence[Asked]], Awaitable[list[Said | RiftlineError]]]

TOGETHER = 2  # calls under way from one gateway: more would make batches smaller, fewer leave replicas idle


class _Waiting(NamedTuple):
    key: ModelKey
    asked: Asked
    said: Future[Said]


class Gathering:
    """Sends questions by ``ask``, on ``loop``; they come from other threads.

    A batch is of one version and at most ``most`` series, the oldest first; within it, series of one shape are joined.
    """

    def __init__(
        self, ask: Ask, loop: asyncio.AbstractEventLoop, *, most: int = MOST_SERIES, together: int = TOGETHER
    ) -> None:
        self._ask = ask
        self._loop = loop
        self._most = most
        self._together = together
        self._waiting: list[_Waiting] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, key: ModelKey, asked: Asked) -> Future[Said]:
        """What the model will say; its errors are those of ``ask``, or what was wrong with this question."""
        waiting = _Waiting(key, asked, Future())
        self._loop.call_soon_threadsafe(self._add, waiting)
        return waiting.said

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._send()

    def _send(self) -> None:
        while self._waiting and len(self._under_way) < self._together:
            task = self._loop.create_task(self._ask_for(self._next()))
            self._under_way.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send()

    def _next(self) -> list[_Waiting]:
        key, series = self._waiting[0].key, 0
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        for one in self._waiting:
            n = len(one.asked.evidence.position)
            fits = one.key == key and not left and (not batch or series + n <= self._most)
            (batch if fits else left).append(one)
            series += n * fits
        self._waiting = left
        return batch

    async def _ask_for(self, batch: Sequence[_Waiting]) -> None:
        alike: dict[object, list[_Waiting]] = {}
        for one in batch:
            alike.setdefault(_shape(one.asked), []).append(one)
        try:
            said = await self._ask(batch[0].key, [_joined([one.asked for one in some]) for some in alike.values()])
        except BaseException as error:
            for one in batch:
                one.said.set_exception(error if isinstance(error, Exception) else RuntimeError("the loop ended"))
            if not isinstance(error, Exception):
                raise
            return
        for some, of_shape in zip(alike.values(), said, strict=True):
            _share_out(some, of_shape)


def _shape(asked: Asked) -> object:
    return (*asked[:4], asked.evidence.position.shape[1], asked.evidence.same_side.tobytes())


def _joined(asked: Sequence[Asked]) -> Asked:
    if len(asked) == 1:
        return asked[0]
    *tables, same_sides = zip(*(one.evidence for one in asked), strict=True)
    return asked[0]._replace(evidence=Evidence._make([*map(np.concatenate, tables), same_sides[0]]))


def _share_out(waiting: Sequence[_Waiting], said: Said | RiftlineError) -> None:
    start = 0
    for one in waiting:
        if isinstance(said, RiftlineError):
            one.said.set_exception(said)
            continue
        end = start + len(one.asked.evidence.position)
        one.said.set_result(Said(said.base[start:end], said.calibrated[start:end], said.reached[start:end]))
        start = end
