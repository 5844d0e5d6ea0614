"""Answers and curves in Redis: hashes and JSON with probabilistic early refresh."""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from stores.clock import utc_now
from stores.domain.cached_results import CachedAnswer, CachedCurve, Hit
from stores.domain.checks import check_aware, check_number
from stores.domain.props import DataTier, Side
from stores.errors import ConflictError, InvalidError
from stores.redis_store import keys
from stores.redis_store.connection import readable
from stores.redis_store.scripts import REPLACE_HASH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stores.redis_store.connection import RedisConnection

T = TypeVar("T")

BETA = 1.0  # of XFetch (Vattani, Chierichetti, Lowenstein 2015): the optimum for exponential gaps
MAX_COST_S = 3600.0
FIELDS = (
    "result",
    "confidence",
    "base_model_confidence",
    "push_probability",
    "expected_stat",
    "interval_low",
    "interval_high",
    "data_tier",
    "model_version",
    "feature_version",
    "lake_snapshot_id",
    "warnings",
    "cached_at",
    "cost_s",
)


class RedisResultCache:
    """See `stores.roles.result_cache.ResultCache`. ``now`` and ``chance`` (uniform in [0, 1)) are passed in."""

    def __init__(
        self,
        connection: RedisConnection,
        now: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connection = connection
        self._now = now
        self._chance = chance
        self.garbled = 0

    async def get(self, question: str) -> Hit[CachedAnswer] | None:
        """See the role."""
        key = keys.prediction(question)
        try:
            return self._answer(await self._connection.run(lambda redis: redis.hmget(key, FIELDS)))
        except ConflictError:  # a key of another type
            self.garbled += 1
            return None

    async def get_many(self, questions: Sequence[str]) -> list[Hit[CachedAnswer] | None]:
        """See the role."""
        names = [keys.prediction(question) for question in questions]

        async def read(redis: Any) -> list[Any]:
            pipeline = redis.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(name, FIELDS)
            return readable(await pipeline.execute(raise_on_error=False))

        return [self._answer(row) for row in (await self._connection.run(read) if names else [])]

    async def put(self, question: str, answer: CachedAnswer, cost_s: float) -> None:
        """See the role."""
        await self.put_many({question: answer}, cost_s)

    async def put_many(self, answers: Mapping[str, CachedAnswer], cost_s: float) -> None:
        """See the role."""
        check_number(cost_s, "cost_s", 0, MAX_COST_S)
        kept = {"cached_at": self._now().isoformat(), "cost_s": cost_s}
        calls = [
            ([keys.prediction(question)], [keys.PREDICTION_TTL_S, *_flat({**_fields_of(answer), **kept})])
            for question, answer in answers.items()
        ]
        if calls:
            await self._connection.run(lambda redis: REPLACE_HASH.call_many(redis, calls))

    async def get_curve(self, question: str) -> Hit[CachedCurve] | None:
        """See the role."""
        key = keys.curve(question)
        try:
            text = await self._connection.run(lambda redis: redis.get(key))
            if text is None:
                return None
            return self._hit(*_curve_of(orjson.loads(text)))
        except (ConflictError, *_UNREADABLE):
            self.garbled += 1
            return None

    async def put_curve(self, question: str, curve: CachedCurve, cost_s: float) -> None:
        """See the role."""
        check_number(cost_s, "cost_s", 0, MAX_COST_S)
        key = keys.curve(question)
        text = orjson.dumps({**asdict(curve), "cached_at": self._now().isoformat(), "cost_s": cost_s})
        await self._connection.run(lambda redis: redis.set(key, text, ex=keys.PREDICTION_TTL_S))

    async def drop(self, questions: Sequence[str]) -> None:
        """See the role."""
        names = [make(question) for question in questions for make in (keys.prediction, keys.curve)]
        await self._connection.unlink(names)

    def _answer(self, values: list[bytes | None] | None) -> Hit[CachedAnswer] | None:
        if values is not None and not any(values):
            return None
        try:
            return self._hit(*_answer_of(values))
        except _UNREADABLE:
            self.garbled += 1
            return None

    def _hit(self, value: T, cached_at: datetime, cost_s: float) -> Hit[T]:
        """XFetch: an entry is taken for expired early by cost * beta * -ln(chance)."""
        expiry = cached_at + timedelta(seconds=keys.PREDICTION_TTL_S)
        early_s = -cost_s * BETA * math.log(1.0 - self._chance())  # chance is below 1
        return Hit(value, cached_at, self._now() + timedelta(seconds=early_s) >= expiry)


_UNREADABLE = (InvalidError, KeyError, TypeError, ValueError, OverflowError)


def _fields_of(answer: CachedAnswer) -> dict[str, Any]:
    return {
        "result": answer.prediction.value,
        "confidence": answer.confidence,
        "base_model_confidence": answer.base_model_confidence,
        "push_probability": answer.push_probability,
        "expected_stat": answer.expected_stat,
        "interval_low": answer.confidence_interval[0],
        "interval_high": answer.confidence_interval[1],
        "data_tier": int(answer.data_tier),
        "model_version": answer.model_version,
        "feature_version": answer.feature_version,
        "lake_snapshot_id": answer.lake_snapshot_id,
        "warnings": orjson.dumps(answer.warnings),
    }


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for field in FIELDS for part in (field, fields[field])]


def _answer_of(values: list[bytes | None] | None) -> tuple[CachedAnswer, datetime, float]:
    """Raises one of _UNREADABLE."""
    texts = dict(zip(FIELDS, [value.decode() for value in values or [] if value is not None], strict=True))
    answer = CachedAnswer(
        prediction=Side(texts["result"]),
        confidence=float(texts["confidence"]),
        base_model_confidence=float(texts["base_model_confidence"]),
        push_probability=float(texts["push_probability"]),
        expected_stat=float(texts["expected_stat"]),
        confidence_interval=(float(texts["interval_low"]), float(texts["interval_high"])),
        data_tier=DataTier(int(texts["data_tier"])),
        model_version=texts["model_version"],
        feature_version=texts["feature_version"],
        lake_snapshot_id=int(texts["lake_snapshot_id"]),
        warnings=tuple(orjson.loads(texts["warnings"])),
    )
    return answer, *_kept(texts["cached_at"], float(texts["cost_s"]))


def _curve_of(values: dict[str, Any]) -> tuple[CachedCurve, datetime, float]:
    """Raises one of _UNREADABLE."""
    curve = CachedCurve(
        prop_values=tuple(values["prop_values"]),
        predictions=tuple(Side(side) for side in values["predictions"]),
        confidences=tuple(values["confidences"]),
        expected_stats=tuple(values["expected_stats"]),
        model_version=values["model_version"],
    )
    return curve, *_kept(values["cached_at"], values["cost_s"])


def _kept(cached_at: str, cost_s: float) -> tuple[datetime, float]:
    check_number(cost_s, "cost_s", 0, MAX_COST_S)
    moment = datetime.fromisoformat(cached_at)
    check_aware(moment, "cached_at")
    return moment.astimezone(UTC), cost_s
