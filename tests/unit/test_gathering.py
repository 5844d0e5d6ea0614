"""What waits together is asked together, each gets its own, and a question alone waits for nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.forecast_kernel import Evidence
from serve_apps.gathering import Gathering
from serve_apps.model_replica import Asked, ModelKey, Said
from stores.domain.props import MapRange, PropType
from stores.errors import InvalidError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

ONE, OTHER = ModelKey("1", "models/1", "aa"), ModelKey("2", "models/2", "bb")
MOST = 4


class Model:
    """Says of each series what its first number is; it answers when it is let."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.wrong: Exception | None = None
        self.begun = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def ask(self, key: ModelKey, asked: Sequence[Asked]) -> list[Said | RiftlineError]:
        """The numbers as distributions."""
        self.calls.append((key.version, [len(one.evidence.position) for one in asked]))
        self.begun.set()
        await self.free.wait()
        if self.wrong:
            raise self.wrong
        return [self._said(one) for one in asked]

    def _said(self, asked: Asked) -> Said | RiftlineError:
        if asked.best_of == 1:
            return InvalidError("has not so many maps", "best_of")
        first = asked.evidence.player[:: asked.evidence.position.shape[1], :1]
        return Said(first, first * 10.0, first[:, 0].tolist())


def _asked(*numbers: float, players: int = 1, best_of: int | None = None, second: bool = True) -> Asked:
    """Series of one shape, with these numbers."""
    table = np.repeat(np.array(numbers)[:, None], players, axis=0)
    position = np.zeros((len(numbers), players), np.int64)
    sides = np.array([True] + [second] * (players - 1))
    evidence = Evidence(table, table, table, table, table.astype(np.float32), position, sides)
    return Asked(PropType.KILLS, MapRange(1, 2), False, best_of, evidence)


@pytest.fixture
def model() -> Model:
    """One that answers at once."""
    return Model()


def _gathering(model: Model, together: int = 1) -> Gathering:
    return Gathering(model.ask, asyncio.get_running_loop(), most=MOST, together=together)


async def _said(futures: Sequence[Future[Said]]) -> list[list[float]]:
    said = await asyncio.gather(*map(asyncio.wrap_future, futures))
    for one in said:
        assert one.base[:, 0].tolist() == one.reached
        assert one.calibrated[:, 0].tolist() == [number * 10 for number in one.reached]
    return [one.reached for one in said]


async def test_what_waits_together_is_asked_together(model: Model) -> None:
    """The first goes at once; those that come while it is under way share a call, joined by shape and bounded."""
    model.free.clear()
    gathering = _gathering(model)
    first = gathering.ask(ONE, _asked(0.0))
    await model.begun.wait()
    shapes = [{}, {"players": 2}, {}, {"players": 2, "second": False}, {}, {"best_of": 5}]
    later = [gathering.ask(ONE, _asked(at + 1.0, **shape)) for at, shape in enumerate(shapes)]  # type: ignore[arg-type]
    model.free.set()
    assert await _said([first, *later]) == [[float(at)] for at in range(7)]
    assert model.calls == [("1", [1]), ("1", [2, 1, 1]), ("1", [1, 1])]


async def test_one_call_is_of_one_version(model: Model) -> None:
    """In the middle of a release two versions are asked in turn; nobody is overtaken by later questions."""
    model.free.clear()
    gathering = _gathering(model)
    keys = (ONE, ONE, OTHER, ONE)
    said = [gathering.ask(key, _asked(float(at))) for at, key in enumerate(keys)]
    await model.begun.wait()
    model.free.set()
    assert await _said(said) == [[0.0], [1.0], [2.0], [3.0]]
    assert model.calls == [("1", [1]), ("1", [1]), ("2", [1]), ("1", [1])]


async def test_a_larger_question_goes_alone(model: Model) -> None:
    """It is not cut here, and not held back either."""
    model.free.clear()
    gathering = _gathering(model)
    said = [gathering.ask(ONE, _asked(*map(float, range(n)))) for n in (1, 3, 6, 2)]
    await model.begun.wait()
    model.free.set()
    assert await _said(said) == [[float(at) for at in range(n)] for n in (1, 3, 6, 2)]
    assert model.calls == [("1", [1]), ("1", [3]), ("1", [6]), ("1", [2])]


async def test_so_many_calls_are_under_way(model: Model) -> None:
    """More of them wait, whoever could take them."""
    model.free.clear()
    gathering = _gathering(model, together=2)
    said = [gathering.ask(ONE, _asked(float(at))) for at in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert model.calls == [("1", [1])] * 2
    model.free.set()
    await _said(said)
    assert model.calls == [("1", [1])] * 2 + [("1", [3])]


async def test_what_is_wrong_with_one_is_its_own(model: Model) -> None:
    """Questions of one call fail alone; a call that fails, fails for all, and the next one is made."""
    model.free.clear()
    gathering = _gathering(model)
    said = [gathering.ask(ONE, _asked(float(at), best_of=best_of)) for at, best_of in enumerate((None, None, 1))]
    await model.begun.wait()
    model.free.set()
    assert await _said(said[:2]) == [[0.0], [1.0]]
    with pytest.raises(InvalidError, match="maps"):
        await asyncio.wrap_future(said[2])
    model.wrong = TransientError("nobody answers")
    with pytest.raises(TransientError, match="nobody"):
        await asyncio.wrap_future(gathering.ask(ONE, _asked(1.0)))
    model.wrong = None
    assert await _said([gathering.ask(ONE, _asked(2.0))]) == [[2.0]]
