"""One keep-alive HTTP/1.1 connection of a load generator: one request at a time, its outcome told to a callback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_END = b"\r\n\r\n"
LOST, NOT_UNDERSTOOD, NOT_CONNECTED = "connection lost", "not understood", "not connected"


@dataclass(frozen=True, slots=True)
class Response:
    """One whole response at the head of a buffer; ``size`` is what it takes of it."""

    status: int
    body: bytes
    size: int
    keep_alive: bool
    says_when_to_retry: bool = False


Outcome = Response | str  # a response, or why there is none


def parse_response(buffer: bytes | bytearray) -> Response | None:
    """The first response of a buffer, or None until it is whole. Raises ValueError unless it gives its length."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 ") or at < 0:
        raise ValueError(f"not an HTTP/1.1 response with a content-length: {head[:200]!r}")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    begin = end + len(HEAD_END)
    if len(buffer) < begin + length:
        return None
    return Response(
        int(head[9:12]),
        bytes(buffer[begin : begin + length]),
        begin + length,
        keep_alive=b"\r\nconnection: close" not in head,
        says_when_to_retry=b"\r\nretry-after:" in head,
    )


@dataclass(frozen=True, slots=True)
class Requests:
    """What to write for each item: the body of a POST, or what follows the path of a GET."""

    method: str
    path: str
    host: str
    port: int

    def of(self, item: bytes) -> bytes:
        """The whole request."""
        posted = self.method == "POST"
        kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(item) if posted else b""
        path = self.path.encode() + (b"" if posted else item)
        head = b"%s %s HTTP/1.1\r\nHost: %s:%d\r\n" % (self.method.encode(), path, self.host.encode(), self.port)
        return head + b"User-Agent: riftline-bench\r\n" + kind + b"\r\n" + (item if posted else b"")


class Connection(asyncio.Protocol):
    """Asks one request at a time. ``ended`` is done when the connection is; between requests that is no failure."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self._buffer = bytearray()
        self._told: Callable[[Outcome], None] | None = None
        self._transport: asyncio.Transport | None = None

    def ask(self, request: bytes, told: Callable[[Outcome], None]) -> None:
        """Write it; ``told`` is called once, with the response or with why there is none."""
        assert self._transport is not None
        assert self._told is None, "the answer to the last request is still awaited"
        self._told = told
        self._transport.write(request)

    def stop(self) -> None:
        """Leave at once; nobody is told of an answer that is awaited."""
        self._told = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Tell of a response once it is whole."""
        self._buffer += data
        try:
            response = parse_response(self._buffer)
        except ValueError:
            self._close()
            self._tell(NOT_UNDERSTOOD)
            return
        if response is None:
            return
        del self._buffer[: response.size]
        if not response.keep_alive:
            self._close()
        self._tell(response)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits."""
        self.is_open = False
        self._tell(LOST)
        if not self.ended.done():
            self.ended.set_result(None)

    def _close(self) -> None:
        self.is_open = False
        assert self._transport is not None
        self._transport.close()

    def _tell(self, outcome: Outcome) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(outcome)
