"""Looking up what was answered a moment ago: its row may still be on the way from the journal of a gateway.

An id carries its moment, so a miss of a fresh one is told from a miss of one that never was, on any replica.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from stores.backoff import pauses_s
from stores.clock import utc_now
from stores.domain.prediction_id import created_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from uuid import UUID

T = TypeVar("T")

FRESH = timedelta(seconds=5)  # a row is there after 0.3 s; of a killed gateway, once another one has its journal
FIRST_PAUSE_S, MOST_PAUSE_S = 0.02, 0.3


async def found_when_delivered(
    look: Callable[[Collection[UUID]], Awaitable[dict[UUID, T]]], prediction_ids: Collection[UUID]
) -> dict[UUID, T]:
    """What ``look`` finds of these ids. It is asked again for those that it misses as long as they are fresh."""
    found = await look(prediction_ids)
    for pause_s in pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, 2 * FRESH.total_seconds()):
        missing = {one for one in prediction_ids if one not in found and _is_fresh(one)}
        if not missing:
            break
        await asyncio.sleep(pause_s)
        found |= await look(missing)
    return found


def _is_fresh(prediction_id: UUID) -> bool:
    """Whether its row may still be on the way; the clock of the gateway may be ahead of ours."""
    return abs(utc_now() - created_at(prediction_id)) < FRESH
