"""Every error as application/problem+json (RFC 9457): one mapping of errors, and the field where one is wrong."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve_apps.refusals import MEDIA_TYPE, TYPE_BASE, RefusedError
from serve_apps.request_errors import RequestError
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

RETRY_AFTER_S = 1
MAX_FIELD, MAX_DETAIL = 200, 1_000  # what a client sent is quoted, but not at any length
_log = logging.getLogger(__name__)
_LOGIN = re.compile(r"(?<=://)\S*(?=@)|(?<=password=)[^\s&]+", re.IGNORECASE)

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
# What is not about the client's input may quote addresses and drivers: the client reads this, the log the rest.
_FIXED_DETAILS = {
    "conflict": "Someone else changed the same thing first; send the request again.",
    "overloaded": "Too many requests wait; send this one again after a pause.",
    "unavailable": "A part of the service does not answer or is not loaded yet; /ready says which. Try again later.",
    "outcome-unknown": "The answer may have been stored, but could not be given; the question may be asked again.",
}
_OF_STATUS = {
    400: ("invalid-json", "The body cannot be read"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "This path takes another method"),
    413: ("too-large", "The body is too large"),
    415: ("unsupported-media-type", "The body is not JSON"),
}


class UnknownVersionError(HTTPException):
    """A version of the API, asked for by path (404) or by header (406), that is not served."""


def problem_of(error: Exception) -> Problem:
    """The problem document of an error; one that nobody foresaw is a 500 without its inner words."""
    if isinstance(error, RequestValidationError | ValidationError):
        return _of_validation(error.errors())
    if isinstance(error, RefusedError | RequestError):
        field = getattr(error, "field", "") or None
        return _problem(error.status, error.code, error.title, str(error), field=field)
    for kind, status, code, title in _OF_ERRORS:
        if isinstance(error, kind):
            return _problem(
                status,
                code,
                title,
                _detail(code, error),
                field=getattr(error, "field", "") or None,
                suggestions=list(getattr(error, "suggestions", ())),
            )
    if isinstance(error, UnknownVersionError):
        return _problem(error.status_code, "unknown-version", "This version is not served", error.detail)
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, title = _OF_STATUS.get(error.status_code, ("http-error", "The request failed"))
        return _problem(error.status_code, code, title, str(error.detail))
    _log.error("unforeseen error: %s", loggable(error))
    return _problem(500, "internal", "An error of ours", "The error was logged; the request may be sent again.")


def loggable(error: Exception) -> str:
    """What the log may hold of an error: its words, for an unforeseen one the trace too, never a password."""
    foreseen = isinstance(error, RiftlineError) and type(error) is not RiftlineError
    text = str(error) if foreseen else "".join(traceback.format_exception(error))
    return _LOGIN.sub("***", text)


def _detail(code: str, error: RiftlineError) -> str:
    if code not in _FIXED_DETAILS:
        return str(error)
    _log.warning("%s: %s", code, loggable(error))
    return _FIXED_DETAILS[code]


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
        type=f"{TYPE_BASE}{code}",
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


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None, **members: str) -> JSONResponse:
    """The HTTP answer; a 503 says when to come back."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    content = {**problem.model_dump(exclude_none=True), **members}
    return JSONResponse(content, problem.status, media_type=MEDIA_TYPE, headers={**(headers or {}), **retry})


def install(api: FastAPI) -> None:
    """Answer every error of the API as a problem document."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(error)
        # the Open Inference Protocol knows the text of an error alone, under this name
        members = {"error": problem.detail} if request.url.path.startswith("/v2/") else {}
        return problem_response(problem, getattr(error, "headers", None), **members)  # a 405 says what is allowed

    for kind in (RequestValidationError, ValidationError, HTTPException, RiftlineError, Exception):
        api.add_exception_handler(kind, answer)
