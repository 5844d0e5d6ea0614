"""Maintenance sums up before it drops, changes nothing when repeated, and may be run by many at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from stores import maintenance
from stores.domain.measurements import Point
from stores.domain.prediction_id import new_prediction_id
from stores.domain.prediction_metrics import PredictionMetric
from stores.domain.user_sessions import UserSession, new_session_token, session_id_of
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import TransientError
from stores.maintenance import maintain_database
from stores.postgres import partitions
from stores.postgres.partitions import METRICS_KEPT, ensure_partitions
from stores.postgres.pool import Deadlines, open_pool
from stores.postgres.prediction_metrics import ROLLUP_LOCK, PostgresPredictionMetrics
from stores.postgres.time_series import FOLD_LOCK, PostgresTimeSeries
from stores.postgres.user_sessions import PostgresUserSessions
from stores.postgres.users import PostgresUsers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stores.postgres.pool import Pool

pytestmark = pytest.mark.role("maintenance")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MONTH_LATER = NOON + METRICS_KEPT + 2 * DAY  # the raw metrics of NOON are too old
WEEK_LATER = NOON + 8 * DAY + 12 * HOUR  # the points of NOON are too old
PREDICTION_ID = new_prediction_id(NOON)
USER = UUID(int=7)
EXPIRED = 5


@pytest.fixture
async def other(database: str) -> AsyncIterator[Pool]:
    """Another process's connections: one."""
    pool = await open_pool(database, 1)
    yield pool
    await pool.close()


def metric(at: datetime, value: float, name: str = "latency_ms") -> PredictionMetric:
    """An observation of one prediction."""
    return PredictionMetric(time=at, prediction_id=PREDICTION_ID, user_id=USER, metric_name=name, metric_value=value)


async def _fill(pool: Pool) -> None:
    """Metrics of two hours, points of two minutes, and sessions of which one still lives a year later."""
    await ensure_partitions(pool, NOON)
    metrics = PostgresPredictionMetrics(pool)
    await metrics.store_many([metric(NOON, 1.0), metric(NOON + MINUTE, 4.0), metric(NOON + HOUR, 7.0)])
    series = PostgresTimeSeries(pool, lambda: NOON)
    await series.write([_point(NOON, 1.0), _point(NOON + MINUTE, 2.0)])
    await series.flush()
    await series.close()
    user = User(email="a@b", username="a", password_hash="h")  # noqa: S106
    await PostgresUsers(pool).create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
    sessions = PostgresUserSessions(pool)
    for index in range(EXPIRED + 1):
        await sessions.create(_session(user.user_id, 400 * DAY if index == EXPIRED else HOUR))


def _point(at: datetime, latency: float) -> Point:
    return Point("cache_metrics", {"cache_type": "redis", "operation": "get"}, {"latency": latency}, at)


def _session(user_id: UUID, lifetime: timedelta) -> UserSession:
    return UserSession(
        session_id=session_id_of(new_session_token()),
        user_id=user_id,
        created_at=NOON,
        last_activity_at=NOON,
        expires_at=NOON + lifetime,
    )


async def _rows(pool: Pool, statement: str) -> list[tuple[Any, ...]]:
    async with pool.transaction() as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


async def _state(pool: Pool) -> list[list[tuple[Any, ...]]]:
    """All that maintenance may change."""
    return [
        await _rows(pool, "SELECT bucket, metric_name, avg_value, sample_count FROM metrics_hourly ORDER BY 1, 2"),
        await _rows(pool, "SELECT time, metric_name, metric_value FROM prediction_metrics ORDER BY 1, 2"),
        await _rows(pool, "SELECT time, value FROM measurements_high ORDER BY 1"),
        await _rows(pool, "SELECT time, count, sum FROM measurements_medium ORDER BY 1"),
        await _rows(pool, "SELECT time, count, sum FROM measurements_low ORDER BY 1"),
        await _rows(pool, "SELECT session_id FROM user_sessions ORDER BY 1"),
        await _rows(pool, "SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1"),
    ]


async def test_what_is_dropped_was_summed_up_before(pool: Pool) -> None:
    """Raw metrics that nobody had rolled up for a month are in the hourly figures when their partition goes."""
    await _fill(pool)
    said = await maintain_database(pool, MONTH_LATER)
    hourly, raw, points, *_ = await _state(pool)
    assert hourly == [(NOON, "latency_ms", 2.5, 2), (NOON + HOUR, "latency_ms", 7.0, 1)]
    assert (raw, points) == ([], [])
    assert said[0] == "2 hours rolled up"
    assert said[1] == "time series folded up to 2026-04-15 12:00 UTC"
    assert said[4] == f"{EXPIRED} expired sessions removed"
    assert await _rows(pool, "SELECT count(*) FROM user_sessions") == [(1,)]


async def test_hourly_runs_fold_points_before_they_go(pool: Pool) -> None:
    """Points are minutes and hours after the first run, and still are when the points themselves are too old."""
    await _fill(pool)
    await maintain_database(pool, NOON + 2 * HOUR)
    assert (await _state(pool))[2] == [(NOON, 1.0), (NOON + MINUTE, 2.0)]
    await maintain_database(pool, WEEK_LATER)
    _, raw, points, minutes, hours, *_ = await _state(pool)
    assert points == []
    assert minutes == [(NOON, 1, 1.0), (NOON + MINUTE, 1, 2.0)]
    assert hours == [(NOON, 2, 3.0)]
    assert len(raw) == 3


@pytest.mark.parametrize(
    "now", [NOON + 2 * HOUR, WEEK_LATER, MONTH_LATER], ids=["at once", "a week later", "a month later"]
)
async def test_a_second_run_changes_nothing(pool: Pool, now: datetime) -> None:
    """Whatever the first one found, it says that nothing was left, and nothing is different."""
    await _fill(pool)
    await maintain_database(pool, now)
    before = await _state(pool)
    said = await maintain_database(pool, now)
    assert await _state(pool) == before
    assert [int(line.split()[0]) for line in (said[0], *said[2:])] == [0, 0, 0, 0]


async def test_late_metrics_of_dropped_hours_replace_nothing(pool: Pool) -> None:
    """An hour's figures stay when one straggler is all that is left of its rows; a figure that was missing is made."""
    await _fill(pool)
    await maintain_database(pool, MONTH_LATER)
    stragglers = [metric(NOON + 2 * MINUTE, 100.0), metric(NOON, 8.0, "size")]
    await PostgresPredictionMetrics(pool).store_many(stragglers)
    assert (await maintain_database(pool, MONTH_LATER))[0] == "1 hours rolled up"
    hourly, raw, *_ = await _state(pool)
    assert hourly == [
        (NOON, "latency_ms", 2.5, 2),
        (NOON, "size", 8.0, 1),
        (NOON + HOUR, "latency_ms", 7.0, 1),
    ]
    assert raw == []


async def test_many_at_once_do_the_work_once(pool: Pool, other: Pool) -> None:
    """Four runs in two processes, one of which has a single connection: none fails, and together they did it once."""
    await _fill(pool)
    told = await asyncio.gather(*(maintain_database(one, MONTH_LATER) for one in (pool, other, pool, other)))
    totals = [sum(int(said[step].split()[0]) for said in told) for step in (0, 4)]
    assert totals == [2, EXPIRED]
    hourly, raw, *_ = await _state(pool)
    assert hourly == [(NOON, "latency_ms", 2.5, 2), (NOON + HOUR, "latency_ms", 7.0, 1)]
    assert raw == []


@pytest.mark.parametrize("lock", [ROLLUP_LOCK, FOLD_LOCK], ids=["roll-up", "folding"])
async def test_nothing_is_dropped_when_a_step_before_it_fails(pool: Pool, database: str, lock: int) -> None:
    """While a roll-up or a folding hangs, a run ends in an error and leaves every row; the next one makes it good."""
    await _fill(pool)
    before = (await _state(pool))[1:3]
    hurried = await open_pool(database, 1, Deadlines(statement_s=0.5))
    try:
        async with pool.transaction() as holder:
            await holder.execute("SELECT pg_advisory_xact_lock($1)", lock)
            with pytest.raises(TransientError):
                await maintain_database(hurried, MONTH_LATER)
            assert (await _state(pool))[1:3] == before
    finally:
        await hurried.close()
    assert (await maintain_database(pool, MONTH_LATER))[4] == f"{EXPIRED} expired sessions removed"
    hourly, raw, *_ = await _state(pool)
    assert (len(hourly), raw) == (2, [])


async def test_a_reader_in_the_way_of_a_drop_costs_no_figure(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long reader of the raw metrics ends the run in an error; all is summed up, and the drop comes with the next."""
    monkeypatch.setattr(partitions, "RETRY_WITHIN_S", 0.2)
    await _fill(pool)
    async with pool.transaction() as reader:
        assert await reader.fetchval("SELECT count(*) FROM prediction_metrics") == 3
        with pytest.raises(TransientError, match="lock timeout"):
            await maintain_database(pool, MONTH_LATER)
        assert await reader.fetchval("SELECT count(*) FROM metrics_hourly") == 2
    await maintain_database(pool, MONTH_LATER)
    assert (await _state(pool))[1] == []


async def test_sessions_go_in_batches(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More expired sessions than one transaction takes are all removed in one run."""
    monkeypatch.setattr(maintenance, "PURGED_AT_ONCE", 2)
    await _fill(pool)
    assert (await maintain_database(pool, NOON + DAY))[4] == f"{EXPIRED} expired sessions removed"
    assert await _rows(pool, "SELECT count(*) FROM user_sessions") == [(1,)]
