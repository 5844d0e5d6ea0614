"""Every error as a problem document that can be sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve_apps.problems import MAX_DETAIL, MAX_FIELD, problem_of, problem_response
from serve_apps.wire import PredictionRequest
from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    TransientError,
    UnknownNameError,
)

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
