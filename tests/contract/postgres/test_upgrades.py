"""A database of any earlier version is brought up to date with its rows in place, whoever else tries at once."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.prediction_id import new_prediction_id
from stores.migration_files import read_migrations
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.migrate import migrate, shipped_migrations
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.partitions import ensure_partitions
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stores.domain.models import ModelRecord
    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]
    MakeModel = Callable[..., ModelRecord]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SHIPPED = read_migrations(shipped_migrations())
RELEASED = 2  # the last version of the first release
MIGRATE = """
import asyncio, sys
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool

async def main():
    pool = await open_pool(sys.argv[1], 1)
    print(*await migrate(pool))
    await pool.close()

asyncio.run(main())
"""
# One row of every table, written as a program of its version would; a new table needs its row here.
_ID = "019ceb9a-3a7b-7000-8000-000000000001"  # a UUIDv7
ROWS = {
    "ml_models": """(model_name, model_version, model_type, framework, algorithm, hyperparameters, feature_schema,
        feature_version, lake_snapshot_id, training_metrics, model_artifact_path, model_size_bytes, checksum,
        trained_at)
        VALUES ('old', '1', 'prediction', 'f', 'a', '{"eta": 0.1}', '{}', 'f', 1, '{}', 'p', 1, 'c', now())""",
    "model_aliases": "(model_name, alias, model_version) VALUES ('old', 'shadow', '1')",
    "model_transitions": """(model_name, alias, kind, to_version, actor, reason, forced, created_at)
        VALUES ('old', 'shadow', 'promote', '1', 'a', '', FALSE, now())""",
    "prediction_requests": f"""(prediction_id, created_at, player_names, prop_type, prop_value, map_range,
        position_roles, strict_mode, prediction, confidence, base_model_confidence, push_probability, expected_stat,
        confidence_interval, data_tier, model_version, feature_version, lake_snapshot_id, processing_time_ms, cache_hit,
        warnings) VALUES ('{_ID}', '2026-03-14', '{{Faker}}', 'kills', 4.5, '{{1,1}}', '{{}}', FALSE, 'OVER', 0.1, 50,
        0, 4, '{{1,8}}', 1, 'v', 'f', 1, 1, FALSE, '{{}}')""",
    "users": f"""(user_id, email, email_key, username, username_key)
        VALUES ('{_ID}', 'A@b.c', 'a@b.c', 'Old', 'old')""",
    "user_profiles": f"(user_id) VALUES ('{_ID}')",
    "user_auth_methods": f"(user_id, auth_type) VALUES ('{_ID}', 'password')",
    "user_sessions": f"(session_id, user_id, expires_at) VALUES (repeat('a', 64), '{_ID}', now() + interval '1 h')",
    "api_keys": "(name, prefix, digest, tier, scopes) VALUES ('k', '00000000', repeat('a', 64), 'free', '{read}')",
    "prediction_feedback": f"""(prediction_id, predicted_at, feedback_source, actual_result, created_at, updated_at)
        VALUES ('{_ID}', '2026-03-14', 'manual', 'PUSH', now(), now())""",
    "prediction_curves": f"""(prediction_id, predicted_at, prop_values, predictions, confidences, expected_stats)
        VALUES ('{_ID}', '2026-03-14', '{{0.5}}', '{{OVER}}', '{{99}}', '{{4}}')""",
    "predictions": f"""(prediction_id, user_id, context_id, prediction_type, predictions, confidence, created_at)
        VALUES ('{_ID}', '{_ID}', 'c', 't', '[1]', 50, '2026-03-14')""",
    "prediction_metrics": f"""(time, prediction_id, user_id, metric_name, metric_value)
        VALUES (now(), '{_ID}', '{_ID}', 'm', 0.1)""",
    "metrics_hourly": f"""(bucket, prediction_id, metric_name, avg_value, sample_count)
        VALUES (now(), '{_ID}', 'm', 0.1, 1)""",
    "metrics_stale": "VALUES (now())",
    "feature_definitions": "(feature_name, feature_type, data_type) VALUES ('f', 'numerical', 'float')",
    "model_performance_metrics": f"(model_id, metric_date, accuracy) VALUES ('{_ID}', '2026-03-14', 0.1)",
    "app_configurations": "(config_key, config_value, config_type) VALUES ('k', '{}', 'setting')",
    "api_usage": f"""(usage_id, endpoint, http_method, status_code, created_at)
        VALUES ('{_ID}', '/predict', 'POST', 200, '2026-03-14')""",
    "audit_logs": f"(log_id, action, success, created_at) VALUES ('{_ID}', 'login', TRUE, '2026-03-14')",
    "measurement_series": "(measurement, field, tags) VALUES ('m', 'f', '{}')",
    "measurements_high": "(series_id, time, value) VALUES (1, now(), 0.1)",
    "measurements_medium": "(series_id, time, count, sum, min, max, last) VALUES (1, now(), 1, 0.1, 0.1, 0.1, 0.1)",
    "measurements_low": "(series_id, time, count, sum, min, max, last) VALUES (1, now(), 1, 0.1, 0.1, 0.1, 0.1)",
}
_TABLES = """
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
    AND relname <> 'schema_migrations'
"""


@pytest.mark.parametrize("version", [migration.version for migration in SHIPPED])
async def test_rows_of_every_earlier_version_are_kept(
    bare_pool: Pool, tmp_path: Path, version: int, prediction: MakePrediction, model: MakeModel
) -> None:
    """A row in each table of the version is there afterwards with every value it had; the program of today writes."""
    await migrate(bare_pool, _first(version, tmp_path))
    before = await _fill(bare_pool)
    applied = await asyncio.gather(*(migrate(bare_pool) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == _after(version)
    assert await ensure_partitions(bare_pool, NOON)
    after = await _contents(bare_pool)
    for table, row in before.items():
        assert after[table].items() >= row.items(), table
    await _use(bare_pool, prediction(), model())


async def test_processes_upgrade_a_database_in_use_together(
    bare_pool: Pool, bare_database: str, tmp_path: Path
) -> None:
    """Four processes at once from the released version, beside a writer of that version: no file twice, no row lost."""
    await migrate(bare_pool, _first(RELEASED, tmp_path))
    upgraded, written = asyncio.Event(), 0

    async def write() -> None:
        nonlocal written
        while not upgraded.is_set():
            row = ROWS["prediction_requests"].replace(_ID, str(new_prediction_id(NOON)))
            async with bare_pool.transaction() as connection:
                await connection.execute(f"INSERT INTO prediction_requests {row}")
            written += 1

    writer = asyncio.create_task(write())
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, bare_database, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [(await process.communicate())[0].decode() for process in processes]
    upgraded.set()
    await writer
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(" ".join(outputs).split()) == _after(RELEASED)
    assert await PostgresPredictions(bare_pool).count() == written > 0


def _first(version: int, folder: Path) -> Path:
    """The migrations up to ``version``, as a program of that version shipped them."""
    for migration in SHIPPED:
        if migration.version <= version:
            (folder / migration.name).write_text(migration.sql)
    return folder


def _after(version: int) -> list[str]:
    return [migration.name for migration in SHIPPED if migration.version > version]


async def _fill(pool: Pool) -> dict[str, dict[str, Any]]:
    async with pool.transaction() as connection:
        present = {row["relname"] for row in await connection.fetch(_TABLES)}
        assert present <= ROWS.keys()
        for table in (table for table in ROWS if table in present):  # users come before what is theirs
            await connection.execute(f"INSERT INTO {table} {ROWS[table]}")
    return await _contents(pool)


async def _contents(pool: Pool) -> dict[str, dict[str, Any]]:
    async with pool.transaction() as connection:
        tables = [row["relname"] for row in await connection.fetch(_TABLES)]
        rows = {
            table: await connection.fetchval(f"SELECT to_jsonb(it) FROM {table} it")  # noqa: S608  # from the catalog
            for table in tables
        }
    return {table: row for table, row in rows.items() if row is not None}


async def _use(pool: Pool, record: PredictionRecord, model: ModelRecord) -> None:
    predictions = PostgresPredictions(pool)
    await predictions.record(record)
    assert await predictions.get(record.prediction_id) == record
    outcome = Feedback(
        prediction_id=record.prediction_id,
        source=FeedbackSource.VERIFIED,
        actual_result=ActualResult.UNDER,
        given_at=NOON,
    )
    await PostgresFeedback(pool).record(outcome)
    assert await PostgresFeedback(pool).get(record.prediction_id) == (outcome,)
    assert await PostgresModelRegistry(pool).register(model)
