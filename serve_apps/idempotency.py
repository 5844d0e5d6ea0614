"""`Idempotency-Key`: a POST that is sent again is answered again as it was, and done once.

Source: draft-ietf-httpapi-idempotency-key-header-07. Kept for a day: answers that succeeded. What failed may be asked
again under the same key.
"""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.responses import Response

from serve_apps.admission import TICKET, RedisWhenThere
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.problems import loggable, problem_of, problem_response
from serve_apps.request_errors import (
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    WrongIdempotencyKeyError,
)
from stores.domain.idempotency import Claim, KeptResponse, Taken
from stores.errors import InvalidError, RiftlineError, TransientError
from stores.redis_store.idempotency import RedisIdempotency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from serve_apps.gate import Ticket

T = TypeVar("T")

HEADER = b"idempotency-key"
ASKED_WITHIN_S = 1.5  # of Redis, which writes to its disk before it answers
LOCK_BEYOND_S = 5.0  # the lock outlives every request, and a killed replica holds a key for no longer
_KEYED = re.compile(r"(?:/v1)?/(?:predict/(?:single|batch)|predictions/[^/]+/feedback)|/v2/models/[^/]+/infer")
_KEY = re.compile(r"[!-~]{1,255}")
_log = logging.getLogger(__name__)


def is_keyed(path: str) -> bool:
    """Whether a POST to this path may bear a key; any other ignores it."""
    return _KEYED.fullmatch(path) is not None


class IdempotencyKeys:
    """The keys, in Redis behind a breaker. Raises TransientError while Redis is away, at once when that is known."""

    def __init__(self, redis: RedisWhenThere, lock_s: float) -> None:
        self._redis = redis
        self._lock_s = lock_s
        self._breaker = CircuitBreaker("Redis")

    async def claim(self, claim: Claim) -> KeptResponse | Taken | None:
        """See `stores.roles.idempotency.Idempotency`."""
        return await self._ask(lambda store: store.claim(claim, self._lock_s))

    async def keep(self, claim: Claim, response: KeptResponse) -> None:
        """Keep the response. When that cannot be, the lock ends by itself, and a repetition is answered anew."""
        try:
            await self._ask(lambda store: store.keep(claim, response))
        except RiftlineError as error:
            _log.warning("an answer is not kept for its Idempotency-Key: %s", loggable(error))

    async def release(self, claim: Claim) -> None:
        """Give the key back, as far as that can be done."""
        try:
            await self._ask(lambda store: store.release(claim))
        except RiftlineError as error:
            _log.warning("an Idempotency-Key is not given back: %s", loggable(error))

    async def _ask(self, call: Callable[[RedisIdempotency], Awaitable[T]]) -> T:
        async def ask() -> T:
            try:
                connection = await self._redis.connection()
            except InvalidError as error:  # the operator's mistake, not the client's
                raise TransientError(str(error)) from error
            return await call(RedisIdempotency(connection))

        return await self._breaker.call(ask, ASKED_WITHIN_S)


class Idempotency:
    """ASGI middleware, inside the gate, which says who asks; requests without the header pass at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = [value for name, value in scope.get("headers", ()) if name == HEADER]
        if not given or scope["method"] != "POST" or not is_keyed(scope["path"]):
            await self._app(scope, receive, send)
            return
        keys: IdempotencyKeys = scope["app"].state.idempotency
        try:
            body = await _body(receive)
            claim = claim_of(scope, given, body)
            kept = await keys.claim(claim)
            if isinstance(kept, Taken):
                raise _TAKEN[kept]
        except RiftlineError as error:
            problem = problem_of(error)
            await problem_response(problem, _RETRY if problem.status == 409 else {})(scope, receive, send)
            return
        if kept is not None:
            headers = {"Idempotent-Replayed": "true", "Content-Type": kept.content_type}
            await Response(kept.body, kept.status, headers)(scope, receive, send)
            return
        answer = _Answer(keys, claim, send)
        try:
            await self._app(scope, _replayed(body, receive), answer.pass_on)
        except Exception:
            await keys.release(claim)
            raise


class _Answer:
    """Passes an answer on, and has it kept before its last byte: who has it all can have it again."""

    def __init__(self, keys: IdempotencyKeys, claim: Claim, send: Send) -> None:
        self._keys = keys
        self._claim = claim
        self._send = send
        self._status = 0
        self._content_type = ""
        self._body = bytearray()

    async def pass_on(self, message: Message) -> None:
        """Take one message of the app."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._content_type = Headers(raw=message["headers"]).get("content-type", "")
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._settle()
        await self._send(message)

    async def _settle(self) -> None:
        if 200 <= self._status < 300:
            await self._keys.keep(self._claim, KeptResponse(self._status, self._content_type, bytes(self._body)))
        else:
            await self._keys.release(self._claim)


_RETRY = {"Retry-After": "1"}
_TAKEN = {
    Taken.IN_FLIGHT: IdempotencyKeyInFlightError(
        "the first request with this Idempotency-Key is being answered; send it again in a moment", "Idempotency-Key"
    ),
    Taken.OTHER_REQUEST: IdempotencyKeyReusedError(
        "this Idempotency-Key was sent with another request; give each request a key of its own", "Idempotency-Key"
    ),
}


def claim_of(scope: Scope, given: list[bytes], body: bytes) -> Claim:
    """What is claimed: the key, of this caller alone, for this path and body. Raises WrongIdempotencyKeyError."""
    key = given[0].decode("latin-1").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':  # the draft's own form is a quoted string
        key = key[1:-1]
    if len(given) > 1 or not _KEY.fullmatch(key):
        raise WrongIdempotencyKeyError(
            "Idempotency-Key: give one key of 1 to 255 visible ASCII characters, such as a UUID", "Idempotency-Key"
        )
    ticket: Ticket = scope[TICKET]
    caller = ticket.identity.subject or f"nobody at {ticket.address}"
    return Claim(_digest(caller, key), _digest(scope["path"], body.hex()), uuid4().hex)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


async def _body(receive: Receive) -> bytes:
    """The whole body, which the guard has bounded."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
