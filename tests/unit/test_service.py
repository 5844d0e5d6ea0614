"""A batch: each request fails alone, and others are served while it is answered."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from serve_apps import service
from serve_apps.service import Caller, PredictionService
from stores.errors import TransientError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

GOOD = {"player_names": ["Faker"], "prop_type": "kills", "prop_value": 3.5, "map_range": [1, 2]}
WRONG = {**GOOD, "prop_value": -1}


class NoStore:
    """Stores whatever it is given, which is nothing here."""

    async def record_many(self, records: Sequence[object]) -> list[None]:
        """Nothing was lost."""
        return [None] * len(records)


class NoModel:
    """A state before the first release."""

    @property
    def view(self) -> object:
        """Raises as long as no features are there."""
        raise TransientError("no features are loaded yet")


def service_of(state: object) -> PredictionService:
    """A service without servers."""
    return PredictionService(cast("Any", state), cast("Any", NoStore()), lambda: datetime(2026, 6, 1, tzinfo=UTC))


READY = SimpleNamespace(view=None, model=SimpleNamespace(ensemble=None))


async def test_the_event_loop_is_free_while_a_batch_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose forecasts wait for the event loop to do something else ends all the same."""
    begun, served = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def waiting(requests: Sequence[object], *_: object) -> list[Exception]:
        loop.call_soon_threadsafe(begun.set)
        assert served.wait(30)
        return [UnknownNameError("nobody", (), "player_names.0")] * len(requests)

    monkeypatch.setattr(service, "look_all", waiting)
    batch = asyncio.create_task(service_of(READY).batch([GOOD, WRONG], Caller()))
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
    answered = await service_of(READY).batch([GOOD, {**GOOD, "prop_value": 4.5}, WRONG], Caller())
    assert [item.status for item in answered.items] == [500, 404, 422]
    assert (answered.succeeded, answered.failed) == (0, 3)


async def test_before_the_first_release_each_is_told_what_is_missing() -> None:
    """What is wrong with a request is said even then; the others are to come back."""
    answered = await service_of(NoModel()).batch([WRONG, GOOD], Caller())
    assert [item.status for item in answered.items] == [422, 503]
    assert (await service_of(NoModel()).batch([], Caller())).items == []
