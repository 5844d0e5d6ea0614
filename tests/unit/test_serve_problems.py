"""Every error as a problem document that can be sent."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
import pytest
from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve_apps import api
from serve_apps.admission import TICKET
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.gate import Ticket
from serve_apps.identity import Identity
from serve_apps.placement import Colocated
from serve_apps.problems import MAX_DETAIL, MAX_FIELD, loggable, problem_of, problem_response
from serve_apps.state import ServingState
from serve_apps.wire import Prediction, PredictionRequest
from serve_apps.write_behind import QueueStatus
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

if TYPE_CHECKING:
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


def test_the_caller_is_whom_the_gate_found() -> None:
    """The address is the client's, not the proxy's, user and key are the identity's; the agent is kept, shortened."""
    request = _request()
    identity = Identity("free", frozenset(), UUID(int=1), UUID(int=2), "1")
    request.scope[TICKET] = Ticket(identity, IPv4Address("203.0.113.9"))
    caller = api.caller_of(request)
    assert (caller.address, caller.user_agent) == (IPv4Address("203.0.113.9"), "x" * 500)
    assert (caller.api_key_id, caller.user_id) == (UUID(int=1), UUID(int=2))


class ServingHere(ServingState):
    """Model and features are there; what they hold is not asked for."""

    model = view = cast("Any", None)


def _behind(*, full: bool) -> object:
    status = QueueStatus(bytes_held=5_000_000, oldest_s=2.5, delivered_per_s=0.0, away=("postgres",), full=full)
    return type("WriteBehind", (), {"status": lambda _: status})()


@pytest.mark.parametrize(("full", "status", "said"), [(False, 200, "degraded"), (True, 503, "not ready")])
async def test_without_its_database_a_service_is_degraded_until_its_journal_is_full(
    caplog: pytest.LogCaptureFixture, *, full: bool, status: int, said: str
) -> None:
    """Clients learn what is away and what waits, and the log learns where."""

    class Store:
        async def ping(self) -> None:
            raise TransientError(f"{ADDRESS}: connection refused")

    unused = cast("Any", None)
    service = type("Service", (), {"state": ServingHere(unused, Colocated(unused), unused)})()
    gate = SimpleNamespace(quotas=None)
    answer = await api.ready(
        _request(
            service=service,
            store=Store(),
            database=CircuitBreaker("the database"),
            write_behind=_behind(full=full),
            gate=gate,
        )
    )
    assert answer.status_code == status
    found = orjson.loads(bytes(answer.body))
    assert found["status"] == said
    assert found["checks"]["database"].startswith("ok, but does not answer")
    assert found["checks"]["journal"] == f"{'full' if full else 'ok'}: 5.0 MB wait, the oldest for 2.5 s"
    assert "db.inner" not in str(found)
    assert "db.inner" in caplog.text


def test_the_time_is_described_as_what_it_is() -> None:
    """The schema says what `processing_time_ms` leaves out."""
    described = Prediction.model_fields["processing_time_ms"].description
    assert described
    assert "storing" in described
