"""The schedule of the watch over a real PostgreSQL: what is due, what is remembered, and one training at a time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from stores.domain.models import MODEL_NAME, ModelRecord
from stores.errors import ConflictError, InvalidError, NotFoundError, TransientError
from stores.features.schema import FEATURE_VERSION
from stores.features.tables import ALL_TABLES, FEATURES, PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.exclusive import RETRAIN_LOCK, Exclusive
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.settings import Settings, WatchSettings
from training.retrain import retrain, retrain_on_newer
from training.watch_schedule import FIRST_PAUSE, Verdict, WatchSchedule, WatchTrail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from stores.postgres.pool import Pool

DAY = timedelta(days=1)
PLAN = WatchSettings()
HOLDER = """
import asyncio, sys
from stores.postgres.exclusive import RETRAIN_LOCK, Exclusive
from stores.postgres.pool import open_pool

async def hold():
    lock = Exclusive(await open_pool(sys.argv[1], 1), RETRAIN_LOCK, "another training")
    await lock.take()
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Passes:
    """The passes that were run; each ends as the next of ``ends`` says, the last one for ever."""

    def __init__(self, *ends: str | Exception) -> None:
        self.ends = list(ends)
        self.run = 0

    def __call__(self) -> Verdict:
        end = self.ends[min(self.run, len(self.ends) - 1)]
        self.run += 1
        if isinstance(end, Exception):
            raise end
        return Verdict("1", end)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Connections to a fresh database."""
    pool = await open_pool(database, 2)
    yield pool
    await pool.close()


@pytest.fixture
async def deployed_at(pool: Pool) -> datetime:
    """When the champion came, on whatever data."""
    registry = PostgresModelRegistry(pool)
    await registry.register(version("1", 11))
    promoted = await registry.promote(MODEL_NAME, "1", force=True)
    assert promoted.deployed_at is not None
    return promoted.deployed_at


def version(model_version: str, lake_snapshot_id: int) -> ModelRecord:
    """A version that was trained on a snapshot; it has no files."""
    return ModelRecord(
        model_name=MODEL_NAME,
        model_version=model_version,
        framework="xgboost",
        algorithm="trees",
        hyperparameters={},
        feature_schema={"features": []},
        feature_version=FEATURE_VERSION,
        training_metrics={},
        model_artifact_path="models/1",
        model_size_bytes=1,
        checksum="ab" * 32,
        lake_snapshot_id=lake_snapshot_id,
        trained_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def schedule(pool: Pool, run: Callable[[], Verdict], clock: Clock) -> WatchSchedule:
    """A schedule that was just started: it knows what PostgreSQL knows."""
    return WatchSchedule(PLAN, PostgresModelRegistry(pool), WatchTrail(PostgresAuditLog(pool)), run, clock)


async def test_a_pass_runs_once_a_day_whoever_asks(pool: Pool, deployed_at: datetime) -> None:
    """A schedule that was started anew finds the pass of the one before."""
    clock, passes = Clock(deployed_at + DAY - timedelta(seconds=1)), Passes("no need to train")
    assert await schedule(pool, passes, clock).step() == deployed_at + DAY
    assert passes.run == 0
    clock.now = (deployed_at + DAY).replace(microsecond=0) + timedelta(seconds=1)
    assert await schedule(pool, passes, clock).step() == clock.now + DAY
    assert await schedule(pool, passes, clock).step() == clock.now + DAY
    assert passes.run == 1
    (done,) = await WatchTrail(PostgresAuditLog(pool)).last()
    assert (done.ended_at, done.success, done.verdict, done.model_version) == (clock.now, True, "no need to train", "1")


async def test_a_pass_that_fails_is_logged_recorded_and_tried_again_later(
    pool: Pool, deployed_at: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses grow from failure to failure though each is met by another schedule; a success ends them."""
    begin = deployed_at.replace(microsecond=0) + 2 * DAY
    clock, passes = Clock(begin), Passes(TransientError("the lake\nis away \0"), ValueError("\ud800"), "quiet")
    second = begin + FIRST_PAUSE
    assert await schedule(pool, passes, clock).step() == second
    clock.now = second - timedelta(seconds=1)
    assert await schedule(pool, passes, clock).step() == second
    clock.now = second
    assert await schedule(pool, passes, clock).step() == second + 2 * FIRST_PAUSE
    clock.now = second + 2 * FIRST_PAUSE
    assert await schedule(pool, passes, clock).step() == clock.now + DAY
    assert passes.run == 3
    told = await WatchTrail(PostgresAuditLog(pool)).last()
    assert [(one.success, one.verdict) for one in told] == [
        (True, "quiet"),
        (False, "ValueError: ?"),
        (False, "TransientError: the lake"),
    ]
    assert [record.levelname for record in caplog.records if "watch" in record.message] == ["ERROR", "ERROR"]


async def test_without_a_champion_the_pass_says_so(pool: Pool) -> None:
    """It is due at once, fails, and waits."""
    clock = Clock(datetime(2026, 3, 14, 12, tzinfo=UTC))
    run = Passes(NotFoundError("no version is in production; run `riftline train` first"))
    assert await schedule(pool, run, clock).step() == clock.now + FIRST_PAUSE
    assert "riftline train" in (await WatchTrail(PostgresAuditLog(pool)).last())[0].verdict


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    """Settings of this database and of a lake with tables and no features."""
    settings = Settings.from_env({"RIFTLINE_HOME": str(tmp_path), "RIFTLINE_DATABASE_URL": database})
    IcebergLake(settings.lake).ensure(ALL_TABLES)
    return settings


def registered(database: str, lake_snapshot_id: int) -> None:
    """Register a version and keep it back."""

    async def register() -> None:
        pool = await open_pool(database, 1)
        await PostgresModelRegistry(pool).register(version("1", lake_snapshot_id))
        await pool.close()

    asyncio.run(register())


def test_what_was_trained_on_the_newest_data_is_not_trained_again(database: str, settings: Settings) -> None:
    """A version that the gates kept back is not tried a second time, until there is newer data."""
    lake, now = IcebergLake(settings.lake), datetime(2026, 3, 14, tzinfo=UTC)
    lake.clear(PLAYER_SNAPSHOTS, {FEATURES: FEATURE_VERSION})
    snapshot_id = lake.snapshot_id(PLAYER_SNAPSHOTS)
    assert snapshot_id is not None
    registered(database, snapshot_id)
    assert retrain_on_newer(settings, database, now) is None
    lake.clear(PLAYER_SNAPSHOTS, {FEATURES: "of another code"})
    with pytest.raises(InvalidError, match="of another code"):  # so it began
        retrain_on_newer(settings, database, now)


def test_only_one_training_runs_and_a_killed_one_lets_the_next_in(database: str, settings: Settings) -> None:
    """Another process's training is named; killed, it holds nothing back."""
    now = datetime(2026, 3, 14, tzinfo=UTC)
    with subprocess.Popen([sys.executable, "-c", HOLDER, database], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(ConflictError, match="another training"):
                retrain(settings, database, now)
        finally:
            holder.send_signal(signal.SIGKILL)
    asyncio.run(_until_free(database))
    with pytest.raises(InvalidError, match="no features yet"):  # so it began
        retrain(settings, database, now)


async def _until_free(database: str) -> None:
    """The server finds out within moments that its client was killed."""
    pool = await open_pool(database, 1)
    async with asyncio.timeout(30):
        async with pool.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", RETRAIN_LOCK)
    await pool.close()


async def test_a_lock_that_was_lost_is_taken_again_unless_another_has_it(pool: Pool, database: str) -> None:
    """A server that restarts in the middle of a training ends the training only if another one began."""
    other = await open_pool(database, 2)
    ours, theirs = (Exclusive(of, RETRAIN_LOCK, "another training") for of in (pool, other))
    await ours.take()
    await _hang_up_on_holder(other)
    await ours.keep()
    with pytest.raises(ConflictError):
        await theirs.take()
    await _hang_up_on_holder(other)
    await theirs.take()
    with pytest.raises(ConflictError):
        await ours.keep()
    await theirs.release()
    await ours.take()
    await ours.release()
    await other.close()


async def _hang_up_on_holder(pool: Pool) -> None:
    async with pool.transaction() as connection:
        assert await connection.fetchval(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            RETRAIN_LOCK,
        )
