"""Every error as a problem document that can be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve_apps import api
from serve_apps.problems import MAX_DETAIL, MAX_FIELD, loggable, problem_of, problem_response
from serve_apps.state import OK, ServingState
from serve_apps.wire import Prediction, PredictionRequest
from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    RiftlineError,
    TransientError,
    UnknownNameError,
)
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

ADDRESS = "PostgreSQL at db.inner:5432/riftline"

ERRORS = [
    (UnknownNameError("nobody", ("Faker",), "team"), 404, "unknown-name"),
    (NotFoundError("nothing"), 404, "not-found"),
    (InvalidError("wrong", "team"), 422, "invalid-field"),
    (ConflictError("late"), 409, "conflict"),
    (OverloadedError("full"), 503, "overloaded"),
    (TransientError("away"), 503, "unavailable"),
    (OutcomeUnknownError("perhaps"), 503, "outcome-unknown"),
    (HTTPException(405), 405, "method-not-allowed"),
    (RuntimeError("a secret"), 500, "internal"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_every_error_has_its_problem(error: Exception, status: int, code: str) -> None:
    """Status and code are stable; a 503 says when to come back, and a 500 keeps its inner words."""
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert ("Retry-After" in problem_response(problem).headers) == (status == 503)
    assert "secret" not in problem.detail


def test_field_and_suggestions_are_given() -> None:
    """An unknown name brings its field and near names."""
    problem = problem_of(UnknownNameError("nobody", ("Faker",), "player_names.0"))
    assert (problem.field, problem.suggestions) == ("player_names.0", ["Faker"])


def test_what_a_client_sent_is_quoted_briefly_and_sendably() -> None:
    """Neither a field name without end nor half a character keeps a problem from being sent."""
    with pytest.raises(ValidationError) as caught:
        PredictionRequest.model_validate({"x" * 10_000: 1})
    assert len(problem_of(caught.value).detail) <= MAX_DETAIL
    problem = problem_of(InvalidError("no \ud800 here", "\udfff" * 1_000))
    assert problem.field == "?" * MAX_FIELD
    assert problem_response(problem).body


def test_allowed_methods_are_kept() -> None:
    """The headers of an HTTP error reach the client."""
    answer = problem_response(problem_of(HTTPException(405)), {"Allow": "POST"})
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("kind", [TransientError, OverloadedError, OutcomeUnknownError, ConflictError, RiftlineError])
def test_inner_words_go_to_the_log_alone(kind: type[RiftlineError], caplog: pytest.LogCaptureFixture) -> None:
    """Addresses and drivers' words are not told to clients; the log has them, once per occurrence."""
    for said in (1, 2):
        assert "db.inner" not in problem_of(kind(f"{ADDRESS}: connection refused")).detail
        assert sum("db.inner" in record.getMessage() for record in caplog.records) == said
    assert all(record.levelno >= logging.WARNING for record in caplog.records)


@pytest.mark.parametrize("kind", [TransientError, ValueError])
@pytest.mark.parametrize(
    "said", ["postgresql://me:p@ss/w@db:5432/x", "host=db password=p@ss/w", "?user=me&password=p@ss"]
)
def test_the_log_has_no_password(kind: type[Exception], said: str) -> None:
    """Whatever an error quotes, the log leaves the login out."""
    text = loggable(kind(f"cannot open {said} now"))
    assert "p@ss" not in text
    assert "db" in text or "user=me" in text


async def test_an_answer_that_cannot_be_stored_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the store refuses is a 500 and no 422: the client's question had been found good."""

    async def refuse(*_: object) -> None:
        raise InvalidError(f"{ADDRESS}: numeric field overflow", "confidence")

    monkeypatch.setattr(PostgresPredictions, "record", refuse)
    store = api.AnswerStore(cast("Pool", None))
    record = cast("PredictionRecord", None)
    with pytest.raises(RiftlineError) as caught:
        await store.record(record)
    lost = (await store.record_many([record]))[0]
    for error in (caught.value, lost):
        assert error is not None
        problem = problem_of(error)
        assert (problem.status, problem.code, problem.field) == (500, "internal", None)


class Enough(BaseException):
    """Ends an endless loop."""


async def test_maintenance_is_tried_again_whatever_happened(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an outage nor a bug ends the loop, and each is logged."""
    outcomes = [TransientError("away"), RuntimeError("a bug"), Enough()]

    async def fail(*_: object) -> None:
        raise outcomes.pop(0)

    monkeypatch.setattr(api, "maintain_database", fail)
    monkeypatch.setattr(api, "HOUR_S", 0.0)
    with pytest.raises(Enough):
        await api.keep_database(cast("Pool", None))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "away" in said[0]
    assert "a bug" in said[1]


def _request(**state: object) -> Request:
    app = type("App", (), {"state": type("State", (), state)()})()
    headers = [(b"user-agent", b"x" * 600)]
    return Request({"type": "http", "headers": headers, "client": ("127.0.0.1", 1), "app": app})


def test_the_proxys_address_is_not_the_callers() -> None:
    """No address is better than the proxy's; the agent is kept, shortened."""
    caller = api.caller_of(_request())
    assert (caller.address, caller.user_agent) == (None, "x" * 500)


async def test_readiness_names_the_part_and_no_address(caplog: pytest.LogCaptureFixture) -> None:
    """Of a database that is away, clients learn that, and the log learns where."""

    class Store:
        async def ping(self) -> None:
            raise TransientError(f"{ADDRESS}: connection refused")

    unused = cast("Any", None)
    service = type("Service", (), {"state": ServingState(unused, unused, unused)})()
    answer = await api.ready(_request(service=service, store=Store()))
    assert answer.status_code == 503
    assert b'"database":"does not answer"' in bytes(answer.body)
    assert b"db.inner" not in bytes(answer.body)
    assert "db.inner" in caplog.text
    assert OK.encode() not in bytes(answer.body)


def test_the_time_is_described_as_what_it_is() -> None:
    """The schema says what `processing_time_ms` leaves out."""
    described = Prediction.model_fields["processing_time_ms"].description
    assert described
    assert "storing" in described
