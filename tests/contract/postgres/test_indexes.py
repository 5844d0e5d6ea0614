"""Every index of the predictions' side earns its writes: the planner uses it for the question it was made for."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest

from stores.domain.prediction_id import created_at
from stores.postgres import feedback, partitions, prediction_curves, prediction_metrics, prediction_rows
from stores.postgres.partitions import ensure_partitions
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeDatabase = Callable[[], str]

pytestmark = pytest.mark.parametrize(  # PgBouncer plans nothing
    "implementation", ["embedded", "debian-15"], indirect=True, scope="session"
)

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TABLES = (
    "prediction_requests",
    "prediction_feedback",
    "prediction_curves",
    "predictions",
    "prediction_metrics",
    "metrics_hourly",
)
ROWS = 20_000  # of each table, six minutes apart: a month and a half on either side of NOON
USER = UUID(int=7)
FILL = f"""
    CREATE TEMP TABLE rows AS
        SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000'
            || lpad(to_hex(n), 12, '0'))::uuid AS id,
            lpad(to_hex(n % 500), 32, '0')::uuid AS user_id
        FROM generate_series(1, {ROWS}) AS n,
            LATERAL (SELECT '2026-03-14 12:00+00'::timestamptz + (n - {ROWS} / 2) * interval '6 minutes' AS at) AS its;
    INSERT INTO prediction_requests (
        prediction_id, created_at, user_id, player_names, prop_type, prop_value, map_range, position_roles, strict_mode,
        prediction, confidence, base_model_confidence, push_probability, expected_stat, confidence_interval, data_tier,
        model_version, feature_version, lake_snapshot_id, processing_time_ms, cache_hit, warnings)
        SELECT id, at, user_id, ARRAY['player ' || n % 700], 'kills', 4.5, '{{1,1}}', '{{}}', FALSE,
            'OVER', 50, 50, 0, 4, '{{1,8}}', 1, 'v' || n % 300, 'f', 1, 1, FALSE, '{{}}'
        FROM rows;
    INSERT INTO prediction_feedback (
        prediction_id, predicted_at, feedback_source, actual_result, created_at, updated_at)
        SELECT id, at, 'automated', 'OVER', at, at FROM rows WHERE n % 2 = 0;
    INSERT INTO prediction_curves (prediction_id, predicted_at, prop_values, predictions, confidences, expected_stats)
        SELECT id, at, '{{1}}', '{{OVER}}', '{{50}}', '{{1}}' FROM rows;
    INSERT INTO predictions (
        prediction_id, user_id, context_id, prediction_type, predictions, confidence, created_at)
        SELECT id, user_id, 'context ' || n % 900, 'short', '[]', 50, at FROM rows;
    INSERT INTO prediction_metrics (time, prediction_id, user_id, metric_name, metric_value)
        SELECT '2026-03-14 00:00+00'::timestamptz + n * interval '4 seconds', id, user_id, 'latency_ms', 1 FROM rows;
    INSERT INTO metrics_hourly (bucket, prediction_id, metric_name, avg_value, sample_count)
        SELECT date_trunc('hour', at), id, 'latency_ms', 1, 1 FROM rows;
"""  # noqa: S608  # constants
PREDICTION_ID = UUID(f"{int(NOON.timestamp() * 1000):012x}70008000{ROWS // 2:012x}")
MOMENT = created_at(PREDICTION_ID)
QUESTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "prediction_requests_pkey": (prediction_rows.SELECT, (PREDICTION_ID, MOMENT)),
    "prediction_requests_user": (prediction_rows.SELECT_OF_USER, (USER, MOMENT, PREDICTION_ID, 50)),
    "prediction_requests_player_names": (prediction_rows.SELECT_OF_PLAYER, ("player 7", None, None, 50)),
    "prediction_requests_model_version": (
        "SELECT count(*) FROM prediction_requests WHERE model_version = $1 AND created_at >= $2",
        ("v7", NOON - DAY),
    ),
    "prediction_feedback_pkey": (feedback.GET, (PREDICTION_ID, MOMENT)),
    "prediction_curves_pkey": (prediction_curves.GET, (PREDICTION_ID, MOMENT)),
    "predictions_pkey": (prediction_metrics.GET, (PREDICTION_ID, MOMENT)),
    "predictions_user": (
        prediction_metrics.HISTORICAL,
        (USER, NOON - 30 * DAY, NOON + DAY, MOMENT, PREDICTION_ID, 50),
    ),
    "predictions_context": (
        "SELECT * FROM predictions WHERE context_id = $1 ORDER BY created_at DESC LIMIT 10",
        ("context 7",),
    ),
    "prediction_metrics_pkey": (
        "SELECT * FROM prediction_metrics WHERE prediction_id = $1 AND metric_name = $2",
        (PREDICTION_ID, "latency_ms"),
    ),
    "prediction_metrics_user": (
        "SELECT * FROM prediction_metrics WHERE user_id = $1 AND time >= $2",
        (USER, NOON - DAY),
    ),
    "prediction_metrics_time": (prediction_metrics.ROLL_UP, (NOON, NOON + HOUR)),
    "metrics_hourly_pkey": (prediction_metrics.HOURLY, (PREDICTION_ID, "latency_ms", NOON - DAY, NOON + DAY)),
}


@pytest.fixture(scope="module")
def filled(make_database: MakeDatabase) -> str:
    """The URL of a database with enough rows of every kind, over several partitions, and fresh statistics."""
    url = make_database()
    asyncio.run(_fill(url))
    return url


async def _fill(url: str) -> None:
    pool = await open_pool(url, 1)
    ours = [table for table in partitions.TABLES if table.name in TABLES]
    for day in range(-42, 60, 7):
        await ensure_partitions(pool, NOON + day * DAY, ours)
    async with pool.transaction() as connection:
        await connection.execute(FILL)
    await pool.close()
    connection = await asyncpg.connect(url)
    await connection.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")  # also sums up the BRIN index
    await connection.close()


@pytest.mark.parametrize("index", QUESTIONS)
async def test_an_index_is_used_for_its_question(filled: str, index: str) -> None:
    """The plan of the adapter's own statement, over partitions, goes through this index."""
    statement, arguments = QUESTIONS[index]
    pool = await open_pool(filled, 1)
    async with pool.transaction() as connection:
        rows = await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::text::regclass", index
        )
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments))
    await pool.close()
    assert {row["name"] for row in rows} & set(_indexes_in(plan[0]["Plan"])), plan


def _indexes_in(node: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in node:
        yield node["Index Name"]
    for child in node.get("Plans", []):
        yield from _indexes_in(child)


async def test_every_index_has_its_question(filled: str) -> None:
    """No index of these tables is without a question here."""
    pool = await open_pool(filled, 1)
    async with pool.transaction() as connection:
        rows = await connection.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid::regclass::text = ANY($1::text[])",
            TABLES,
        )
    await pool.close()
    assert {row["name"] for row in rows} == set(QUESTIONS)


async def test_a_read_by_id_touches_one_partition(filled: str) -> None:
    """The moment inside the id prunes the other partitions from the plan."""
    pool = await open_pool(filled, 1)
    async with pool.transaction() as connection:
        plan = await connection.fetch(f"EXPLAIN {prediction_rows.SELECT}", PREDICTION_ID, MOMENT)
    await pool.close()
    text = "\n".join(row[0] for row in plan)
    assert "prediction_requests_2026_03" in text
    assert "prediction_requests_2026_02" not in text
    assert "prediction_requests_default" not in text


async def test_pending_predictions_are_read_in_the_order_of_their_key(filled: str) -> None:
    """A page of what waits for an outcome sorts nothing and reads one month of three."""
    pool = await open_pool(filled, 1)
    arguments = (NOON - DAY, NOON + DAY, MOMENT, PREDICTION_ID, 100)
    async with pool.transaction() as connection:
        plan = await connection.fetch(f"EXPLAIN {feedback.PENDING}", *arguments)
    await pool.close()
    text = "\n".join(row[0] for row in plan)
    assert "prediction_requests_2026_03_pkey" in text
    assert "prediction_requests_2026_02" not in text
