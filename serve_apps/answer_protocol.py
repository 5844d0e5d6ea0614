"""The socket of a replica: a whole `POST /predict/single` is answered here, every other byte by uvicorn and the app.

What Serve and FastAPI do around an app costs 300 us a request, several times the answer (docs/performance.md). Serve
still places the replicas, starts uvicorn, tells HAProxy, checks health and drains: only the protocol class is ours. It
answers what it can answer at once and hands on all else, so the app alone knows every rule and every error.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httptools
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BEGINNINGS = (b"POST /predict/single HTTP/1.1\r\n", b"POST /v1/predict/single HTTP/1.1\r\n")
_MOST_BYTES = 65_536  # of one segment; a longer question is none of ours


class Asked(NamedTuple):
    """A whole request: header names in lower case, and who is at the other end of the connection."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: tuple[str, int] | None


class Answered(NamedTuple):
    """A response but for the headers that any has: names in lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Answers(Protocol):
    """What answers at once."""

    def answer(self, asked: Asked, reply: Callable[[Answered], None]) -> bool:
        """Whether this request is answered here: then ``reply`` is called once, now or later.

        Otherwise nothing was done, and the app must answer. Never raises.
        """


class AnswerProtocol(HttpToolsProtocol):
    """One connection. Its requests are answered one after the other, whoever answers them."""

    def __init__(self, answers: Answers, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = answers
        self._begun = False  # the app's parser is within a request
        self._answering = False
        self._closing = False
        self._later = b""
        self._parsing: tuple[_Seen, httptools.HttpRequestParser] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer a whole question, or hand the bytes on. What comes while an answer is under way waits for it."""
        if self._answering:
            self._later += data
            self.flow.pause_reading()
            return
        if self._is_idle() and data.startswith(_BEGINNINGS) and (asked := self._whole(data)):
            self._unset_keepalive_if_required()
            self._answering = True
            if self._answers.answer(asked, self._reply):
                return
            self._answering = False
        super().data_received(data)

    def shutdown(self) -> None:
        """Close once the answer under way is given."""
        self._closing = self._answering
        if not self._answering:
            super().shutdown()

    def on_message_begin(self) -> None:
        """The app's parser began a request."""
        self._begun = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The app's parser has a whole request."""
        self._begun = False
        super().on_message_complete()

    def _is_idle(self) -> bool:
        return not self._begun and (self.cycle is None or self.cycle.response_complete)

    def _whole(self, data: bytes) -> Asked | None:
        """The request, if the bytes are exactly one that keeps the connection open."""
        if len(data) > _MOST_BYTES:
            return None
        seen, parser = self._parsing or _new_parser()
        self._parsing = None  # one that has seen anything but a whole request is not used again
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        if seen.messages != 1 or not seen.complete or not parser.should_keep_alive():
            return None
        asked = Asked(seen.headers, seen.body, self.client)
        seen.forget()
        self._parsing = seen, parser
        return asked

    def _reply(self, answered: Answered) -> None:
        self._answering = False
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        head = [STATUS_LINE[answered.status]]
        for name, value in (*self.server_state.default_headers, *answered.headers):
            head += (name, b": ", value, b"\r\n")
        if self._closing:
            head.append(b"connection: close\r\n")
        head += (b"content-length: ", str(len(answered.body)).encode(), b"\r\n\r\n", answered.body)
        self.transport.write(b"".join(head))
        if self._closing:
            self.transport.close()
            return
        if self._later:
            data, self._later = self._later, b""
            self.flow.resume_reading()
            self.data_received(data)


class _Seen:
    """What the parser tells of one piece of data."""

    __slots__ = ("body", "complete", "headers", "messages")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be ready for the next piece."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        self.complete = False

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def _new_parser() -> tuple[_Seen, httptools.HttpRequestParser]:
    seen = _Seen()
    return seen, httptools.HttpRequestParser(seen)


@contextmanager
def own_socket(answers: Answers) -> Iterator[None]:
    """Let servers that start in this process within the block speak `AnswerProtocol`.

    Serve starts its own when the app has started: it then reads uvicorn's table of protocols.
    """
    usual = HTTP_PROTOCOLS["auto"]
    HTTP_PROTOCOLS["auto"] = partial(AnswerProtocol, answers)  # type: ignore[assignment]  # any callable will do
    try:
        yield
    finally:
        HTTP_PROTOCOLS["auto"] = usual
