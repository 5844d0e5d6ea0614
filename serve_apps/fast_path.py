"""Plain questions answered without the layers of the app: what the layers would do for them is done here, in one go.

A question that wants more (an explanation, an idempotency key, CORS), that is wrong, or whose caller must first be
looked up, is left to the app. Both answer alike: tests/integration/api/test_fast_path.py asks both the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from serve_apps.answer_protocol import Answered, own_socket
from serve_apps.overload import MOST_ELSEWHERE, MOST_LAG_S, Crowd, LoopLag
from serve_apps.problems import problem_of, problem_response
from serve_apps.refusals import RefusedError
from serve_apps.request_context import HEADER, request_id_of
from serve_apps.service import Caller
from serve_apps.usage_log import call_of
from serve_apps.wire import PredictionRequest
from stores.clock import utc_now
from stores.errors import InvalidError, OverloadedError, RiftlineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from starlette.datastructures import State

    from serve_apps.answer_protocol import Asked
    from serve_apps.gate import Gate, Ticket
    from serve_apps.request_metrics import RequestMetrics
    from serve_apps.service import PredictionService, Ready
    from serve_apps.write_behind import WriteBehind
    from stores.domain.props import PropRequest
    from stores.domain.usage import ApiCall

PATH: Final = "/predict/single"
COUNTED_S = 0.05  # the next answers do not wait until those before are counted; a crash loses as much
TOGETHER_S = 0.002  # questions that come within it are answered together: a question alone costs twice as much
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_ACCEPTED = frozenset({b"*/*", b"application/json", b"application/vnd.riftline.v1+json"})
_OF_THE_APP = frozenset({b"content-encoding", b"expect", b"idempotency-key", b"origin", b"traceparent", b"upgrade"})
_CACHING = ((b"cache-control", b"no-store"), (b"vary", b"Accept-Encoding"))  # as serve_apps.cache_headers and gzip say
_HEADERS = ((b"content-type", b"application/json"), *_CACHING)


class _Head(NamedTuple):
    """What the answer needs of a request's head."""

    request_id: bytes
    user_agent: str | None


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
        self._waiting: list[_Call] = []
        self._given: list[_Given] = []
        self._next_at = 0.0  # in the loop's time
        self._crowd = Crowd()
        self._later: set[asyncio.Task[None]] = set()

    def answer(self, asked: Asked, reply: Callable[[Answered], None]) -> bool:
        """See `Answers`."""
        begun = time.perf_counter()
        head = _plain(asked.headers)
        if head is None:
            return False
        if self._is_late():  # before more is spent on it
            late = _late()
            self._metrics.note(PATH, "POST", late.status, time.perf_counter() - begun, len(late.body))
            reply(late._replace(headers=(*late.headers, (HEADER, head.request_id))))
            return True
        asks = self._admitted(asked)
        if asks is None:
            return False
        request, ticket = asks
        caller = Caller(ticket.address, head.user_agent, ticket.identity.user_id, ticket.identity.api_key_id)
        if not self._waiting:
            loop = asyncio.get_running_loop()
            loop.call_later(max(self._next_at - loop.time(), 0.0), self._answer_waiting)
        self._waiting.append(_Call(asked, head, ticket, begun, reply, request, caller))
        return True

    def _is_late(self) -> bool:
        return (
            self._lag.seconds > MOST_LAG_S
            or len(self._waiting) >= self._crowd.most
            or len(self._later) >= MOST_ELSEWHERE
        )

    def _answer_waiting(self) -> None:
        """Answer what has come, step by step for all: at once after a pause, else TOGETHER_S after those before.

        A step that is taken again at once finds its code in the processor's caches, and all share one flush of the
        disk: one question after the other costs twice as much.
        """
        waiting, self._waiting = self._waiting, []
        self._next_at = asyncio.get_running_loop().time() + TOGETHER_S
        begun = time.perf_counter()
        calls: list[_Call] = []
        for call in waiting:
            if self._service.at_once(call.request):
                calls.append(call)
            else:
                later = asyncio.create_task(self._answer_later(call))
                self._later.add(later)  # nobody else holds it
                later.add_done_callback(self._later.discard)
        try:
            ready = self._service.prepare([(call.request, call.caller) for call in calls])
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers hear of it
            ready = [error] * len(calls)
        self._keep(calls, ready)
        if calls:
            self._crowd.answered(len(calls), time.perf_counter() - begun)

    async def _answer_later(self, call: _Call) -> None:
        try:
            ready: Ready | Exception = await self._service.prepare_later(call.request, call.caller)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller hears of it
            ready = error
        self._keep([call], [ready])

    def _keep(self, calls: Sequence[_Call], answers: Sequence[Ready | Exception]) -> None:
        kept: list[tuple[_Call, Ready]] = []
        refused = []
        for call, ready in zip(calls, answers, strict=True):
            if isinstance(ready, Exception):
                refused.append((call, call.failed(ready)))
            else:
                kept.append((call, ready))
        if refused:
            self._give(refused)
        if not kept:
            return
        try:
            flushed = self._behind.add([ready.row for _, ready in kept])
        except Exception as error:  # noqa: BLE001  # as above
            self._give([(call, call.failed(error)) for call, _ in kept])
        else:
            flushed.add_done_callback(partial(self._flushed, kept))

    def _flushed(self, kept: Sequence[tuple[_Call, Ready]], flushed: asyncio.Future[None]) -> None:
        """Give the answers now that they are on disk, or say that they are not."""
        error = asyncio.CancelledError() if flushed.cancelled() else flushed.exception()
        if error is None:
            self._give([(call, call.said(ready.body)) for call, ready in kept])
        else:
            told = error if isinstance(error, Exception) else OverloadedError("the journal was closed")
            self._give([(call, call.failed(told)) for call, _ in kept])

    def _give(self, answers: Sequence[tuple[_Call, Answered]]) -> None:
        """Reply; the count is made later, of many at once."""
        for call, answered in answers:
            self.answered += 1
            call.reply(answered)
        if not self._given:
            asyncio.get_running_loop().call_later(COUNTED_S, self.count)
        self._given.append(_Given(answers, time.perf_counter(), utc_now()))

    def count(self) -> None:
        """Count what was answered, and keep it as calls."""
        given, self._given = self._given, []
        calls: list[ApiCall] = []
        for answers, done, at in given:
            for call, answered in answers:
                seconds = done - call.begun
                self._metrics.note(PATH, "POST", answered.status, seconds, len(answered.body))
                with suppress(RiftlineError):  # a head that no table takes is no reason to fail an answer
                    calls.append(call.as_call(answered, at, seconds))
        if calls:
            self._behind.note_calls(calls)

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
        state.fast_path.count()


class _Call:
    """One question on its way: what its answer waits for is the disk."""

    __slots__ = ("asked", "begun", "caller", "head", "reply", "request", "ticket")

    def __init__(  # noqa: PLR0913, PLR0917  # made once, for each question
        self,
        asked: Asked,
        head: _Head,
        ticket: Ticket,
        begun: float,
        reply: Callable[[Answered], None],
        request: PropRequest,
        caller: Caller,
    ) -> None:
        self.asked = asked
        self.head = head
        self.ticket = ticket
        self.begun = begun
        self.reply = reply
        self.request = request
        self.caller = caller

    def said(self, body: bytes) -> Answered:
        """The answer."""
        return Answered(200, (*_HEADERS, (HEADER, self.head.request_id), *self.ticket.headers), body)

    def failed(self, error: Exception) -> Answered:
        """What went wrong."""
        return _problem(error, self.head, self.ticket.headers)

    def as_call(self, answered: Answered, at: datetime, seconds: float) -> ApiCall:
        """What is kept of it. Raises InvalidError as `call_of`."""
        sizes = len(self.asked.body), len(answered.body)
        return call_of((PATH, "POST", answered.status), self.ticket, at, seconds, sizes, self.head.user_agent)


class _Given(NamedTuple):
    """Answers that were given together, and when: by the process's clock and by that of the world."""

    answers: Sequence[tuple[_Call, Answered]]
    done: float
    at: datetime


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
    """The answer where an answer would come too late: made once, since a flood must not cost a log line each."""
    return _problem(OverloadedError("more is asked of this replica than it answers in time"), _Head(b"", None))


def _problem(error: Exception, head: _Head, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answered:
    response = problem_response(problem_of(error))
    own = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
    named = ((HEADER, head.request_id),) if head.request_id else ()
    return Answered(response.status_code, (*own, *_CACHING, *named, *headers), bytes(response.body))
