"""Pauses between attempts that grow and are spread, so that many callers do not come back at the same moment."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0  # a server that is back is found within this time


def pauses_s(first_s: float, most_s: float, within_s: float) -> Iterator[float]:
    """Pauses in seconds that double from ``first_s`` up to ``most_s``, each cut by up to a half at random.

    Ends when the next pause would bring their sum beyond ``within_s``; the caller's own attempts are not counted.
    """
    spent_s, pause_s = 0.0, first_s
    while spent_s + pause_s <= within_s:
        jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads callers, guards nothing
        yield jittered_s
        spent_s += jittered_s
        pause_s = min(2 * pause_s, most_s)


async def until_done(attempt: Callable[[], Awaitable[T]], worth_repeating: Callable[[Exception], bool]) -> T:
    """Repeat ``attempt``, however long it takes, and raise the first error that is not worth it."""
    pauses = pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, float("inf"))
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not worth_repeating(error):
                raise
        await asyncio.sleep(next(pauses))
