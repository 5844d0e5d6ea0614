"""Single, batch and curve: ask the pure core, write down what was said, then say it."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

import orjson

from actors.answers import curve_lines, look, look_all
from actors.explanations import explain
from serve_apps import wire
from serve_apps.answer_cache import AnswerCache
from serve_apps.problems import problem_of
from serve_apps.write_behind import encoded
from stores.domain.prediction_id import new_prediction_id
from stores.domain.predictions import PredictionRecord
from stores.errors import RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

    from actors.answers import Answer, Outlook
    from actors.feature_view import FeatureView
    from serve_apps.state import LoadedModel, ServingState
    from stores.domain.props import PropRequest

API_VERSION = "v1"
SOURCE = "api"
AT_ONCE = 250  # questions of a batch: what is made for them finds room in the processor's caches
P = ParamSpec("P")
T = TypeVar("T")


class Caller(NamedTuple):
    """Who asks, as far as the connection and the key tell."""

    address: IPv4Address | IPv6Address | None = None
    user_agent: str | None = None
    user_id: UUID | None = None
    api_key_id: UUID | None = None


class _Occasion(NamedTuple):
    """What all answers of one call share: one view and one model, even if newer ones arrive meanwhile.

    All were asked for at ``now``, which their ids carry.
    """

    begun_s: float
    now: datetime
    view: FeatureView
    model: LoadedModel
    warnings: tuple[str, ...]


class _Asked(NamedTuple):
    """A question of a batch, and whether its answer is to be explained."""

    request: PropRequest
    explained: bool


class Ready(NamedTuple):
    """An answer that is given once it is kept: its ``row`` as the journal keeps it, and its ``body``, JSON as
    `wire.Prediction` reads it.
    """

    row: bytes
    body: bytes


class Rows(Protocol):
    """Keeps answers before they are given (`serve_apps.write_behind.WriteBehind`)."""

    def add(self, rows: Sequence[bytes]) -> Awaitable[None]:
        """Keep them all or none; they survive the kill of this process when this is done."""
        ...


class PredictionService:
    """Guarantee: an answer that a client received is on disk and comes into prediction_requests, whatever is killed or
    away meanwhile; a refused one recorded nothing.

    ``threads`` are where questions wait for a model elsewhere (`serve_apps.placement`); None: it is here.
    """

    def __init__(
        self,
        state: ServingState,
        store: Rows,
        now: Callable[[], datetime],
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        self.state = state
        self.cache = AnswerCache()
        self._store = store
        self._now = now
        self._threads = threads

    async def single(self, request: PropRequest, caller: Caller, *, explained: bool = False) -> bytes:
        """Answer one question, and explain it in a thread: JSON as `wire.Prediction` reads it.

        Raises a RiftlineError that names what is wrong.
        """
        occasion = self._occasion()
        outlook, known = await self._look(request, occasion.view, occasion.model)
        why = await self._aside(partial(_explanation, outlook, occasion)) if explained else None
        ready = self._ready(request, caller, outlook, occasion, known=known, why=why)
        await self._store.add([ready.row])
        return ready.body

    def at_once(self, request: PropRequest) -> bool:
        """Whether `prepare` need not wait for a model elsewhere."""
        if self._threads is None:
            return True
        try:
            return self.cache.knows(request, self.state.view, self.state.model.ensemble)
        except TransientError:
            return False

    def prepare(self, asked: Sequence[tuple[PropRequest, Caller]]) -> list[Ready | Exception]:
        """The answer to each question, or what `single` would raise; what is alike is computed together."""
        occasion = _tried(self._occasion)
        if isinstance(occasion, Exception):
            return [occasion] * len(asked)
        view, model = occasion.view, occasion.model.ensemble
        requests = [request for request, _ in asked]
        looked = self.cache.look_all(requests, view, model, lambda missing: _outlooks(missing, occasion))
        return [
            outlook
            if isinstance(outlook, Exception)
            else _tried(self._ready, request, caller, outlook, occasion, known=known)
            for (request, caller), (outlook, known) in zip(asked, looked, strict=True)
        ]

    async def prepare_later(self, request: PropRequest, caller: Caller) -> Ready:
        """As `prepare`, where that would wait. Raises as `single` does."""
        occasion = self._occasion()
        outlook, known = await self._look(request, occasion.view, occasion.model)
        return self._ready(request, caller, outlook, occasion, known=known)

    async def batch(self, requests: Sequence[Any], caller: Caller) -> bytes:
        """Answer many questions, each failing alone, in a thread: meanwhile the event loop serves others.

        The answer is JSON as `wire.BatchResponse` reads it: to make a model of it costs a sixth of the whole.
        """
        answered = await self._aside(partial(self._answer_all, requests, caller))
        rows = [one.row for one in answered if isinstance(one, Ready)]
        try:
            if rows:
                await self._store.add(rows)
        except RiftlineError as lost:
            answered = [lost if isinstance(one, Ready) else one for one in answered]
        succeeded = sum(isinstance(one, Ready) for one in answered)
        items = [_item(index, one) for index, one in enumerate(answered)]
        return orjson.dumps({"items": items, "succeeded": succeeded, "failed": len(items) - succeeded})

    async def curve(self, request: PropRequest, lines: Sequence[float] | None) -> wire.Curve:
        """One distribution read at many lines; by default every half line that is not all but decided."""
        view, model = self.state.view, self.state.model
        outlook, _ = await self._look(request, view, model)
        lines = curve_lines(outlook.forecast) if lines is None else lines
        points = outlook.curve(lines)
        player = outlook.players[0]
        return wire.Curve(
            player_id=player.player_id,
            player_name=player.name,
            prop_type=request.prop_type,
            map_range=(request.map_range.first, request.map_range.last),
            prop_values=list(lines),
            predictions=points.predictions,
            confidences=points.confidences,
            expected_stats=points.expected_stats,
            over_probabilities=points.over_probabilities,
            model_version=model.record.model_version,
            feature_version=view.source.feature_version,
            lake_snapshot_id=str(view.source.lake_snapshot_id),
            data_tier=outlook.data_tier,
            warnings=[*outlook.warnings, *self.state.warnings()],
        )

    async def _look(self, request: PropRequest, view: FeatureView, model: LoadedModel) -> tuple[Outlook, bool]:
        if self._threads is None:
            return self.cache.look(request, view, model.ensemble)
        return await self.cache.look_aside(request, view, model.ensemble, self._aside)

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _answer_all(self, requests: Sequence[Any], caller: Caller) -> list[Ready | Exception]:
        """The answer to each request, or what is wrong with it; nothing is kept yet."""
        occasion = _tried(self._occasion)
        parts = (requests[at : at + AT_ONCE] for at in range(0, len(requests), AT_ONCE))
        return [one for part in parts for one in self._answer_some(part, caller, occasion)]

    def _answer_some(
        self, requests: Sequence[Any], caller: Caller, occasion: _Occasion | Exception
    ) -> Iterator[Ready | Exception]:
        asked = [_tried(_question, raw) for raw in requests]
        if isinstance(occasion, Exception):
            return (one if isinstance(one, Exception) else occasion for one in asked)
        good = [one for one in asked if isinstance(one, _Asked)]
        outlooks = _outlooks([one.request for one in good], occasion)
        answers = (self._answer(*of_one, caller, occasion) for of_one in zip(good, outlooks, strict=True))
        return (one if isinstance(one, Exception) else next(answers) for one in asked)

    def _answer(
        self, asked: _Asked, outlook: Outlook | Exception, caller: Caller, occasion: _Occasion
    ) -> Ready | Exception:
        if isinstance(outlook, Exception):
            return outlook
        try:
            why = _explanation(outlook, occasion) if asked.explained else None
            return self._ready(asked.request, caller, outlook, occasion, why=why)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one, the others are answered
            return error

    def _occasion(self) -> _Occasion:
        state = self.state
        return _Occasion(time.perf_counter(), self._now(), state.view, state.model, state.warnings())

    def _ready(  # noqa: PLR0913 — who asked what, and what is known
        self,
        request: PropRequest,
        caller: Caller,
        outlook: Outlook,
        occasion: _Occasion,
        *,
        known: bool = False,
        why: wire.Explanation | None = None,
    ) -> Ready:
        answer, source = outlook.at_line(request.prop_value), occasion.view.source
        record = PredictionRecord(
            prediction_id=new_prediction_id(occasion.now),
            request=request,
            prediction=answer.prediction,
            confidence=answer.confidence,
            base_model_confidence=answer.base_model_confidence,
            push_probability=answer.push_probability,
            expected_stat=answer.expected_stat,
            confidence_interval=answer.confidence_interval,
            data_tier=answer.data_tier,
            model_version=occasion.model.record.model_version,
            feature_version=source.feature_version,
            lake_snapshot_id=source.lake_snapshot_id,
            processing_time_ms=round((time.perf_counter() - occasion.begun_s) * 1e3, 3),
            cache_hit=known,
            warnings=answer.warnings + occasion.warnings if occasion.warnings else answer.warnings,
            user_id=caller.user_id,
            client_ip=caller.address,
            user_agent=caller.user_agent,
            api_version=API_VERSION,
            request_source=SOURCE,
        )
        return Ready(encoded(record), orjson.dumps(_document(record, answer, why)))


def _question(raw: Any) -> _Asked:
    message = wire.PredictionRequest.model_validate(raw)
    return _Asked(message.to_domain(), message.explain)


def _outlooks(requests: Sequence[PropRequest], occasion: _Occasion) -> Sequence[Outlook | Exception]:
    view, ensemble = occasion.view, occasion.model.ensemble
    together = _tried(look_all, requests, view, ensemble)
    if isinstance(together, TransientError):  # nobody else would be answered either
        return [together] * len(requests)
    if isinstance(together, Exception):  # a bug that one request meets must not cost the others their answers
        return [_tried(look, request, view, ensemble) for request in requests]
    return together


def _tried(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one, the others are answered
        return error


def _explanation(outlook: Outlook, occasion: _Occasion) -> wire.Explanation:
    found = explain(outlook, occasion.view, occasion.model.ensemble)
    return wire.Explanation(
        usual_stat=found.usual_stat,
        factors=[
            wire.Factor(
                name=one.name,
                meaning=one.meaning,
                effect=one.effect,
                figure=one.figure.meaning if one.figure else None,
                value=one.figure.value if one.figure else None,
                usual=one.figure.usual if one.figure else None,
            )
            for one in found.factors
        ],
        recent_maps=[
            wire.PlayerMaps(
                player_id=player.player_id, player=player.name, maps=[wire.RecentMap(**one._asdict()) for one in maps]
            )
            for player, maps in zip(outlook.players, found.recent_maps, strict=True)
        ],
    )


def _document(record: PredictionRecord, answer: Answer, why: wire.Explanation | None) -> dict[str, Any]:
    """The answer's fields, in their order."""
    players, roles, team, opponent, tournament = answer.inferred
    return {
        "prediction_id": record.prediction_id,
        "prediction": record.prediction,
        "confidence": record.confidence,
        "base_model_confidence": record.base_model_confidence,
        "push_probability": record.push_probability,
        "expected_stat": record.expected_stat,
        "confidence_interval": record.confidence_interval,
        "data_tier": int(record.data_tier),
        "data_tier_meaning": record.data_tier.meaning,
        "inferred": {
            "players": players,
            "position_roles": roles,
            "team": team,
            "opponent": opponent,
            "tournament": tournament,
        },
        "model_version": record.model_version,
        "feature_version": record.feature_version,
        "lake_snapshot_id": str(record.lake_snapshot_id),
        "processing_time_ms": record.processing_time_ms,
        "cache_hit": record.cache_hit,
        "warnings": record.warnings,
        "explanation": None if why is None else why.model_dump(mode="json"),
    }


def _item(index: int, answered: Ready | Exception) -> dict[str, Any]:
    """The outcome of a batch's question."""
    if isinstance(answered, Ready):
        return {"index": index, "status": 200, "result": orjson.Fragment(answered.body), "problem": None}
    problem = problem_of(answered)
    return {"index": index, "status": problem.status, "result": None, "problem": problem.model_dump()}
