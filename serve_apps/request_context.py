"""Which request a line of the log is about: X-Request-ID and the W3C traceparent, from the head to every record."""

from __future__ import annotations

import logging
import re
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.datastructures import Headers

from serve_apps.problems import problem_of, problem_response
from stores.noise import Noise

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_SANE_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")  # also UUIDs, ULIDs, base64 and what proxies make
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_noise = Noise(16)
_log = logging.getLogger(__name__)


class RequestContext(NamedTuple):
    """What names a request. ``traceparent`` is empty where the caller traces nothing (W3C Trace Context, 2021)."""

    request_id: str
    traceparent: str


_current: ContextVar[RequestContext | None] = ContextVar("riftline_request", default=None)


def current() -> RequestContext | None:
    """The request that is being answered, if one is."""
    return _current.get()


def context_of(headers: Headers) -> RequestContext:
    """The names that the caller gave, as far as they are sane; an id is made where there is none."""
    traceparent = headers.get("traceparent", "")
    return RequestContext(
        request_id_of(headers.get("x-request-id", "")), traceparent if _TRACEPARENT.fullmatch(traceparent) else ""
    )


def request_id_of(given: str) -> str:
    """The id that the caller gave if it is sane, else one that is made here."""
    return given if given and _SANE_ID.fullmatch(given) else _noise.take().hex()


class RequestNames:
    """ASGI middleware, outermost: names the request, tells the id in the answer, and logs what failed.

    An error that nobody foresaw is answered here, so that its answer and its log line bear the id.

    ``told`` False: the server in front tells the id.
    """

    def __init__(self, app: ASGIApp, *, told: bool = True) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, begun_s, begun = context_of(Headers(scope=scope)), time.perf_counter(), False

        async def tell(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if self._told:
                    message["headers"] = [*message.get("headers", ()), (HEADER, context.request_id.encode())]
                if message["status"] >= 500:
                    took_ms = (time.perf_counter() - begun_s) * 1e3
                    # %r: a path is the client's own text
                    _log.warning("%s %r: %d in %.1f ms", scope["method"], scope["path"], message["status"], took_ms)
            await send(message)

        token = _current.set(context)
        try:
            await self._app(scope, receive, tell)
        except Exception as error:
            if begun:
                raise
            await problem_response(problem_of(error))(scope, receive, tell)
        finally:
            _current.reset(token)


def name_log_records() -> None:
    """Let every record of this process bear ``http_request_id`` and ``http_traceparent``; ours say them. Idempotent."""
    made = logging.getLogRecordFactory()
    if isinstance(made, _NamingFactory):
        return
    logging.setLogRecordFactory(_NamingFactory(made))


class _NamingFactory:
    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._made(*args, **kwargs)
        context = _current.get()
        # not `request_id`: Serve gives its own records that name, and a record refuses to be given one twice
        record.http_request_id = context.request_id if context else ""
        record.http_traceparent = context.traceparent if context else ""
        if context and record.name.startswith(("serve_apps.", "stores.", "actors.")) and isinstance(record.msg, str):
            said = f"request {context.request_id}: "
            if context.traceparent:
                said = f"request {context.request_id} trace {context.traceparent}: "
            record.msg = said.replace("%", "%%") + record.msg if record.args else said + record.msg
        return record
