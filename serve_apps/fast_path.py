"""Plain questions answered without the layers of the app: what the layers would do for them is done here, in one go.

A question that wants more (an explanation, an idempotency key, CORS), that is wrong, or whose caller must first be
looked up, is left to the app. Both answer alike: tests/integration/api/test_fast_path.py asks both the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic import ValidationError

from serve_apps.answer_protocol import Answered, own_socket
from serve_apps.problems import problem_of, problem_response
from serve_apps.refusals import RefusedError
from serve_apps.request_context import HEADER, request_id_of
from serve_apps.service import Caller
from serve_apps.usage_log import call_of
from serve_apps.wire import PredictionRequest
from stores.errors import InvalidError, OverloadedError, RiftlineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.datastructures import State

    from serve_apps.answer_protocol import Asked
    from serve_apps.gate import Gate, Ticket
    from serve_apps.request_metrics import RequestMetrics
    from serve_apps.service import PredictionService
    from serve_apps.write_behind import WriteBehind
    from stores.domain.predictions import PredictionRecord
    from stores.domain.props import PropRequest

PATH: Final = "/predict/single"
MOST_LAG_S = 0.25  # beyond it, what waits for the event loop would be answered too late
TICK_S = 0.02
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_ACCEPTED = frozenset({b"*/*", b"application/json", b"application/vnd.riftline.v1+json"})
_OF_THE_APP = frozenset({b"content-encoding", b"expect", b"idempotency-key", b"origin", b"traceparent", b"upgrade"})
_CACHING = ((b"cache-control", b"no-store"), (b"vary", b"Accept-Encoding"))  # as serve_apps.cache_headers and gzip say
_HEADERS = ((b"content-type", b"application/json"), *_CACHING)


class _Head(NamedTuple):
    """What the answer needs of a request's head."""

    request_id: bytes
    user_agent: str | None


class LoopLag:
    """How long the event loop lets others wait, told by a timer that comes too late. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock

    async def keep(self) -> None:
        """Measure for ever."""
        while True:
            due = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            self.seconds = max(self._clock() - due, 0.0)


class FastPath:
    """`serve_apps.answer_protocol.Answers`. Belongs to one event loop."""

    def __init__(
        self, service: PredictionService, gate: Gate, behind: WriteBehind, metrics: RequestMetrics, lag: LoopLag
    ) -> None:
        self.answered = 0
        self._service = service
        self._gate = gate
        self._behind = behind
        self._metrics = metrics
        self._lag = lag
        self._later: set[asyncio.Task[None]] = set()

    def answer(self, asked: Asked, reply: Callable[[Answered], None]) -> bool:
        """See `Answers`."""
        begun = time.perf_counter()
        head = _plain(asked.headers)
        if head is None:
            return False
        if self._lag.seconds > MOST_LAG_S:  # before anything is spent on it
            late = _late()
            self._metrics.note(PATH, "POST", late.status, time.perf_counter() - begun, len(late.body))
            reply(late)
            return True
        asks = self._admitted(asked)
        if asks is None:
            return False
        request, ticket = asks
        call = _Call(self, asked, head, ticket, begun, reply)
        caller = Caller(ticket.address, head.user_agent, ticket.identity.user_id, ticket.identity.api_key_id)
        try:
            if self._service.at_once(request):
                self._keep(call, *self._service.prepare(request, caller))
            else:
                later = asyncio.create_task(self._keep_later(call, request, caller))
                self._later.add(later)  # nobody else holds it
                later.add_done_callback(self._later.discard)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller hears of it
            call.fail(error)
        return True

    def _keep(self, call: _Call, record: PredictionRecord, document: dict[str, Any]) -> None:
        call.body = orjson.dumps(document)  # what cannot be said is not recorded
        self._behind.add(record).add_done_callback(call.finish)

    async def _keep_later(self, call: _Call, request: PropRequest, caller: Caller) -> None:
        try:
            self._keep(call, *await self._service.prepare_later(request, caller))
        except Exception as error:  # noqa: BLE001  # as above
            call.fail(error)

    def _admitted(self, asked: Asked) -> tuple[PropRequest, Ticket] | None:
        """The question and the leave to ask it; None: nothing was counted, and the app finds out what is wrong."""
        try:
            question = PredictionRequest.model_validate_json(asked.body)
            if question.explain:
                return None
            request = question.to_domain()
            ticket = self._gate.pass_known(PATH, asked.headers, asked.peer[0] if asked.peer else None)
        except (ValidationError, InvalidError, RefusedError):
            return None
        return None if ticket is None else (request, ticket)

    def note(self, call: _Call, answered: Answered) -> None:
        """Count one answer, and keep it as a call."""
        seconds, size = time.perf_counter() - call.begun, len(answered.body)
        self._metrics.note(PATH, "POST", answered.status, seconds, size)
        with suppress(RiftlineError):  # a head that no table takes is no reason to fail an answer
            self._behind.note_call(
                call_of(
                    (PATH, "POST", answered.status),
                    call.ticket,
                    seconds,
                    (len(call.asked.body), size),
                    call.head.user_agent,
                )
            )


@asynccontextmanager
async def opened_fast_path(state: State) -> AsyncIterator[None]:
    """Let the replica's socket answer plain questions, with the parts that the app's ``state`` holds."""
    lag = LoopLag()
    measuring = asyncio.create_task(lag.keep())
    state.fast_path = FastPath(state.service, state.gate, state.write_behind, state.metrics, lag)
    try:
        with own_socket(state.fast_path):
            yield
    finally:
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)


class _Call:
    """One question on its way: what its answer waits for is the disk."""

    __slots__ = ("_reply", "asked", "begun", "body", "head", "path", "ticket")

    def __init__(  # noqa: PLR0913, PLR0917  # made once, for each question
        self,
        path: FastPath,
        asked: Asked,
        head: _Head,
        ticket: Ticket,
        begun: float,
        reply: Callable[[Answered], None],
    ) -> None:
        self.path = path
        self.asked = asked
        self.head = head
        self.ticket = ticket
        self.begun = begun
        self.body = b""
        self._reply = reply

    def finish(self, flushed: asyncio.Future[None]) -> None:
        """Give the answer now that it is on disk, or say that it is not."""
        error = asyncio.CancelledError() if flushed.cancelled() else flushed.exception()
        if error is not None:
            self.fail(error if isinstance(error, Exception) else OverloadedError("the journal was closed"))
            return
        self._give(Answered(200, (*_HEADERS, (HEADER, self.head.request_id), *self.ticket.headers), self.body))

    def fail(self, error: Exception) -> None:
        """Say what went wrong."""
        self._give(_problem(error, self.head, self.ticket.headers))

    def _give(self, answered: Answered) -> None:
        self.path.answered += 1
        self._reply(answered)
        self.path.note(self, answered)


def _plain(headers: Sequence[tuple[bytes, bytes]]) -> _Head | None:
    """The head of a plain question, or None: the app must look at it."""
    given, agent = b"", None
    for name, value in headers:
        if name in _OF_THE_APP:
            return None
        if name == b"content-type":
            if value.lower() not in _JSON:
                return None
        elif name == b"accept":
            if value not in _ACCEPTED:
                return None
        elif name == b"x-request-id":
            given = value
        elif name == b"user-agent":
            agent = value.decode("latin-1")[:500] or None
    return _Head(request_id_of(given.decode("latin-1")).encode(), agent)


@cache
def _late() -> Answered:
    """The answer when the event loop is too far behind: made once, since a flood must not cost a log line each."""
    return _problem(OverloadedError(f"the event loop is more than {MOST_LAG_S} s behind"), _Head(b"", None))


def _problem(error: Exception, head: _Head, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answered:
    response = problem_response(problem_of(error))
    own = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
    named = ((HEADER, head.request_id),) if head.request_id else ()
    return Answered(response.status_code, (*own, *_CACHING, *named, *headers), bytes(response.body))
