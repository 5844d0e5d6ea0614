"""Why a request is refused before it is read, and the answer as bytes, so that a flood of refusals costs little."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import orjson

from serve_apps.wire import Problem
from stores.errors import RiftlineError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://riftline.dev/problems/"
_CHALLENGE = 'Bearer realm="riftline"'


class RefusedError(RiftlineError):
    """Not answered because of who asks. ``headers`` belong to the answer."""

    status = 403
    code = "refused"
    title = "The request was refused"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, dict(headers or {}))
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return str(self.args[0])


class UnauthenticatedError(RefusedError):
    """There is no valid key or token where one is needed or was given. No message quotes it."""

    status = 401
    code = "unauthenticated"
    title = "Who asks is not known"

    @classmethod
    def missing(cls) -> UnauthenticatedError:
        """Nothing was given, and something is needed."""
        return cls(
            "send an API key: Authorization: Bearer rl_live_…, or X-API-Key: rl_live_…",
            {"WWW-Authenticate": _CHALLENGE},
        )

    @classmethod
    def invalid(cls, message: str) -> UnauthenticatedError:
        """What was given is not valid (RFC 6750, section 3.1)."""
        return cls(message, {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'})


class MissingScopeError(RefusedError):
    """The key is valid, but not for this."""

    status = 403
    code = "missing-scope"
    title = "The key may not be used for this"

    @classmethod
    def of(cls, scope: str) -> MissingScopeError:
        """The scope that is missing."""
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
        return cls(f"this needs a key with the scope {scope}", {"WWW-Authenticate": challenge})


class QuotaExceededError(RefusedError):
    """Too much was asked. ``headers`` say when to come back."""

    status = 429
    code = "quota-exceeded"
    title = "Too many requests"


class Refusal(NamedTuple):
    """An answer without a framework."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refusal_of(error: RefusedError) -> Refusal:
    """The answer to a refused request."""
    body = _body(error.status, error.code, error.title, str(error))
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    return Refusal(error.status, headers, body)


@lru_cache(256)
def _body(status: int, code: str, title: str, detail: str) -> bytes:
    problem = Problem(type=f"{TYPE_BASE}{code}", title=title, status=status, code=code, detail=detail)
    return orjson.dumps(problem.model_dump(exclude_none=True))
