"""A replica of the model: each version is loaded once, the ones asked for last are held, and the bits stay."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.answers import look
from serve_apps.model_replica import FILL, MOST_SERIES, Asked, ModelKey, ModelReplica, Said
from stores.errors import InvalidError, NotFoundError
from tests.unit.small_world import PLAYERS, ask, world

if TYPE_CHECKING:
    from actors.ensemble import Forecast, PropEnsemble
    from actors.forecast_kernel import Evidence
    from stores.domain.props import MapRange, PropType
    from stores.roles.artifacts import Artifacts

KEYS = [ModelKey(str(at), f"models/{at}", "0" * 64) for at in range(4)]


class Warehouse:
    """Gives one model's files for every version, when it is let."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.loads: list[str] = []
        self.begun = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.wrong: Exception | None = None
        self._files = files

    def load(self, path: str, _: str) -> dict[str, bytes]:
        """The files."""
        self.loads.append(path)
        self.begun.set()
        assert self.free.wait(30)
        if self.wrong:
            raise self.wrong
        return self._files


class Heard:
    """Remembers what a model is asked."""

    def __init__(self, model: PropEnsemble) -> None:
        self.asked: list[Asked] = []
        self._model = model

    def predict(
        self, prop: PropType, evidence: Evidence, map_range: MapRange, **more: Any
    ) -> tuple[list[Forecast], list[float]]:
        """Ask the model."""
        self.asked.append(Asked(prop, map_range, more["drafted"], more["best_of"], evidence))
        return self._model.predict(prop, evidence, map_range, **more)


@pytest.fixture
def warehouse(small_model: PropEnsemble) -> Warehouse:
    """One that gives the small model."""
    return Warehouse(small_model.to_files())


@pytest.fixture
def replica(warehouse: Warehouse) -> ModelReplica:
    """A replica that holds two versions."""
    return ModelReplica(cast("Artifacts", warehouse), most=2)


@pytest.fixture(scope="module")
def asked(small_model: PropEnsemble) -> Asked:
    """What a question asks of a model."""
    heard = Heard(small_model)
    look(ask("Faker", maps=(1, 3)), world(PLAYERS), heard)
    return heard.asked[0]


async def test_it_says_what_the_model_says(replica: ModelReplica, asked: Asked, small_model: PropEnsemble) -> None:
    """To the bit; what is wrong with one question is said in its place."""
    said = await replica.predict(KEYS[0], [asked, asked._replace(best_of=1), asked._replace(best_of=5)])
    assert isinstance(said, list)
    (expected,), reached = small_model.predict(*_arguments(asked), drafted=False)
    first, wrong, last = said
    assert isinstance(first, Said)
    assert isinstance(last, Said)
    assert isinstance(wrong, InvalidError)
    assert first.base.tobytes() == expected.base.pmf.tobytes()
    assert first.calibrated.tobytes() == expected.calibrated.pmf.tobytes()
    assert first.reached == reached != last.reached


def _arguments(asked: Asked) -> tuple[PropType, Evidence, MapRange]:
    return asked.prop, asked.evidence, asked.map_range


async def test_a_version_is_loaded_once(replica: ModelReplica, warehouse: Warehouse, asked: Asked) -> None:
    """Those who ask meanwhile wait for it, and one who gives up leaves it to the others."""
    warehouse.free.clear()
    waiting = [asyncio.create_task(replica.predict(KEYS[0], [asked])) for _ in range(5)]
    assert await asyncio.to_thread(warehouse.begun.wait, 30)
    waiting.pop(0).cancel()
    warehouse.free.set()
    assert all(isinstance(one, list) for one in await asyncio.gather(*waiting))
    assert await replica.hold(KEYS[0]) is None
    assert warehouse.loads == ["models/0"]


async def test_the_versions_asked_for_last_are_held(replica: ModelReplica, warehouse: Warehouse, asked: Asked) -> None:
    """The memory is bounded."""
    for at in (0, 1, 0, 2):
        await replica.predict(KEYS[at], [asked])
    assert replica.versions == ("0", "2")
    await replica.predict(KEYS[1], [asked])
    assert warehouse.loads == ["models/0", "models/1", "models/2", "models/1"]


async def test_what_cannot_be_loaded_is_tried_again(replica: ModelReplica, warehouse: Warehouse, asked: Asked) -> None:
    """The error is said to all who wait, as what it is, and not kept."""
    warehouse.wrong = NotFoundError("there is no models/0")
    said = [await replica.hold(KEYS[0]), await replica.predict(KEYS[0], [asked])]
    assert [str(one) for one in said] == ["there is no models/0"] * 2
    assert replica.versions == ()
    warehouse.wrong = None
    assert await replica.hold(KEYS[0]) is None


async def test_it_tells_how_full_its_calls_were(replica: ModelReplica, asked: Asked) -> None:
    """As a share of the most, of the calls since it was asked last."""
    assert replica.record_autoscaling_stats() == {FILL: 0.0}
    await replica.predict(KEYS[0], [asked] * 8)
    await replica.predict(KEYS[0], [asked] * 24)
    assert replica.record_autoscaling_stats() == {FILL: 16 / MOST_SERIES}
    assert replica.record_autoscaling_stats() == {FILL: 0.0}
