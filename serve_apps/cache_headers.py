"""What a CDN or a browser may keep: validators, lifetimes and surrogate keys on what is the same for everyone.

An entity tag is strong (RFC 9110, section 8.8.3) and of the bytes; where the answer will be compressed it is marked
weak, since two compressions of the same need not be equal.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

GZIP_FROM_BYTES = 2_000
SEARCHES = frozenset({"/players", "/teams", "/tournaments"})
STATUS, CURVE = "/models/status", "/predict/curve/"
# A curve is at most 35 s old, within the minute that the product promises; names hardly ever change.
LIFETIMES_S = {CURVE: (5, 30), STATUS: (1, 5), "search": (60, 300)}
KINDS = ("curve", "search", "status")  # each answer that may be kept bears one of these as a surrogate key
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_KEY = re.compile(r"[^!-~]+")


class _Validators(NamedTuple):
    etag: str
    surrogate_keys: tuple[str, ...]


class CacheHeaders:
    """ASGI middleware, inside the one that compresses. ``shared`` False: caches of many callers must not keep answers.

    Answers that are no one's alone are named by ``Surrogate-Key``; all others must not be stored.
    """

    def __init__(self, app: ASGIApp, *, shared: bool = True) -> None:
        self._app = app
        self._scope = "public" if shared else "private"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = kind_of(scope["path"]) if scope["method"] in {"GET", "HEAD"} else None
        await self._app(scope, receive, send_unstored(send) if kind is None else self._cached(kind, scope, send))

    def _cached(self, kind: str, scope: Scope, send: Send) -> Send:
        head: Message = {}
        body = bytearray()

        async def cached(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            if head["status"] != 200:
                await send_unstored(send)(head)
                await send({"type": "http.response.body", "body": bytes(body)})
                return
            await self._send(kind, scope, head, bytes(body), send)

        return cached

    async def _send(self, kind: str, scope: Scope, head: Message, body: bytes, send: Send) -> None:
        asked, headers = Headers(scope=scope), MutableHeaders(scope=head)
        found = _validators(kind, scope, body)
        compressed = len(body) >= GZIP_FROM_BYTES and "gzip" in asked.get("accept-encoding", "")
        etag = f"W/{found.etag}" if compressed and not found.etag.startswith("W/") else found.etag
        max_age_s, stale_s = LIFETIMES_S[kind]
        headers["ETag"] = etag
        headers["Cache-Control"] = f"{self._scope}, max-age={max_age_s}, stale-while-revalidate={stale_s}"
        headers["Surrogate-Key"] = " ".join(found.surrogate_keys)
        headers.add_vary_header("Accept-Encoding")
        if is_known(etag, asked.getlist("if-none-match")):
            head["status"], body = 304, b""
            del headers["content-length"]
            del headers["content-type"]
        await send(head)
        await send({"type": "http.response.body", "body": body})


def kind_of(path: str) -> str | None:
    """Which of LIFETIMES_S a path has; None: it is not cached."""
    path = path.removeprefix("/v1")
    if path in SEARCHES:
        return "search"
    if path == STATUS:
        return STATUS
    return CURVE if path.startswith(CURVE) else None


def is_known(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether the client has this already, by weak comparison (RFC 9110, section 13.1.2)."""
    given = ",".join(if_none_match)
    return given.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(given)


def send_unstored(send: Send) -> Send:
    """Let no cache keep the answer, unless the answer says otherwise."""

    async def unstored(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
        await send(message)

    return unstored


def _validators(kind: str, scope: Scope, body: bytes) -> _Validators:
    """The tag of an answer, and by what it can be purged."""
    strong = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    if kind == "search":
        snapshot = scope["app"].state.service.state.view.source.lake_snapshot_id
        return _Validators(strong, ("search", f"snapshot-{snapshot}"))
    said: dict[str, Any] = orjson.loads(body)
    model, snapshot = _plain(said["model_version"]), said.get("serving_lake_snapshot_id", said.get("lake_snapshot_id"))
    shared = (f"model-{model}", f"snapshot-{snapshot}")
    if kind == STATUS:  # its age of the features is another one each time, and no reason to send it again
        return _Validators(f'W/"{model}-{snapshot}-{_plain(said["deployment_status"])}"', ("status", *shared))
    return _Validators(strong, ("curve", f"player-{_plain(said['player_id'])}", *shared))


def _plain(text: str) -> str:
    """A text as one word of a header."""
    return _KEY.sub("_", text.replace('"', "_"))
