"""What is refused before a request is read: a body too large or not JSON, a version that is not served."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from serve_apps.problems import UnknownVersionError, problem_of, problem_response
from stores.errors import InvalidError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000  # a batch of 1000 full questions is about 300 kB
VERSION = 1
_VENDOR = "application/vnd.riftline."
_SERVED = {f"{_VENDOR}v{VERSION}+json", "application/json", "application/*", "*/*"}


class RequestGuard:
    """ASGI middleware. The body is counted as it streams, so that a lying or missing length does not help."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        try:
            accept = b",".join(value for name, value in scope["headers"] if name.lower() == b"accept")
            check_version(accept.decode("latin-1"), scope["path"])
            if scope["method"] == "POST":
                _check_content_type(headers.get(b"content-type", b"").decode("latin-1"))
                receive = await _read_all(receive, headers.get(b"content-length", b""))
        except (HTTPException, InvalidError) as error:
            await problem_response(problem_of(error))(scope, receive, send)
            return
        # HEAD is GET without the body, which the server leaves out by itself
        await self._app({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)


def check_version(accept: str, path: str) -> None:
    """Refuse a version that is asked for by header or path and not served. Raises UnknownVersionError, 404 or 406.

    A header is refused only if it names versions, none that is served, and would not take plain JSON either.
    """
    accepted = _accepted(accept)
    versions = [media_type for media_type in accepted if media_type.startswith(_VENDOR)]
    if versions and _SERVED.isdisjoint(accepted):
        raise UnknownVersionError(406, f"Accept: {versions[0][:80]} is not served; ask for {_VENDOR}v{VERSION}+json")
    if path == "/v2" or path.startswith(("/v2/health/", "/v2/models/")):
        return  # of the Open Inference Protocol, whose paths begin with its own version
    first = path.split("/")[1] if "/" in path else ""
    if first[:1] == "v" and first[1:].isdigit() and first != f"v{VERSION}":
        raise UnknownVersionError(
            404, f"version {first[:20]} is not served; the paths of version {VERSION} begin with /v{VERSION}"
        )


def _accepted(accept: str) -> list[str]:
    """The media types of an Accept header, without those that it rules out by ``q=0``."""
    found = []
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        if not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters):
            found.append(media_type)
    return found


def _check_content_type(content_type: str) -> None:
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise HTTPException(415, f"Content-Type {kind[:80]} is not read; send application/json")


async def _read_all(receive: Receive, declared: bytes) -> Receive:
    """The whole body, at most MAX_BODY_BYTES; the rest of the app receives it as one message."""
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return _replay([message], receive)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return _replay([{"type": "http.request", "body": bytes(body), "more_body": False}], receive)


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send a batch in parts")
