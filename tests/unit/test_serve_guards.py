"""What is refused before the application reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.exceptions import HTTPException

from serve_apps.guards import MAX_BODY_BYTES, RequestGuard, check_version
from serve_apps.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

HALF = b"x" * (MAX_BODY_BYTES // 2)


class Exchange:
    """One request through the guard, sent in chunks, to an application that reads it and answers 200."""

    def __init__(
        self, chunks: Sequence[bytes], headers: dict[str, str], method: str = "POST", accepts: Sequence[str] = ()
    ) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.sent: list[Any] = []
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        raw += [(b"Accept", value.encode()) for value in accepts]
        self._scope = {"type": "http", "method": method, "path": "/predict/single", "headers": raw}
        self._chunks = list(chunks)

    async def status(self) -> int:
        """The status that the client gets."""
        await RequestGuard(self._application)(self._scope, self._receive, self._send)
        return int(self.sent[0]["status"])

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message.get("more_body")
        self.seen.append((scope["method"], message.get("body", b"")))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        body = self._chunks.pop(0) if self._chunks else b""
        return {"type": "http.request", "body": body, "more_body": bool(self._chunks)}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(
    ("accept", "path", "status"),
    [
        ("", "/predict/single", None),
        ("*/*", "/v1/predict/single", None),
        ("application/vnd.riftline.v1+json; q=0.9, text/html", "/players", None),
        ("text/html, Application/Vnd.Riftline.V1+JSON", "/players", None),
        ("", "/vim/settings", None),
        ("application/vnd.riftline.v2+json, */*;q=0.1", "/players", None),
        ("application/vnd.riftline.v2+json, application/json", "/players", None),
        ("application/vnd.riftline.v2+json, application/vnd.riftline.v1+json", "/players", None),
        ("application/vnd.riftline.v2+json", "/players", 406),
        ("application/vnd.riftline.v2+json, text/html", "/players", 406),
        ("application/vnd.riftline.v2+json, application/vnd.riftline.v3+json", "/players", 406),
        ("application/vnd.riftline.v2+json, */*; q=0.0", "/players", 406),
        ("application/json", "/v2/players", 404),
        ("", "/v2/players", 404),
    ],
)
def test_versions(accept: str, path: str, status: int | None) -> None:
    """A version that is not served is refused, unless the header takes another answer too; both bear one code."""
    if status is None:
        check_version(accept, path)
        return
    with pytest.raises(HTTPException) as caught:
        check_version(accept, path)
    assert (caught.value.status_code, problem_of(caught.value).code) == (status, "unknown-version")


async def test_a_chunked_body_arrives_whole() -> None:
    """The application receives one message, however the body came."""
    exchange = Exchange([b'{"a"', b": ", b"1}"], {"content-type": "application/json"})
    assert await exchange.status() == 200
    assert exchange.seen == [("POST", b'{"a": 1}')]


@pytest.mark.parametrize("declared", ["", "10", "-1", "many"])
async def test_a_large_body_is_refused_whatever_its_length_says(declared: str) -> None:
    """The bytes are counted as they come, and the application sees none of them."""
    exchange = Exchange([HALF, HALF, b"x"], {"content-length": declared})
    assert await exchange.status() == 413
    assert exchange.seen == []


async def test_a_body_of_just_the_limit_passes() -> None:
    """The limit itself is allowed."""
    assert await Exchange([HALF, HALF], {}).status() == 200


async def test_another_content_type_is_refused() -> None:
    """Only JSON is read."""
    assert await Exchange([b"a=1"], {"content-type": "application/x-www-form-urlencoded"}).status() == 415


async def test_accept_in_several_lines_is_one_list() -> None:
    """What one line refuses another may allow."""
    unknown = "application/vnd.riftline.v2+json"
    assert await Exchange([], {}, accepts=["*/*", unknown]).status() == 200
    assert await Exchange([], {}, accepts=[unknown, unknown]).status() == 406


async def test_head_is_answered_as_get() -> None:
    """The application knows no HEAD; the server leaves the body out."""
    exchange = Exchange([], {}, "HEAD")
    assert await exchange.status() == 200
    assert exchange.seen == [("GET", b"")]
