"""When a replica is asked more than it answers in time: who comes then is told at once to come back."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LAG_S = 0.25  # beyond it, what waits for the event loop would be answered too late
TICK_S = 0.02
MOST_ELSEWHERE = 256  # questions that wait for a model elsewhere: four for each thread that waits
MOST_WAIT_S = 0.03  # for those before: who comes then is refused, so that those who are answered are answered in time
ALWAYS = 64  # questions that may wait, however slow the last ones were: a pause is no overload


class LoopLag:
    """How long the event loop lets others wait, told by a timer that comes too late. Belongs to one event loop.

    The shorter of the last two delays: one pause, as of the garbage collector, is no overload.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock

    async def keep(self) -> None:
        """Measure for ever."""
        before = 0.0
        while True:
            due = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            late = max(self._clock() - due, 0.0)
            self.seconds, before = min(late, before), late


class Crowd:
    """How many questions may wait to be answered together: as many as are worked out in MOST_WAIT_S.

    Reading questions, the disk and writing answers, about as much again, are not in it. The time of one is the shorter
    of the last two crowds', as in `LoopLag`.
    """

    def __init__(self) -> None:
        self.most = ALWAYS
        self._before_s = math.inf

    def answered(self, count: int, seconds: float) -> None:
        """So many were worked out in so long."""
        each_s = seconds / count
        self.most = max(ALWAYS, round(MOST_WAIT_S / min(each_s, self._before_s)))
        self._before_s = each_s
