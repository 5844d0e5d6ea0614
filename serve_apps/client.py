"""A typed client of the API, for programs that wait (`Riftline`) and for those that do not (`AsyncRiftline`).

    RiftlineApiError
    ├── ApiProblem               the API said no; the problem document says why
    │   ├── InvalidRequest           400, 404, 413, 415, 422: change the request
    │   ├── AccessRefused            401, 403: another key
    │   ├── Conflict                 409: someone else was first, or the same request is still being answered
    │   ├── QuotaExceeded            429: come back after ``retry_after_s``
    │   └── Unavailable              5xx: come back later
    └── NoAnswer                 nothing came back; a POST may have been done

What may be repeated is: GET, and a POST with its idempotency key, which each POST here is given. Every call raises
RiftlineApiError.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from pydantic import TypeAdapter, ValidationError

from serve_apps import wire
from serve_apps.history_wire import (
    FeedbackRequest,
    HistoryPage,
    Outcome,
    StoredPrediction,
    StoredPredictionWithOutcomes,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from stores.domain.props import PropType

T = TypeVar("T")

TIMEOUT_S = 15.0  # above the server's own limit, whose answer says more
REPEATS = 3
FIRST_PAUSE_S, MOST_PAUSE_S = 0.2, 5.0
MOST_WAIT_S = 30.0  # a longer Retry-After is the caller's affair
_REPEATED = frozenset({429, 502, 503, 504})
_IN_FLIGHT = "idempotency-key-in-flight"
_PLAYERS, _TEAMS = TypeAdapter(list[wire.Player]), TypeAdapter(list[wire.Team])
_TOURNAMENTS = TypeAdapter(list[wire.Tournament])


class RiftlineApiError(Exception):
    """Root of what a call raises."""


class NoAnswer(RiftlineApiError):  # noqa: N818  # what it is
    """The service could not be reached, or did not answer in time, or in another language."""


class ApiProblem(RiftlineApiError):  # noqa: N818  # the standard's word
    """The API said no. ``request_id`` finds it in the server's log."""

    def __init__(self, problem: wire.Problem, *, retry_after_s: float | None, request_id: str | None) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class InvalidRequest(ApiProblem):
    """The request cannot be answered as it is; ``problem.field`` and ``problem.suggestions`` say what to change."""


class AccessRefused(ApiProblem):
    """The key is missing, wrong, or not for this."""


class Conflict(ApiProblem):
    """Someone else was first, or the same request is still being answered."""


class QuotaExceeded(ApiProblem):
    """Too much was asked."""


class Unavailable(ApiProblem):
    """The service cannot answer at the moment."""


_KINDS: dict[int, type[ApiProblem]] = {401: AccessRefused, 403: AccessRefused, 409: Conflict, 429: QuotaExceeded}


@dataclass(slots=True)
class _Call(Generic[T]):
    """One call: what is sent, how its answer is read, and when it is sent again. The same for both clients."""

    method: str
    path: str
    read: Callable[[bytes], T]
    left: int  # repetitions
    request: dict[str, Any] = field(default_factory=dict)
    pause_s: float = FIRST_PAUSE_S

    def judge(self, said: httpx.Response | httpx.TransportError) -> httpx.Response | float:
        """The response when it is good, or the seconds after which to try again. Raises RiftlineApiError."""
        if isinstance(said, httpx.Response) and said.is_success:
            return said
        failure = _failure(said)
        wait_s = _wait_s(failure, self.pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads callers, no secret
        if not self.left or wait_s is None:
            raise failure
        self.left -= 1
        self.pause_s = min(2 * self.pause_s, MOST_PAUSE_S)
        return wait_s


def _failure(said: httpx.Response | httpx.TransportError) -> RiftlineApiError:
    if isinstance(said, httpx.TransportError):
        return NoAnswer(f"{type(said).__name__}: {said}")
    try:
        problem = wire.Problem.model_validate_json(said.content)
    except ValidationError:  # of a proxy
        return NoAnswer(f"{said.request.method} {said.request.url.path}: {said.status_code}")
    kind = _KINDS.get(said.status_code, Unavailable if said.is_server_error else InvalidRequest)
    after = said.headers.get("retry-after", "")
    retry_after_s = float(after) if after.isascii() and after.isdigit() else None
    return kind(problem, retry_after_s=retry_after_s, request_id=said.headers.get("x-request-id"))


def _wait_s(failure: RiftlineApiError, pause_s: float) -> float | None:
    """How long to wait before the next try; None when there is no use in one."""
    if not isinstance(failure, ApiProblem):
        return pause_s
    if failure.problem.status not in _REPEATED and failure.problem.code != _IN_FLIGHT:
        return None
    wait_s = max(pause_s, failure.retry_after_s or 0.0)
    return wait_s if wait_s <= MOST_WAIT_S else None


def _headers(api_key: str | None) -> dict[str, str]:
    named = {"Accept": "application/vnd.riftline.v1+json, application/problem+json", "User-Agent": "riftline-client/1"}
    return named | ({"Authorization": f"Bearer {api_key}"} if api_key else {})


class _Calls:
    """The calls of the API, as both clients make them."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats

    def get(self, path: str, read: Callable[[bytes], T], **params: Any) -> _Call[T]:
        given = {name: value for name, value in params.items() if value is not None}
        # an address of `next` has its parameters already, and an empty mapping would take them away
        return _Call("GET", path, read, self._repeats, {"params": given} if given else {})

    def post(self, path: str, read: Callable[[bytes], T], body: dict[str, Any], key: str | None) -> _Call[T]:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return _Call("POST", path, read, self._repeats, {"json": body, "headers": headers})

    def predict(self, question: wire.PredictionRequest, key: str | None) -> _Call[wire.Prediction]:
        return self.post("/predict/single", wire.Prediction.model_validate_json, _body(question), key)

    def predict_batch(self, questions: Sequence[wire.PredictionRequest], key: str | None) -> _Call[wire.BatchResponse]:
        body = {"requests": [_body(one) for one in questions]}
        return self.post("/predict/batch", wire.BatchResponse.model_validate_json, body, key)

    def curve(self, player: str, prop_type: PropType, params: Mapping[str, Any]) -> _Call[wire.Curve]:
        path = f"/predict/curve/{quote(player, safe='')}"
        return self.get(path, wire.Curve.model_validate_json, prop_type=str(prop_type), **params)

    def players(self, name: str, limit: int) -> _Call[list[wire.Player]]:
        return self.get("/players", _PLAYERS.validate_json, q=name, limit=limit)

    def teams(self, name: str, limit: int) -> _Call[list[wire.Team]]:
        return self.get("/teams", _TEAMS.validate_json, q=name, limit=limit)

    def tournaments(self, name: str, limit: int) -> _Call[list[wire.Tournament]]:
        return self.get("/tournaments", _TOURNAMENTS.validate_json, q=name, limit=limit)

    def model_status(self) -> _Call[wire.ModelStatus]:
        return self.get("/models/status", wire.ModelStatus.model_validate_json)

    def prediction(self, prediction_id: UUID) -> _Call[StoredPredictionWithOutcomes]:
        return self.get(f"/predictions/{prediction_id}", StoredPredictionWithOutcomes.model_validate_json)

    def history(self, filters: Mapping[str, str], limit: int) -> _Call[HistoryPage]:
        params = {f"filter{name}": value for name, value in filters.items()}
        return self.get("/predictions", HistoryPage.model_validate_json, limit=limit, **params)

    def page(self, address: str) -> _Call[HistoryPage]:
        return self.get(address, HistoryPage.model_validate_json)

    def give_feedback(self, prediction_id: UUID, feedback: FeedbackRequest, key: str | None) -> _Call[Outcome]:
        path = f"/predictions/{prediction_id}/feedback"
        return self.post(path, Outcome.model_validate_json, _body(feedback), key)


def _body(message: wire.PredictionRequest | FeedbackRequest) -> dict[str, Any]:
    return message.model_dump(mode="json", exclude_unset=True)


class Riftline:
    """A client that waits. Any number of threads may use it; close it, or use it as a context manager.

    ``repeats`` is how often a call is tried again; ``transport`` is for tests and special proxies.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        repeats: int = REPEATS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._client = httpx.Client(
            base_url=base_url, headers=_headers(api_key), timeout=timeout_s, transport=transport
        )
        self._calls = _Calls(repeats)

    def __enter__(self) -> Self:
        """Use it for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def predict(self, question: wire.PredictionRequest, *, idempotency_key: str | None = None) -> wire.Prediction:
        """Answer one question."""
        return self._made(self._calls.predict(question, idempotency_key))

    def predict_batch(
        self, questions: Sequence[wire.PredictionRequest], *, idempotency_key: str | None = None
    ) -> wire.BatchResponse:
        """Answer many questions; each item says whether it was."""
        return self._made(self._calls.predict_batch(questions, idempotency_key))

    def curve(self, player: str, prop_type: PropType, **params: Any) -> wire.Curve:
        """One distribution at many lines; ``params`` are the query's parameters."""
        return self._made(self._calls.curve(player, prop_type, params))

    def players(self, name: str = "", limit: int = 20) -> list[wire.Player]:
        """The players nearest to a name."""
        return self._made(self._calls.players(name, limit))

    def teams(self, name: str = "", limit: int = 20) -> list[wire.Team]:
        """The teams nearest to a name."""
        return self._made(self._calls.teams(name, limit))

    def tournaments(self, name: str = "", limit: int = 50) -> list[wire.Tournament]:
        """The tournaments nearest to a name."""
        return self._made(self._calls.tournaments(name, limit))

    def model_status(self) -> wire.ModelStatus:
        """The model that answers."""
        return self._made(self._calls.model_status())

    def prediction(self, prediction_id: UUID) -> StoredPredictionWithOutcomes:
        """A prediction that was given, and what became of it."""
        return self._made(self._calls.prediction(prediction_id))

    def history(self, filters: Mapping[str, str] | None = None, limit: int = 50) -> Iterator[StoredPrediction]:
        """The caller's predictions, newest first, fetched by pages of ``limit``.

        A filter is named by column and operator: ``{"[prop_value][gt]": "3.5"}``.
        """
        page = self._made(self._calls.history(filters or {}, limit))
        while True:
            yield from page.predictions
            if page.next is None:
                return
            page = self._made(self._calls.page(page.next))

    def give_feedback(
        self, prediction_id: UUID, feedback: FeedbackRequest, *, idempotency_key: str | None = None
    ) -> Outcome:
        """Say what became of a prediction."""
        return self._made(self._calls.give_feedback(prediction_id, feedback, idempotency_key))

    def _made(self, call: _Call[T]) -> T:
        while True:
            judged = call.judge(self._sent(call))
            if isinstance(judged, httpx.Response):
                return call.read(judged.content)
            time.sleep(judged)

    def _sent(self, call: _Call[T]) -> httpx.Response | httpx.TransportError:
        try:
            return self._client.request(call.method, call.path, **call.request)
        except httpx.TransportError as error:
            return error


class AsyncRiftline:
    """As `Riftline`, for one event loop."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        repeats: int = REPEATS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=base_url, headers=_headers(api_key), timeout=timeout_s, transport=transport
        )
        self._calls = _Calls(repeats)

    async def __aenter__(self) -> Self:
        """Use it for a block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def predict(self, question: wire.PredictionRequest, *, idempotency_key: str | None = None) -> wire.Prediction:
        """Answer one question."""
        return await self._made(self._calls.predict(question, idempotency_key))

    async def predict_batch(
        self, questions: Sequence[wire.PredictionRequest], *, idempotency_key: str | None = None
    ) -> wire.BatchResponse:
        """Answer many questions; each item says whether it was."""
        return await self._made(self._calls.predict_batch(questions, idempotency_key))

    async def curve(self, player: str, prop_type: PropType, **params: Any) -> wire.Curve:
        """One distribution at many lines; ``params`` are the query's parameters."""
        return await self._made(self._calls.curve(player, prop_type, params))

    async def players(self, name: str = "", limit: int = 20) -> list[wire.Player]:
        """The players nearest to a name."""
        return await self._made(self._calls.players(name, limit))

    async def teams(self, name: str = "", limit: int = 20) -> list[wire.Team]:
        """The teams nearest to a name."""
        return await self._made(self._calls.teams(name, limit))

    async def tournaments(self, name: str = "", limit: int = 50) -> list[wire.Tournament]:
        """The tournaments nearest to a name."""
        return await self._made(self._calls.tournaments(name, limit))

    async def model_status(self) -> wire.ModelStatus:
        """The model that answers."""
        return await self._made(self._calls.model_status())

    async def prediction(self, prediction_id: UUID) -> StoredPredictionWithOutcomes:
        """A prediction that was given, and what became of it."""
        return await self._made(self._calls.prediction(prediction_id))

    async def history(
        self, filters: Mapping[str, str] | None = None, limit: int = 50
    ) -> AsyncIterator[StoredPrediction]:
        """The caller's predictions, newest first, fetched by pages of ``limit``.

        A filter is named by column and operator: ``{"[prop_value][gt]": "3.5"}``.
        """
        page = await self._made(self._calls.history(filters or {}, limit))
        while True:
            for one in page.predictions:
                yield one
            if page.next is None:
                return
            page = await self._made(self._calls.page(page.next))

    async def give_feedback(
        self, prediction_id: UUID, feedback: FeedbackRequest, *, idempotency_key: str | None = None
    ) -> Outcome:
        """Say what became of a prediction."""
        return await self._made(self._calls.give_feedback(prediction_id, feedback, idempotency_key))

    async def _made(self, call: _Call[T]) -> T:
        while True:
            judged = call.judge(await self._sent(call))
            if isinstance(judged, httpx.Response):
                return call.read(judged.content)
            await asyncio.sleep(judged)

    async def _sent(self, call: _Call[T]) -> httpx.Response | httpx.TransportError:
        try:
            return await self._client.request(call.method, call.path, **call.request)
        except httpx.TransportError as error:
            return error
