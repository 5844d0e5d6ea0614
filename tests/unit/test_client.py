"""The client against a service of the test's own: what it repeats, how long it waits, and what it raises."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from serve_apps import client as module
from serve_apps.client import (
    AccessRefused,
    ApiProblem,
    AsyncRiftline,
    Conflict,
    InvalidRequest,
    NoAnswer,
    QuotaExceeded,
    Riftline,
    Unavailable,
)
from serve_apps.wire import EXAMPLE, PredictionRequest

if TYPE_CHECKING:
    from collections.abc import Callable

TEAM = {"team_id": "t:t1", "name": "T1", "tournament": "LCK", "games": 5}
QUESTION = PredictionRequest.model_validate(EXAMPLE)


class Service:
    """Answers as it is told, one after the other, and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Give the next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def problem(status: int, code: str = "x", **headers: str) -> httpx.Response:
    """A problem document."""
    document = {"type": "t", "title": "t", "status": status, "code": code, "detail": "why", "field": "team"}
    return httpx.Response(status, json=document, headers=headers)


def good() -> httpx.Response:
    """An answer to a search."""
    return httpx.Response(200, json=[TEAM])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in no time."""
    made: list[float] = []

    async def paused(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(time, "sleep", made.append)
    monkeypatch.setattr(asyncio, "sleep", paused)
    return made


def _sync(service: Service, call: str, *arguments: Any, **options: Any) -> Any:
    with Riftline("http://api", "key", transport=httpx.MockTransport(service), **options) as client:
        return getattr(client, call)(*arguments)


def _async(service: Service, call: str, *arguments: Any, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncRiftline("http://api", "key", transport=httpx.MockTransport(service), **options) as client:
            return await getattr(client, call)(*arguments)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [_sync, _async])


@both
def test_a_call_bears_the_key_and_the_version(ask: Callable[..., Any], pauses: list[float]) -> None:
    """And is made once when it is answered."""
    service = Service(good())
    assert ask(service, "teams", "T1")[0].team_id == "t:t1"
    (asked,) = service.asked
    assert asked.headers["authorization"] == "Bearer key"
    assert "vnd.riftline.v1+json" in asked.headers["accept"]
    assert dict(asked.url.params) == {"q": "T1", "limit": "20"}
    assert pauses == []


@both
def test_outages_are_waited_for(ask: Callable[..., Any], pauses: list[float]) -> None:
    """With growing pauses, and no shorter ones than the service asks for."""
    service = Service(httpx.ConnectError("no"), problem(503, **{"Retry-After": "7"}), problem(429), good())
    ask(service, "teams")
    assert len(pauses) == 3
    assert module.FIRST_PAUSE_S / 2 <= pauses[0] <= module.FIRST_PAUSE_S
    assert pauses[1] == 7
    assert 2 * module.FIRST_PAUSE_S <= pauses[2] <= 4 * module.FIRST_PAUSE_S


@both
def test_a_repeated_post_is_the_same_request(ask: Callable[..., Any], pauses: list[float]) -> None:
    """Under one key, so that it is done once; two calls have two keys, and one's own is kept."""
    for _ in range(2):
        service = Service(problem(409, "idempotency-key-in-flight"), httpx.ReadError("cut"), problem(422))
        with pytest.raises(InvalidRequest):
            ask(service, "predict", QUESTION)
        assert len({request.headers["idempotency-key"] for request in service.asked}) == 1
        assert len({request.content for request in service.asked}) == 1
    assert len(pauses) == 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, AccessRefused),
        (403, AccessRefused),
        (404, InvalidRequest),
        (409, Conflict),
        (413, InvalidRequest),
        (422, InvalidRequest),
        (500, Unavailable),
    ],
)
@both
def test_a_no_is_raised_at_once(
    ask: Callable[..., Any], pauses: list[float], status: int, kind: type[ApiProblem]
) -> None:
    """With the problem and the id of the request."""
    service = Service(problem(status, **{"X-Request-ID": "r1"}))
    with pytest.raises(kind, match="why") as caught:
        ask(service, "teams")
    assert (caught.value.problem.field, caught.value.request_id) == ("team", "r1")
    assert (len(service.asked), pauses) == (1, [])


@pytest.mark.parametrize(
    ("answer", "times", "kind"),
    [
        (lambda: httpx.ConnectError("no"), 4, NoAnswer),
        (lambda: problem(429), 4, QuotaExceeded),
        (lambda: problem(503), 4, Unavailable),
        (lambda: httpx.Response(502, text="<html>"), 4, NoAnswer),
        (lambda: problem(429, **{"Retry-After": "3600"}), 1, QuotaExceeded),
    ],
)
@both
@pytest.mark.usefixtures("pauses")
def test_it_gives_up(ask: Callable[..., Any], answer: Callable[[], Any], times: int, kind: type[Exception]) -> None:
    """After so many tries, or when the service asks for more patience than a call has."""
    service = Service(*(answer() for _ in range(times)))
    with pytest.raises(kind):
        ask(service, "teams")
    assert len(service.asked) == times


def test_the_clients_offer_the_same() -> None:
    """Every call of the one is one of the other."""

    def calls(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert calls(Riftline) == calls(AsyncRiftline)
