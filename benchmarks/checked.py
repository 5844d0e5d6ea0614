"""Whether sampled answers are right: computed again offline, to the bit, and found again in the database."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from actors.answers import look
from benchmarks.load import Sample
from benchmarks.peer import Peer
from benchmarks.released import Released, database_url, read_released
from serve_apps.wire import PredictionRequest
from stores.errors import NotFoundError
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.answers import Answer
    from stores.domain.predictions import PredictionRecord
    from stores.settings import Settings

STORED_WITHIN_S = 30.0  # answers lie in a journal at first
SAME = (
    "prediction",
    "confidence",
    "base_model_confidence",
    "push_probability",
    "expected_stat",
    "confidence_interval",
    "data_tier",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many answers were checked; each fault is a sentence."""

    checked: int
    faults: tuple[str, ...]


def check_riftline(settings: Settings, samples: Sequence[Sample]) -> Verdict:
    """Each answer equals what its snapshot and model give offline, and lies in the database as it was given."""

    @cache
    def released(version: str, snapshot_id: int) -> Released:
        return read_released(settings, version, snapshot_id)

    faults = []
    responses = [orjson.loads(sample.response) for sample in samples]
    stored = asyncio.run(_stored(settings, [UUID(said["prediction_id"]) for said in responses]))
    for sample, said, record in zip(samples, responses, stored, strict=True):
        source = released(said["model_version"], int(said["lake_snapshot_id"]))
        request = PredictionRequest.model_validate_json(sample.request).to_domain()
        answer = look(request, source.view, source.ensemble).at_line(request.prop_value)
        if wrong := _differences(said, answer):
            faults.append(f"{sample.request}: not what is computed offline: {wrong}")
        if record is None:
            faults.append(f"{sample.request}: the answer was given, and is not in the database")
        elif record.request != request or _differences(said, record):
            faults.append(f"{sample.request}: the database holds another answer")
    return Verdict(len(samples), tuple(faults))


def check_batches(settings: Settings, samples: Sequence[Sample], items: int) -> Verdict:
    """Every question of a batch is answered, and so many of its answers are right, as `check_riftline` judges."""
    faults, single = [], []
    for sample in samples:
        asked, said = orjson.loads(sample.request)["requests"], orjson.loads(sample.response)["items"]
        answered = [one["result"] for one in said if one["status"] == 200]
        if len(answered) < len(asked):
            faults.append(f"{len(asked) - len(answered)} of {len(asked)} questions of a batch were not answered")
            continue
        pairs = list(zip(asked, answered, strict=True))[:: -(-len(asked) // items)]
        single += [Sample(orjson.dumps(one).decode(), orjson.dumps(of).decode()) for one, of in pairs]
    verdict = check_riftline(settings, single)
    return Verdict(verdict.checked, (*faults, *verdict.faults))


def check_curves(settings: Settings, samples: Sequence[Sample], questions: Mapping[str, bytes]) -> Verdict:
    """Each point equals what is computed offline; ``questions`` holds the question by what was asked for."""
    released = read_released(settings)
    faults = []
    for sample in samples:
        said = orjson.loads(sample.response)
        request = PredictionRequest.model_validate_json(questions[sample.request]).to_domain()
        outlook = look(request, released.view, released.ensemble)
        answers = [outlook.at_line(line) for line in said["prop_values"]]
        if [(one.prediction, one.confidence) for one in answers] != list(
            zip(said["predictions"], said["confidences"], strict=True)
        ):
            faults.append(f"{sample.request}: not what is computed offline")
    return Verdict(len(samples), tuple(faults))


def check_peer(settings: Settings, samples: Sequence[Sample]) -> Verdict:
    """Each answer equals the one of the peer's own function, called here."""
    peer = Peer(read_released(settings))
    faults = tuple(
        f"{sample.request}: not what the peer computes here"
        for sample in samples
        if peer.answer(PredictionRequest.model_validate_json(sample.request)).model_dump(mode="json")
        != orjson.loads(sample.response)
    )
    return Verdict(len(samples), faults)


def _differences(said: dict[str, Any], other: Answer | PredictionRecord) -> dict[str, tuple[object, object]]:
    pairs = {name: (said[name], getattr(other, name)) for name in SAME}
    pairs["confidence_interval"] = (tuple(said["confidence_interval"]), other.confidence_interval)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


async def _stored(settings: Settings, ids: Sequence[UUID]) -> list[PredictionRecord | None]:
    """The records; those that never come are None."""
    pool = await open_pool(database_url(settings), 1)
    store = PostgresPredictions(pool)
    deadline = time.monotonic() + STORED_WITHIN_S
    try:
        return [await _record(store, prediction_id, deadline) for prediction_id in ids]
    finally:
        await pool.close()


async def _record(store: PostgresPredictions, prediction_id: UUID, deadline: float) -> PredictionRecord | None:
    while True:
        try:
            return await store.get(prediction_id)
        except NotFoundError:
            if time.monotonic() > deadline:
                return None
        await asyncio.sleep(0.2)
