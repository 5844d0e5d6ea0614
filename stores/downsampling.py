"""Which stretches of time are folded into coarser windows, and when. Pure: the adapters do the folding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.domain.series_query import Resolution

LATE = timedelta(hours=1)  # a point that comes later than this is missing from the windows that are folded already
MOST_WINDOWS = 240  # of one series in one transaction or query: far within their deadlines, and what a crash repeats
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reach(resolution: Resolution) -> timedelta:
    """How far back every run folds again: the lateness, and what passes between two runs of both stages."""
    return LATE + 2 * resolution.step


def floor(moment: datetime, step: timedelta) -> datetime:
    """The multiple of ``step`` since 1970 at or before ``moment``."""
    return moment - (moment - EPOCH) % step


def spans(resolution: Resolution, reached: datetime | None, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The stretches to fold into ``resolution``, in order, all of whole windows.

    ``reached``: up to where it was folded before; None for never. When a run ends after any of them, the next one goes
    on from there.
    """
    until = floor(now, resolution.step)
    since = floor(now - reach(resolution), resolution.step)
    oldest = floor(now - resolution.source.retention, resolution.step)
    since = min(since, oldest if reached is None else floor(reached, resolution.step))
    while since < until:
        end = min(since + MOST_WINDOWS * resolution.step, until)
        yield since, end
        since = end
