"""A body that orjson reads is read by it, any other as FastAPI reads it: what is wrong is told alike."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.testclient import TestClient

from serve_apps.json_route import JsonRoute
from serve_apps.wire import BatchRequest, PredictionRequest  # noqa: TC001  # FastAPI reads them

GOOD = '{"player_names": ["Faker"], "prop_type": "kills", "prop_value": 3.5, "map_range": [1, 2]}'


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return Response(repr([(one["type"], one["loc"], one["msg"]) for one in error.errors()]), 422)


@pytest.fixture(scope="module")
def client() -> TestClient:
    """The same routes of both kinds, which say what they read."""
    app = FastAPI(exception_handlers={RequestValidationError: _told})
    for kind, router in (("usual", APIRouter()), ("json", APIRouter(route_class=JsonRoute))):

        @router.post("/single")
        async def single(body: PredictionRequest) -> Response:
            return Response(body.model_dump_json())

        @router.post("/batch")
        async def batch(body: BatchRequest) -> Response:
            return Response(repr(body.requests))

        app.include_router(router, prefix=f"/{kind}")
    return TestClient(app)


@pytest.mark.parametrize(
    "body",
    [
        GOOD.encode(),
        GOOD.replace("3.5", "NaN").encode(),
        GOOD.replace("3.5", "1e400").encode(),
        GOOD.replace("3.5", "9" * 400).encode(),
        GOOD.replace("3.5", '3.5, "prop_value": 4').encode(),
        GOOD.replace("Faker", "\\ud800").encode(),
        GOOD.replace("Faker", "\\u0000").encode(),
        GOOD.replace("Faker", "é").encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        b"\xff" + GOOD.encode(),
        GOOD[:-1].encode(),
        b"",
        b"null",
        b"[" * 5000,
    ],
    ids=lambda body: repr(body[:12] + body[60:90]),
)
@pytest.mark.parametrize("path", ["single", "batch"])
def test_it_reads_what_the_usual_route_reads(client: TestClient, path: str, body: bytes) -> None:
    """Status and message, or the very values."""
    if path == "batch" and body.startswith(b"{"):
        body = b'{"requests": [%s, %s]}' % (GOOD.encode(), body)
    head = {"content-type": "application/json"}
    usual, ours = (client.post(f"/{kind}/{path}", content=body, headers=head) for kind in ("usual", "json"))
    assert (ours.status_code, ours.text) == (usual.status_code, usual.text)


def test_a_valid_body_is_read_by_orjson(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the route would be of no use."""
    monkeypatch.delattr("json.loads")
    said = client.post("/json/single", content=GOOD, headers={"content-type": "application/json"})
    assert said.status_code == 200
