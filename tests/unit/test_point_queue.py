"""Points wait within bounds, are repeated until the server has them, and what it refuses is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from stores import backoff, point_queue
from stores.domain.measurements import Point
from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, TransientError
from stores.point_queue import PointQueue, TagValues

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def _point(time: datetime = NOON, node: str = "n") -> Point:
    return Point("system_metrics", {"service": "s", "pod_name": "p", "node": node}, {"cpu_usage": 1}, time)


class Server:
    """Takes batches; raises what it is told to first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[Point] = []
        self.open = asyncio.Event()
        self.open.set()

    async def deliver(self, points: list[Point]) -> None:
        """Take a batch once it is open."""
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.taken += points

    def queue(self) -> PointQueue:
        """A queue in front of this server."""
        return PointQueue(self.deliver, lambda: NOON)


async def test_a_write_of_unknown_outcome_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing twice is once, so nobody has to hear of it."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    server = Server(OutcomeUnknownError("lost"), TransientError("away"))
    queue = server.queue()
    await queue.add([_point()])
    await queue.flush(5)
    assert server.taken == [_point()]
    await queue.close()


async def test_a_refusal_is_told_once_by_the_next_flush() -> None:
    """What came after it is durable."""
    server = Server(InvalidError("no such table"))
    queue = server.queue()
    await queue.add([_point()])
    with pytest.raises(InvalidError, match="no such table"):
        await queue.flush(5)
    await queue.add([_point()])
    await queue.flush(5)
    assert server.taken == [_point()]
    await queue.close()


async def test_a_refusal_is_told_by_the_close() -> None:
    """Nothing is dropped without a word."""
    queue = Server(InvalidError("no such table")).queue()
    await queue.add([_point()])
    with pytest.raises(InvalidError, match="no such table"):
        await queue.close()


async def test_a_full_queue_pushes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """All or none of a call's points are queued."""
    monkeypatch.setattr(point_queue, "MAX_QUEUED", 3)
    monkeypatch.setattr(point_queue, "ADD_TIMEOUT_S", 0.01)
    server = Server()
    server.open.clear()
    queue = server.queue()
    await queue.add([_point(), _point()])
    with pytest.raises(OverloadedError):
        await queue.add([_point(), _point()])
    await queue.add([_point()])
    server.open.set()
    await queue.flush(5)
    assert len(server.taken) == 3
    await queue.close()


async def test_more_points_than_the_queue_can_ever_hold_are_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying again later would not help: the caller is told how many fit."""
    monkeypatch.setattr(point_queue, "MAX_QUEUED", 3)
    queue = Server().queue()
    with pytest.raises(InvalidError, match="4 points at once; give at most 3") as caught:
        await queue.add([_point()] * 4)
    assert caught.value.field == "points"
    await queue.add([_point()] * 3)
    await queue.close()


@pytest.mark.parametrize("away", [timedelta(days=-7), timedelta(hours=1, microseconds=1)])
async def test_a_time_that_nobody_could_find_is_refused(away: timedelta) -> None:
    """Its neighbours are not queued either."""
    server = Server()
    queue = server.queue()
    with pytest.raises(InvalidError) as caught:
        await queue.add([_point(), _point(NOON + away)])
    assert caught.value.field == "time"
    await queue.flush(5)
    assert server.taken == []


def test_a_flooded_tag_is_named_until_tomorrow() -> None:
    """A thousand nodes are fine, also again; the next is not; another day begins anew."""
    values = TagValues()
    for number in range(1000):
        values.admit(_point(node=f"n{number}"), NOON.date())
    values.admit(_point(node="n7"), NOON.date())
    with pytest.raises(InvalidError) as caught:
        values.admit(_point(node="one more"), NOON.date())
    assert caught.value.field == "tags.node"
    values.admit(_point(node="one more"), NOON.date() + timedelta(days=1))
