"""A batch: each request fails alone, and others are served while it is answered."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from serve_apps import service, wire
from serve_apps.destinations import PREDICTION
from serve_apps.service import Caller, PredictionService
from stores.errors import OverloadedError, RiftlineError, TransientError, UnknownNameError
from stores.postgres.prediction_copy import decode
from tests.unit.small_world import PLAYERS, ask, world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.ensemble import PropEnsemble
    from stores.domain.predictions import PredictionRecord

GOOD = {"player_names": ["Faker"], "prop_type": "kills", "prop_value": 3.5, "map_range": [1, 2]}
WRONG = {**GOOD, "prop_value": -1}


class Books:
    """Keeps what it is given, as long as it may."""

    def __init__(self) -> None:
        self.records: list[PredictionRecord] = []
        self.full = False

    async def add(self, rows: Sequence[bytes]) -> None:
        """Kept."""
        if self.full:
            raise OverloadedError("the journal is full")
        self.records += [decode(row.removeprefix(PREDICTION)) for row in rows]


class NoModel:
    """A state before the first release."""

    @property
    def view(self) -> object:
        """Raises as long as no features are there."""
        raise TransientError("no features are loaded yet")


def service_of(state: object) -> PredictionService:
    """A service without servers."""
    return PredictionService(cast("Any", state), cast("Any", Books()), lambda: datetime(2026, 6, 1, tzinfo=UTC))


READY = SimpleNamespace(view=None, model=SimpleNamespace(ensemble=None), warnings=tuple)


async def batch_of(service_: PredictionService, *questions: object) -> wire.BatchResponse:
    """The outcomes of a batch, as clients read them: no field more or less than is documented, and none otherwise."""
    document = await service_.batch(questions, Caller())
    answered = wire.BatchResponse.model_validate_json(document)
    assert orjson.loads(document) == orjson.loads(answered.model_dump_json())
    return answered


async def test_the_event_loop_is_free_while_a_batch_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose forecasts wait for the event loop to do something else ends all the same."""
    begun, served = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def waiting(requests: Sequence[object], *_: object) -> list[Exception]:
        loop.call_soon_threadsafe(begun.set)
        assert served.wait(30)
        return [UnknownNameError("nobody", (), "player_names.0")] * len(requests)

    monkeypatch.setattr(service, "look_all", waiting)
    batch = asyncio.create_task(batch_of(service_of(READY), GOOD, WRONG))
    await begun.wait()
    served.set()
    answered = await batch
    assert [(item.index, item.status) for item in answered.items] == [(0, 404), (1, 422)]


async def test_a_bug_that_one_request_meets_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all cannot be answered together, each is asked alone, and only what is broken is a 500."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    def alone(request: Any, *_: object) -> None:
        if request.prop_value == 3.5:
            raise ZeroDivisionError
        raise UnknownNameError("nobody", (), "player_names.0")

    monkeypatch.setattr(service, "look_all", broken)
    monkeypatch.setattr(service, "look", alone)
    answered = await batch_of(service_of(READY), GOOD, {**GOOD, "prop_value": 4.5}, WRONG)
    assert [item.status for item in answered.items] == [500, 404, 422]
    assert (answered.succeeded, answered.failed) == (0, 3)


async def test_before_the_first_release_each_is_told_what_is_missing() -> None:
    """What is wrong with a request is said even then; the others are to come back."""
    answered = await batch_of(service_of(NoModel()), WRONG, GOOD)
    assert [item.status for item in answered.items] == [422, 503]
    assert (await batch_of(service_of(NoModel()))).items == []


@pytest.fixture
def ready(small_model: PropEnsemble) -> tuple[PredictionService, Books]:
    """A service over the small world, and what it stored."""
    model = SimpleNamespace(ensemble=small_model, record=SimpleNamespace(model_version="v1"))
    state, books = SimpleNamespace(view=world(PLAYERS), model=model, warnings=tuple), Books()
    return PredictionService(cast("Any", state), cast("Any", books), lambda: datetime(2026, 6, 1, tzinfo=UTC)), books


OF_ITS_OWN = {"prediction_id", "processing_time_ms", "explanation", "cache_hit"}


async def test_an_explained_answer_is_the_same_answer(ready: tuple[PredictionService, Books]) -> None:
    """Single or in a batch, every number is that of the plain answer, and the record is that of the plain question."""
    service_, books = ready
    request = ask("Faker", "Newest")
    plain = wire.Prediction.model_validate_json(await service_.single(request, Caller()))
    told = wire.Prediction.model_validate_json(await service_.single(request, Caller(), explained=True))
    asked = {**GOOD, "player_names": ["Faker", "Newest"]}
    batch = await batch_of(service_, asked, {**asked, "explain": True}, {**WRONG, "explain": True})
    assert [item.status for item in batch.items] == [200, 200, 422]
    of_batch = [item.result for item in batch.items[:2] if item.result]
    assert [one.explanation is not None for one in (plain, told, *of_batch)] == [False, True, False, True]
    assert of_batch[1].explanation == told.explanation
    said = [one.model_dump(exclude=OF_ITS_OWN) for one in (plain, told, *of_batch)]
    assert said == [said[0]] * 4
    assert [one.cache_hit for one in (plain, told, *of_batch)] == [False, True, False, False]
    assert [record.request for record in books.records] == [request] * 4


async def test_what_cannot_be_kept_is_not_given(ready: tuple[PredictionService, Books]) -> None:
    """A full journal is a 503 for what was answered, and for that alone; a caller that no row can hold is our 500."""
    service_, books = ready
    poisoned = Caller(user_agent="a\0b")
    refused = orjson.loads(await service_.batch([GOOD, WRONG], poisoned))
    assert [item["status"] for item in refused["items"]] == [500, 422]
    books.full = True
    answered = await batch_of(service_, GOOD, WRONG, GOOD)
    assert [item.status for item in answered.items] == [503, 422, 503]
    assert (answered.succeeded, answered.failed) == (0, 3)
    with pytest.raises(OverloadedError):
        await service_.single(ask("Faker"), Caller())
    assert not books.records


async def test_of_those_who_are_answered_together_each_fails_alone(
    ready: tuple[PredictionService, Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown name and an answer that no row can hold cost the others nothing."""
    service_, _ = ready
    poisoned = Caller(user_agent="a\0b")
    asked = [(ask("Faker"), Caller()), (ask("Faker"), poisoned), (ask("Nobody"), Caller()), (ask("Chovy"), Caller())]
    answered = service_.prepare(asked)
    assert [type(one) for one in answered] == [service.Ready, RiftlineError, UnknownNameError, service.Ready]
    said = [orjson.loads(one.body)["inferred"]["players"] for one in answered if isinstance(one, service.Ready)]
    assert said == [["Faker"], ["Chovy"]]
    monkeypatch.setattr(service, "encoded", failing)
    assert [type(one) for one in service_.prepare(asked[:1])] == [ZeroDivisionError]


def failing(_: object) -> bytes:
    """A bug."""
    raise ZeroDivisionError


async def test_a_batch_of_several_parts_keeps_its_order(
    ready: tuple[PredictionService, Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the parts, each item answers the question of its index, and all are of one moment."""
    service_, books = ready
    monkeypatch.setattr(service, "AT_ONCE", 3)
    asked = [{**GOOD, "prop_value": at / 2} if at % 4 else WRONG for at in range(11)]
    answered = await batch_of(service_, *asked)
    assert [item.status for item in answered.items] == [200 if at % 4 else 422 for at in range(11)]
    assert [record.request.prop_value for record in books.records] == [at / 2 for at in range(11) if at % 4]
    given = [item.result.prediction_id for item in answered.items if item.result]
    assert given == [record.prediction_id for record in books.records]
    assert len({record.created_at for record in books.records}) == 1


async def test_an_explanation_names_the_players_and_their_maps(ready: tuple[PredictionService, Books]) -> None:
    """Factors with figures where there are any; the last maps of each player under his name, JSON throughout."""
    service_, _ = ready
    message = orjson.loads(await service_.single(ask("Newest", "Faker"), Caller(), explained=True))["explanation"]
    assert [(one["player_id"], one["player"], len(one["maps"])) for one in message["recent_maps"]] == [
        ("p:newest", "Newest", 2),
        ("p:faker", "Faker", 10),
    ]
    assert message["recent_maps"][0]["maps"] == [
        {
            "played_at": "2026-05-31T15:00:00Z",
            "opponent": None,
            "won": True,
            "champion": None,
            "kills": 0,
            "deaths": 2,
            "assists": 5,
        },
        {
            "played_at": "2026-05-30T15:00:00Z",
            "opponent": "Gen.G",
            "won": False,
            "champion": "Ahri",
            "kills": 1,
            "deaths": 2,
            "assists": 5,
        },
    ]
    for factor in message["factors"]:
        assert len({factor[name] is None for name in ("figure", "value", "usual")}) == 1
    assert any(factor["figure"] for factor in message["factors"])
