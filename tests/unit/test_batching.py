"""Batches go by size or age, in order, and the queue is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stores import backoff
from stores.batching import Batcher
from stores.errors import InvalidError, OverloadedError, TransientError


class Sink:
    """Takes batches; raises what it is told to first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.batches: list[list[int]] = []
        self.dropped: list[tuple[list[int], Exception]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.taken = asyncio.Event()

    async def deliver(self, batch: list[int]) -> None:
        """Take a batch once the gate is open."""
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(batch)
        self.taken.set()

    def batcher(self, **bounds: Any) -> Batcher[int]:
        """A queue in front of this sink that never goes by age unless told to."""
        settings = {"max_batch": 3, "max_age_s": 3600.0, "max_queued": 6, "add_timeout_s": 0.05} | bounds
        return Batcher(self.deliver, lambda batch, error: self.dropped.append((batch, error)), **settings)


async def test_a_full_batch_goes_at_once_and_the_rest_at_the_flush() -> None:
    """Order is kept over batches."""
    sink = Sink()
    batcher = sink.batcher()
    await batcher.add([1, 2])
    await batcher.add([3, 4])
    await batcher.flush(5)
    assert sink.batches == [[1, 2, 3], [4]]
    await batcher.close()


async def test_a_lonely_item_goes_by_age() -> None:
    """Nobody has to flush."""
    sink = Sink()
    batcher = sink.batcher(max_age_s=0.01)
    await batcher.add([1])
    await asyncio.wait_for(sink.taken.wait(), 5)
    assert sink.batches == [[1]]
    await batcher.close()


async def test_a_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or doubled by the repetition."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    sink = Sink(TransientError("away"), OverloadedError("full"))
    batcher = sink.batcher()
    await batcher.add([1, 2, 3])
    await batcher.flush(5)
    assert sink.batches == [[1, 2, 3]]
    await batcher.close()


async def test_a_wrong_batch_is_dropped_with_its_error_and_the_next_goes() -> None:
    """One poisoned batch does not stop the queue."""
    sink = Sink(InvalidError("wrong"))
    batcher = sink.batcher()
    await batcher.add([1, 2, 3, 4])
    await batcher.flush(5)
    assert [(batch, str(error)) for batch, error in sink.dropped] == [([1, 2, 3], "wrong")]
    assert sink.batches == [[4]]
    await batcher.close()


async def test_a_full_queue_makes_its_caller_wait_and_then_refuses() -> None:
    """Memory is bounded; what was refused is not queued in part."""
    sink = Sink()
    sink.gate.clear()
    batcher = sink.batcher()
    await batcher.add([1, 2, 3, 4, 5])
    with pytest.raises(OverloadedError):
        await batcher.add([6, 7])
    with pytest.raises(TransientError, match="5 items"):
        await batcher.flush(0.01)
    sink.gate.set()
    await batcher.add([6, 7])
    await batcher.close()
    assert [item for batch in sink.batches for item in batch] == [1, 2, 3, 4, 5, 6, 7]


async def test_more_than_the_queue_can_ever_hold_is_invalid() -> None:
    """Waiting would not help: the caller is told how many fit."""
    sink = Sink()
    batcher = sink.batcher()
    with pytest.raises(InvalidError, match="7 items at once; give at most 6"):
        await batcher.add(range(7))
    await batcher.add(range(6))
    await batcher.close()
    assert sink.batches == [[0, 1, 2], [3, 4, 5]]


async def test_a_flush_that_gives_up_does_not_slow_another() -> None:
    """Who still waits for the queue to be empty does not wait for age."""
    sink = Sink()
    sink.gate.clear()
    batcher = sink.batcher()
    await batcher.add([1, 2, 3, 4])
    patient = asyncio.create_task(batcher.flush(5))
    with pytest.raises(TransientError):
        await batcher.flush(0.01)
    sink.gate.set()
    await patient
    assert sink.batches == [[1, 2, 3], [4]]
    await batcher.close()


async def test_a_closed_queue_takes_nothing() -> None:
    """Closing twice is fine, adding after it is an error."""
    batcher = Sink().batcher()
    await batcher.close()
    await batcher.close()
    with pytest.raises(TransientError):
        await batcher.add([1])
