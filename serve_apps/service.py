"""Single, batch and curve: ask the pure core, store what was said, then say it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from actors.answers import Outlook, curve_lines, look
from serve_apps import wire
from serve_apps.problems import problem_of
from stores.domain.prediction_id import new_prediction_id
from stores.domain.predictions import PredictionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from actors.answers import Answer
    from serve_apps.state import ServingState
    from stores.domain.props import PropRequest
    from stores.postgres.predictions import PredictionStore

API_VERSION = "v1"
SOURCE = "api"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the connection tells."""

    address: IPv4Address | IPv6Address | None = None
    user_agent: str | None = None


class PredictionService:
    """Guarantee: an answer that a client received is durable in prediction_requests; a refused one stored nothing."""

    def __init__(self, state: ServingState, store: PredictionStore, now: Callable[[], datetime]) -> None:
        self.state = state
        self._store = store
        self._now = now

    async def single(self, request: PropRequest, caller: Caller) -> wire.Prediction:
        """Answer one question. Raises a RiftlineError that names what is wrong."""
        record, answer = self._answer(request, caller)
        await self._store.record(record)
        return _prediction(record, answer)

    async def batch(self, requests: Sequence[Any], caller: Caller) -> wire.BatchResponse:
        """Answer many questions, each failing alone."""
        items: list[wire.BatchItem | None] = [None] * len(requests)
        answered: list[tuple[int, PredictionRecord, Answer]] = []
        for index, raw in enumerate(requests):
            try:
                record, answer = self._answer(wire.PredictionRequest.model_validate(raw).to_domain(), caller)
                answered.append((index, record, answer))
            except Exception as error:  # noqa: BLE001  # whatever is wrong with one, the others are answered
                items[index] = _failed(index, error)
        stored = await self._store.record_many([record for _, record, _ in answered])
        for (index, record, answer), lost in zip(answered, stored, strict=True):
            items[index] = (
                _failed(index, lost)
                if lost
                else wire.BatchItem(index=index, status=200, result=_prediction(record, answer))
            )
        done = [item for item in items if item is not None]
        succeeded = sum(item.status == 200 for item in done)
        return wire.BatchResponse(items=done, succeeded=succeeded, failed=len(done) - succeeded)

    def curve(self, request: PropRequest, lines: Sequence[float] | None) -> wire.Curve:
        """One distribution read at many lines; by default every half line that is not all but decided."""
        outlook = self._look(request)
        lines = curve_lines(outlook.forecast) if lines is None else lines
        answers = [outlook.at_line(line) for line in lines]
        view, model = self.state.view, self.state.model
        player = view.players.find(request.player_names[0])
        return wire.Curve(
            player_id=player.player_id,
            player_name=player.name,
            prop_type=request.prop_type,
            map_range=(request.map_range.first, request.map_range.last),
            prop_values=list(lines),
            predictions=[answer.prediction for answer in answers],
            confidences=[answer.confidence for answer in answers],
            expected_stats=[answer.expected_stat for answer in answers],
            over_probabilities=[outlook.over_percent(line) for line in lines],
            model_version=model.record.model_version,
            feature_version=view.source.feature_version,
            lake_snapshot_id=str(view.source.lake_snapshot_id),
            data_tier=outlook.data_tier,
            warnings=[*outlook.warnings, *self.state.warnings()],
        )

    def _look(self, request: PropRequest) -> Outlook:
        return look(request, self.state.view, self.state.model.ensemble)

    def _answer(self, request: PropRequest, caller: Caller) -> tuple[PredictionRecord, Answer]:
        begun = time.perf_counter()
        answer = self._look(request).at_line(request.prop_value)
        source, model = self.state.view.source, self.state.model.record
        record = PredictionRecord(
            prediction_id=new_prediction_id(self._now()),
            request=request,
            prediction=answer.prediction,
            confidence=answer.confidence,
            base_model_confidence=answer.base_model_confidence,
            push_probability=answer.push_probability,
            expected_stat=answer.expected_stat,
            confidence_interval=answer.confidence_interval,
            data_tier=answer.data_tier,
            model_version=model.model_version,
            feature_version=source.feature_version,
            lake_snapshot_id=source.lake_snapshot_id,
            processing_time_ms=round((time.perf_counter() - begun) * 1e3, 3),
            warnings=(*answer.warnings, *self.state.warnings()),
            client_ip=caller.address,
            user_agent=caller.user_agent,
            api_version=API_VERSION,
            request_source=SOURCE,
        )
        return record, answer


def _prediction(record: PredictionRecord, answer: Answer) -> wire.Prediction:
    return wire.Prediction(
        prediction_id=record.prediction_id,
        prediction=record.prediction,
        confidence=record.confidence,
        base_model_confidence=record.base_model_confidence,
        push_probability=record.push_probability,
        expected_stat=record.expected_stat,
        confidence_interval=record.confidence_interval,
        data_tier=record.data_tier,
        data_tier_meaning=record.data_tier.meaning,
        inferred=wire.Inferred(**asdict(answer.inferred)),
        model_version=record.model_version,
        feature_version=record.feature_version,
        lake_snapshot_id=str(record.lake_snapshot_id),
        processing_time_ms=record.processing_time_ms,
        cache_hit=record.cache_hit,
        warnings=list(record.warnings),
    )


def _failed(index: int, error: Exception) -> wire.BatchItem:
    problem = problem_of(error)
    return wire.BatchItem(index=index, status=problem.status, problem=problem)
