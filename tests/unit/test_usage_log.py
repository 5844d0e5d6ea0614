"""The outermost layer: every answer is counted by its route, and kept as a call where it was let in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from serve_apps.admission import TICKET
from serve_apps.gate import Ticket
from serve_apps.request_metrics import RequestMetrics
from serve_apps.usage_log import UsageLog
from stores.clock import utc_now
from stores.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.usage import ApiCall

USER = UUID(int=7)


class Calls:
    """Keeps the calls that it is given, unless it is full."""

    def __init__(self) -> None:
        self.kept: list[ApiCall] = []
        self.full = False

    def note_calls(self, calls: Sequence[ApiCall]) -> None:
        """Kept."""
        if self.full:
            raise TransientError("full")
        self.kept += calls


def app_with(calls: Calls, identity: Any) -> FastAPI:
    """An API of one route, whose callers are let in where they say so."""
    app = FastAPI()
    app.state.metrics, app.state.write_behind = RequestMetrics(), calls

    @app.post("/things/{name}")
    async def make(name: str, request: Request) -> str:
        if name == "known":
            request.scope[TICKET] = Ticket(identity, None)
        if name == "broken":
            raise ZeroDivisionError
        return "made"

    app.add_middleware(UsageLog)
    return app


def test_an_answer_is_counted_by_its_route_and_kept_as_a_call() -> None:
    """Whoever was let in is named; open and unknown paths and bugs are counted alone; a full journal fails none."""
    calls = Calls()
    app = app_with(calls, SimpleNamespace(user_id=USER, api_key_id=None))
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post("/things/known", content=b"12345", headers={"user-agent": "me"}).status_code == 200
    calls.full = True
    assert client.post("/things/known").status_code == 200
    assert client.post("/things/open").status_code == 200
    assert client.post("/things/broken").status_code == 500
    assert client.post("/nowhere").status_code == 404
    (call,) = calls.kept
    assert (call.endpoint, call.http_method, call.status_code) == ("/things/{name}", "POST", 200)
    assert (call.user_id, call.user_agent, call.request_size_bytes, call.response_size_bytes) == (USER, "me", 5, 6)
    points = app.state.metrics.take(utc_now())
    counted = {(point.tags["endpoint"], point.tags["status_code"]) for point in points}
    assert counted == {("/things/{name}", "200"), ("/things/{name}", "500"), ("unmatched", "404")}


@pytest.mark.parametrize("length", ["x", ""])
def test_a_head_that_makes_no_sense_costs_no_answer(length: str) -> None:
    """What a client claims of its own request may be anything."""
    calls = Calls()
    client = TestClient(app_with(calls, SimpleNamespace(user_id=None, api_key_id=None)))
    answer = client.post("/things/known", headers={"content-length": length, "user-agent": "a" * 5000})
    assert answer.status_code == 200
    assert calls.kept[0].request_size_bytes is None
    assert len(calls.kept[0].user_agent or "") <= 2048
