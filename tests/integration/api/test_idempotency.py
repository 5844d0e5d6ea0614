"""A POST that is sent again: answered as it was and done once, over a real Redis that also goes away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from actors import answers
from serve_apps import service
from stores.redis_store import embedded
from tests.integration.api.conftest import question

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import Api

SINGLE, BATCH = "/predict/single", "/predict/batch"


def _post(api: Api, path: str, body: Any, key: str, headers: dict[str, str] | None = None) -> httpx.Response:
    said: httpx.Response = api.client.post(path, json=body, headers={"Idempotency-Key": key, **(headers or {})})
    return said


def _history(api: Api) -> list[str]:
    found = api.client.get("/predictions", params={"limit": 100}, headers=api.user).raise_for_status().json()
    return [one["prediction_id"] for one in found["predictions"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [(SINGLE, question()), ("/v1/predict/single", question()), (BATCH, {"requests": [question()] * 30})],
)
def test_a_repetition_gets_the_same_answer(api: Api, path: str, body: Any) -> None:
    """To the byte, marked as a repetition, and stored once; the first one is not marked."""
    key = str(uuid4())
    first, *others = (_post(api, path, body, key, api.user) for _ in range(3))
    assert first.status_code == 200, first.text
    assert "idempotent-replayed" not in first.headers
    for again in others:
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["cache-control"] == "no-store"
    assert _post(api, path, body, f'"{key}"', api.user).content == first.content
    assert _post(api, path, body, str(uuid4()), api.user).content != first.content


def test_what_is_done_twice_is_stored_once(api: Api) -> None:
    """The history has one prediction for two requests."""
    key = str(uuid4())
    given = [_post(api, SINGLE, question(), key, api.user).json()["prediction_id"] for _ in range(2)]
    api.client.get(f"/predictions/{given[0]}", headers=api.user).raise_for_status()
    assert _history(api).count(given[0]) == 1


def test_feedback_is_given_once(api: Api) -> None:
    """A correction that came between stays."""
    path = f"/predictions/{api.ask(api.user)['prediction_id']}/feedback"
    key = str(uuid4())
    first = _post(api, path, {"actual_stat_value": 1}, key, api.user)
    api.client.post(path, json={"actual_stat_value": 2}, headers=api.user).raise_for_status()
    again = _post(api, path, {"actual_stat_value": 1}, key, api.user)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    kept = api.client.get(path.removesuffix("/feedback"), headers=api.user).json()["outcomes"]
    assert [one["actual_stat_value"] for one in kept] == [2]


def test_a_key_is_of_one_request(api: Api) -> None:
    """Another body or another path under the same key is refused, and the first answer stays."""
    key = str(uuid4())
    first = _post(api, SINGLE, question(), key)
    for path, body in ((SINGLE, question(prop_value=4.5)), (BATCH, {"requests": [question()]})):
        said = _post(api, path, body, key)
        assert (said.status_code, said.json()["code"]) == (422, "idempotency-key-reused")
    assert _post(api, SINGLE, question(), key).content == first.content


def test_a_key_is_of_one_caller(api: Api) -> None:
    """Nobody sees another's answer by guessing a key."""
    key = str(uuid4())
    answers_ = [_post(api, SINGLE, question(), key, who) for who in (api.user, api.other, api.nobody, {})]
    assert {said.status_code for said in answers_} == {200}
    assert len({said.json()["prediction_id"] for said in answers_}) == 4


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "é"])
def test_a_wrong_key_is_named(api: Api, key: str) -> None:
    """Empty, too long or not plain."""
    said = api.client.post(SINGLE, json=question(), headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert (said.status_code, said.json()["code"]) == (400, "invalid-idempotency-key")
    assert said.json()["field"] == "Idempotency-Key"


def test_what_failed_may_be_asked_again(api: Api) -> None:
    """A refusal is not kept: once its reason is gone the same key works, with another body too."""
    key = str(uuid4())
    assert _post(api, SINGLE, question(player_names=["Nobody At All"]), key).status_code == 404
    assert _post(api, SINGLE, question(prop_value=-1), key).status_code == 422
    said = _post(api, SINGLE, question(), key)
    assert (said.status_code, said.headers.get("idempotent-replayed")) == (200, None)


def test_a_request_in_flight_is_not_done_twice(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first is being answered the others hear 409 and when to come back; then they get its answer."""
    begun, go_on = threading.Event(), threading.Event()

    def held(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return answers.look_all(*given)

    monkeypatch.setattr(service, "look_all", held)
    key, body = str(uuid4()), {"requests": [question()]}
    with ThreadPoolExecutor(1) as other:
        first = other.submit(_post, api, BATCH, body, key)
        assert begun.wait(30)
        early = _post(api, BATCH, body, key)
        go_on.set()
        given = first.result()
    assert (early.status_code, early.json()["code"]) == (409, "idempotency-key-in-flight")
    assert int(early.headers["retry-after"]) >= 1
    assert given.status_code == 200
    assert _post(api, BATCH, body, key).content == given.content


def test_other_requests_ignore_the_header(api: Api) -> None:
    """GET is idempotent by itself."""
    for _ in range(2):
        said = api.client.get("/players", headers={"Idempotency-Key": "a"})
        assert (said.status_code, said.headers.get("idempotent-replayed")) == (200, None)


def test_without_redis_only_keys_are_refused(api: Api) -> None:
    """A key promises what cannot be kept then: 503. Others are answered, and once Redis is back so are keys."""
    key = str(uuid4())
    first = _post(api, SINGLE, question(), key)
    embedded.stop(api.redis_dir)
    try:
        for _ in range(5):
            said = _post(api, SINGLE, question(), key)
            assert (said.status_code, said.json()["code"]) == (503, "unavailable")
            assert int(said.headers["retry-after"]) >= 1
            assert api.client.post(SINGLE, json=question()).status_code == 200
    finally:
        embedded.start(api.redis_dir)
    embedded_again = _until_answered(api, key)
    assert embedded_again.content == first.content
    assert embedded_again.headers["idempotent-replayed"] == "true"


def _until_answered(api: Api, key: str) -> httpx.Response:
    """Ask until the breaker has found the server; the test's own time limit ends it."""
    while True:
        said = _post(api, SINGLE, question(), key)
        if said.status_code != 503:
            return said
