"""Every error as application/problem+json (RFC 9457): one mapping of errors, and the field where one is wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve_apps.wire import Problem
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
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
MAX_FIELD, MAX_DETAIL = 200, 1_000  # what a client sent is quoted, but not at any length
_log = logging.getLogger(__name__)

# The first class that fits decides; more special classes come first.
_OF_ERRORS: tuple[tuple[type[RiftlineError], int, str, str], ...] = (
    (UnknownNameError, 404, "unknown-name", "Nobody bears this name"),
    (NotFoundError, 404, "not-found", "Not found"),
    (InvalidError, 422, "invalid-field", "A field is wrong"),
    (ConflictError, 409, "conflict", "Someone else was first"),
    (OverloadedError, 503, "overloaded", "The service is full"),
    (TransientError, 503, "unavailable", "A part of the service does not answer"),
    (OutcomeUnknownError, 503, "outcome-unknown", "The effect may have happened"),
)
_OF_STATUS = {
    400: ("invalid-json", "The body cannot be read"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "This path takes another method"),
    406: ("unknown-version", "This version is not served"),
    413: ("too-large", "The body is too large"),
    415: ("unsupported-media-type", "The body is not JSON"),
}


def problem_of(error: Exception) -> Problem:
    """The problem document of an error; one that nobody foresaw is a 500 without its inner words."""
    if isinstance(error, RequestValidationError | ValidationError):
        return _of_validation(error.errors())
    for kind, status, code, title in _OF_ERRORS:
        if isinstance(error, kind):
            return _problem(
                status,
                code,
                title,
                str(error),
                field=getattr(error, "field", "") or None,
                suggestions=list(getattr(error, "suggestions", ())),
            )
    if isinstance(error, HTTPException):
        code, title = _OF_STATUS.get(error.status_code, ("http-error", "The request failed"))
        return _problem(error.status_code, code, title, str(error.detail))
    _log.error("unforeseen error", exc_info=error)
    return _problem(500, "internal", "An error of ours", "The error was logged; the request may be sent again.")


def _of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    first = errors[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "not JSON")
        return _problem(400, "invalid-json", "The body cannot be read", f"the body is not valid JSON: {reason}")
    path = [str(part) for part in first["loc"] if part not in {"body", "query", "path", "header"}]
    field = ".".join(path)
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{field or 'the body'}: {first['msg']}{others}"
    return _problem(422, "invalid-field", "A field is wrong", detail, field=field or None)


def _problem(  # noqa: PLR0913  # the document's members
    status: int, code: str, title: str, detail: str, *, field: str | None = None, suggestions: list[str] | None = None
) -> Problem:
    return Problem(
        type=f"https://riftline.dev/problems/{code}",
        title=title,
        status=status,
        code=code,
        detail=_sendable(detail, MAX_DETAIL),
        field=_sendable(field, MAX_FIELD) if field else None,
        suggestions=suggestions or [],
    )


def _sendable(text: str, limit: int) -> str:
    """The text, shortened; lone surrogates, which JSON can bring in and UTF-8 cannot carry out, become ``?``."""
    return text[:limit].encode(errors="replace").decode()


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The HTTP answer; a 503 says when to come back."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, media_type=MEDIA_TYPE, headers={**(headers or {}), **retry})


def install(api: FastAPI) -> None:
    """Answer every error of the API as a problem document."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        return problem_response(problem_of(error), getattr(error, "headers", None))  # a 405 says what is allowed

    for kind in (RequestValidationError, ValidationError, HTTPException, RiftlineError, Exception):
        api.add_exception_handler(kind, answer)
