"""Answers and curves: kept to the bit, refreshed early by few, never a reason to fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.domain.cached_results import CachedAnswer, CachedCurve
from stores.domain.props import DataTier, Side
from stores.errors import InvalidError
from stores.redis_store import keys
from stores.redis_store.result_cache import RedisResultCache
from tests.contract.redis.lifetimes import expire, left_s

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("result cache")

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
QUESTION = "sha256_abc123"

ANSWER = CachedAnswer(
    prediction=Side.OVER,
    confidence=57.300000000000004,
    base_model_confidence=100 / 3,
    push_probability=5e-324,
    expected_stat=0.1 + 0.2,
    confidence_interval=(1 / 7, 22 / 7),
    data_tier=DataTier.GOOD,
    model_version="2026.03.14",
    feature_version="f1",
    lake_snapshot_id=2**63 - 1,
    warnings=("opponent was inferred", 'q"{}\r\n*'),
)
CURVE = CachedCurve(
    prop_values=(2.5, 3.0, 3.5),
    predictions=(Side.OVER, Side.OVER, Side.UNDER),
    confidences=(85.2, 100 / 3, 0.1 + 0.2),
    expected_stats=(4.2, 4.2, 4.2),
    model_version="2026.03.14",
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The test's clock."""
    return Clock()


@pytest.fixture
def cache(connection: RedisConnection, clock: Clock) -> RedisResultCache:
    """The adapter over an empty server; by chance nothing is refreshed early."""
    return RedisResultCache(connection, now=clock, chance=lambda: 0.0)


percents = st.floats(0, 100)
stats = st.floats(0, 1e6)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
answers = st.builds(
    CachedAnswer,
    prediction=st.sampled_from(Side),
    confidence=percents,
    base_model_confidence=percents,
    push_probability=percents,
    expected_stat=stats,
    confidence_interval=st.tuples(stats, stats),
    data_tier=st.sampled_from(DataTier),
    model_version=texts.filter(str.strip),
    feature_version=texts.filter(str.strip),
    lake_snapshot_id=st.integers(-(2**63), 2**63 - 1),
    warnings=st.lists(texts.filter(str.strip), max_size=4).map(tuple),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=answers)
async def test_what_is_put_is_got(cache: RedisResultCache, answer: CachedAnswer) -> None:
    """An answer comes back equal to the bit, whatever its texts and numbers are."""
    await cache.put(QUESTION, answer, cost_s=0.005)
    hit = await cache.get(QUESTION)
    assert hit is not None
    assert (hit.value, hit.cached_at, hit.refresh) == (answer, NOON, False)
    assert cache.garbled == 0


async def test_curves_are_kept_too(cache: RedisResultCache) -> None:
    """A curve comes back equal, and is stored as JSON that the seeds' readers understand."""
    assert await cache.get_curve(QUESTION) is None
    await cache.put_curve(QUESTION, CURVE, cost_s=0.01)
    hit = await cache.get_curve(QUESTION)
    assert hit is not None
    assert (hit.value, hit.cached_at, hit.refresh) == (CURVE, NOON, False)


async def test_a_batch_is_answered_in_order(cache: RedisResultCache) -> None:
    """Of 200 questions those that are known are answered, each at its place."""
    kept = {f"q{index}": _answer(index) for index in range(0, 200, 2)}
    await cache.put_many(kept, cost_s=0.001)
    hits = await cache.get_many([f"q{index}" for index in range(200)])
    assert [hit and hit.value for hit in hits] == [kept.get(f"q{index}") for index in range(200)]
    assert await cache.get_many([]) == []
    await cache.put_many({}, cost_s=0.001)


async def test_entries_live_for_fifteen_minutes(cache: RedisResultCache, connection: RedisConnection) -> None:
    """Answer and curve expire; written again they begin anew."""
    for _ in range(2):
        await cache.put(QUESTION, ANSWER, cost_s=0.001)
        await cache.put_curve(QUESTION, CURVE, cost_s=0.001)
        for key in (keys.prediction(QUESTION), keys.curve(QUESTION)):
            assert 890 < await left_s(connection, key) <= 900
            await expire(connection, key, 5)


async def test_what_was_dropped_is_gone(cache: RedisResultCache) -> None:
    """Dropping forgets answers and curves of these questions alone."""
    await cache.put_many({"a": ANSWER, "b": ANSWER, "c": ANSWER}, cost_s=0.001)
    await cache.put_curve("a", CURVE, cost_s=0.001)
    await cache.drop(["a", "b", "unknown"])
    await cache.drop([])
    assert [hit is not None for hit in await cache.get_many(["a", "b", "c"])] == [False, False, True]
    assert await cache.get_curve("a") is None


@pytest.mark.parametrize(
    ("age_s", "cost_s", "chance", "refresh"),
    [
        (0, 1, 0.999999, False),
        (899, 1, 0.5, False),  # -ln(0.5) = 0.69 s early
        (899, 1, 0.7, True),  # -ln(0.3) = 1.2 s early
        (890, 20, 0.5, True),  # the dearer, the earlier
        (890, 0.001, 0.999999, False),
        (900, 0, 0.0, True),
    ],
)
async def test_refresh_comes_early_by_cost_and_chance(  # noqa: PLR0917  # a row of the table
    connection: RedisConnection, clock: Clock, age_s: float, cost_s: float, chance: float, refresh: bool
) -> None:
    """An entry is refreshed early by its cost times -ln of the chance (XFetch), answers and curves alike."""
    cache = RedisResultCache(connection, now=clock, chance=lambda: chance)
    await cache.put(QUESTION, ANSWER, cost_s=cost_s)
    await cache.put_curve(QUESTION, CURVE, cost_s=cost_s)
    clock.now += timedelta(seconds=age_s)
    answer, curve = await asyncio.gather(cache.get(QUESTION), cache.get_curve(QUESTION))
    assert answer is not None
    assert curve is not None
    assert (answer.refresh, curve.refresh) == (refresh, refresh)


async def test_few_of_many_readers_refresh(connection: RedisConnection, clock: Clock) -> None:
    """Three costs before the end about 1 reader in 20 refreshes: no herd, and no cliff."""
    cache = RedisResultCache(connection, now=clock)
    await cache.put(QUESTION, ANSWER, cost_s=1.0)
    clock.now += timedelta(seconds=897)
    hits = await cache.get_many([QUESTION] * 1000)
    assert 15 <= sum(hit is not None and hit.refresh for hit in hits) <= 110  # 50 expected; beyond is 1 in 10^7


@pytest.mark.parametrize(
    "damage",
    [
        {"confidence": "nan"},
        {"confidence": "101"},
        {"confidence": "much"},
        {"result": "over"},
        {"data_tier": "9"},
        {"lake_snapshot_id": "1.5"},
        {"warnings": "["},
        {"warnings": "[1]"},
        {"cached_at": "2026-03-14T12:00:00"},
        {"cached_at": "yesterday"},
        {"cost_s": "-1"},
        {"cost_s": "inf"},
        {"model_version": b"\xff\xfe"},
        {"model_version": ""},
    ],
)
async def test_a_garbled_answer_is_a_miss(
    cache: RedisResultCache, connection: RedisConnection, damage: dict[str, Any]
) -> None:
    """A field that cannot be read makes a counted miss, alone and in a batch, and the next put heals it."""
    await cache.put_many({QUESTION: ANSWER, "other": ANSWER}, cost_s=0.001)
    await connection.run(lambda redis: redis.hset(keys.prediction(QUESTION), mapping=damage))
    assert await cache.get(QUESTION) is None
    assert [hit is not None for hit in await cache.get_many([QUESTION, "other"])] == [False, True]
    assert cache.garbled == 2
    await cache.put(QUESTION, ANSWER, cost_s=0.001)
    assert await cache.get(QUESTION) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"prop_values": 1}', "\\xff", "9" * 100])
async def test_a_garbled_curve_is_a_miss(cache: RedisResultCache, connection: RedisConnection, text: str) -> None:
    """A text that is no curve makes a counted miss."""
    await connection.run(lambda redis: redis.set(keys.curve(QUESTION), text))
    assert await cache.get_curve(QUESTION) is None
    assert cache.garbled == 1


async def test_a_missing_field_is_a_miss(cache: RedisResultCache, connection: RedisConnection) -> None:
    """Half an answer is none."""
    await cache.put(QUESTION, ANSWER, cost_s=0.001)
    await connection.run(lambda redis: redis.hdel(keys.prediction(QUESTION), "confidence"))
    assert await cache.get(QUESTION) is None
    assert cache.garbled == 1


async def test_a_key_of_another_type_is_a_miss(cache: RedisResultCache, connection: RedisConnection) -> None:
    """A list in the place of an answer or a curve is a counted miss, and is replaced by the next put."""
    await connection.run(lambda redis: redis.rpush(keys.prediction(QUESTION), "x"))
    await connection.run(lambda redis: redis.rpush(keys.curve(QUESTION), "x"))
    assert await cache.get(QUESTION) is None
    assert await cache.get_many([QUESTION, "unknown"]) == [None, None]
    assert await cache.get_curve(QUESTION) is None
    assert cache.garbled == 3
    await cache.put(QUESTION, ANSWER, cost_s=0.001)
    await cache.put_curve(QUESTION, CURVE, cost_s=0.001)
    assert await cache.get(QUESTION) is not None
    assert await cache.get_curve(QUESTION) is not None


async def test_no_question_reaches_another_ones_answer(cache: RedisResultCache, hostile_texts: list[str]) -> None:
    """Questions that try to leave their key are answered each by its own answer."""
    kept = {text: _answer(index) for index, text in enumerate(hostile_texts)}
    await cache.put_many(kept, cost_s=0.001)
    hits = await cache.get_many(hostile_texts)
    assert [hit and hit.value for hit in hits] == list(kept.values())


@pytest.mark.parametrize("question", ["", "\0", "\ud800", "x" * 300])
async def test_questions_that_no_server_should_see_are_refused(cache: RedisResultCache, question: str) -> None:
    """A blank, over-long or broken question is refused by name, before it is sent."""
    with pytest.raises(InvalidError, match="question"):
        await cache.get(question)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confidence": float("nan")}, "confidence"),
        ({"push_probability": -1}, "push_probability"),
        ({"expected_stat": float("inf")}, "expected_stat"),
        ({"confidence_interval": (0, float("nan"))}, "confidence_interval.1"),
        ({"model_version": "\0"}, "model_version"),
        ({"warnings": ("\ud800",)}, "warnings.0"),
        ({"warnings": ("x" * 2000,)}, "warnings.0"),
        ({"warnings": ("x",) * 51}, "warnings"),
    ],
)
def test_wrong_answers_are_refused(changes: dict[str, Any], field: str) -> None:
    """What could not be read back is not even made; the error names the field."""
    with pytest.raises(InvalidError) as raised:
        _changed(changes)
    assert raised.value.field == field


def _answer(index: int) -> CachedAnswer:
    return _changed({"expected_stat": float(index)})


def _changed(changes: dict[str, Any]) -> CachedAnswer:
    fields = {name: getattr(ANSWER, name) for name in ANSWER.__slots__}
    return CachedAnswer(**{**fields, **changes})
