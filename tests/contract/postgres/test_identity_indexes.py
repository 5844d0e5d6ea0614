"""Every index of the tables of identity and operations is what a statement of ours uses, and none is idle."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from stores.domain.audit import AuditQuery
from stores.domain.time_ids import new_time_id
from stores.domain.users import AuthType
from stores.postgres import (
    api_keys,
    api_usage,
    configurations,
    feature_definitions,
    model_performance,
    user_rows,
    user_sessions,
)
from stores.postgres.audit_log import search_statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TABLES = (
    "users",
    "user_profiles",
    "user_auth_methods",
    "user_sessions",
    "api_keys",
    "feature_definitions",
    "model_performance_metrics_default",
    "app_configurations",
    "api_usage_default",
    "audit_logs_default",
)
START = datetime(2026, 3, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SOMEONE = UUID("00000000-0000-7000-8000-000000000007")
SESSION = f"{7:064x}"
# What a machine asks comes from the adapters; what an operator asks by hand has no role and is written here.
USES = {
    "ml_models_hyperparameters": (
        "SELECT model_version FROM ml_models WHERE hyperparameters @> $1::text::jsonb",
        '{"seed": 7}',
    ),
    "users_pkey": (user_rows.USER_BY_ID, SOMEONE),
    "users_email_unique": (user_rows.USER_BY_EMAIL, "7@x"),
    "users_username_unique": (user_rows.USER_BY_USERNAME, "u7"),
    "users_active": ("SELECT user_id FROM users WHERE NOT is_active AND created_at >= $1", START),
    "users_subscription": ("SELECT user_id FROM users WHERE subscription_tier = $1", "enterprise"),
    "users_metadata": ("SELECT user_id FROM users WHERE metadata @> $1::text::jsonb", '{"number": 7}'),
    "user_profiles_pkey": (user_rows.PROFILE_BY_ID, SOMEONE),
    "user_auth_methods_pkey": ("SELECT user_id FROM user_auth_methods WHERE auth_method_id = $1", SOMEONE),
    "user_auth_methods_one_of_a_type": (user_rows.METHODS_OF_USER, SOMEONE),
    "user_auth_methods_one_owner": (user_rows.USER_BY_PROVIDER, AuthType.OAUTH_GOOGLE, "7"),
    "user_auth_methods_one_primary": (user_rows.DEMOTE_OTHERS, SOMEONE, SOMEONE),
    "user_sessions_pkey": (user_sessions.LIVE, SESSION, NOON),
    "user_sessions_user": (user_sessions.OF_USER, SOMEONE, NOON),
    "user_sessions_expiry": (user_sessions.PURGE, START, 100),
    "api_keys_pkey": (api_keys.LIVE_BY_ID, SOMEONE, NOON),
    "api_keys_prefix_unique": (api_keys.LIVE, "00000007", NOON),
    "api_keys_user": ("SELECT 1 FROM api_keys WHERE user_id = $1", SOMEONE),
    "feature_definitions_pkey": ("SELECT 1 FROM feature_definitions WHERE feature_id = $1", SOMEONE),
    "feature_definitions_name_unique": (feature_definitions.BY_NAME, "f7"),
    "feature_definitions_validation": (
        "SELECT feature_name FROM feature_definitions WHERE validation_rules @> $1::text::jsonb",
        '{"min": 7}',
    ),
    "model_performance_metrics_default_pkey": (
        model_performance.BETWEEN,
        SOMEONE,
        date(2026, 3, 1),
        date(2026, 3, 31),
    ),
    "app_configurations_pkey": ("SELECT 1 FROM app_configurations WHERE config_id = $1", SOMEONE),
    "app_configurations_key_unique": (configurations.BY_KEY, "e7", "k7"),
    "api_usage_default_pkey": ("SELECT 1 FROM api_usage WHERE created_at = $1 AND usage_id = $2", NOON, SOMEONE),
    "api_usage_default_user_id_created_at_idx": (api_usage.DAILY, SOMEONE, START, NOON),
    "audit_logs_default_pkey": search_statement(AuditQuery(until=NOON), 10, new_time_id(NOON)),
    "audit_logs_default_user_id_created_at_log_id_idx": search_statement(AuditQuery(user_id=SOMEONE), 10, None),
    "audit_logs_default_action_created_at_log_id_idx": search_statement(AuditQuery(action="a7"), 10, None),
    "audit_logs_default_resource_type_resource_id_created_at_log_idx": search_statement(
        AuditQuery(resource_type="r7", resource_id=SOMEONE), 10, new_time_id(NOON)
    ),
}
FILL = """
    CREATE FUNCTION id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
        $$ SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    INSERT INTO users (user_id, email, email_key, username, username_key, subscription_tier, is_active, metadata,
        created_at)
    SELECT id(n), n || '@x', n || '@x', 'u' || n, 'u' || n, CASE WHEN n % 500 = 0 THEN 'enterprise' ELSE 'free' END,
        n % 200 <> 0, jsonb_build_object('number', n), timestamptz '2026-03-01' + n * interval '1 minute'
    FROM generate_series(1, 5000) AS n;
    INSERT INTO user_profiles (user_id) SELECT user_id FROM users;
    INSERT INTO user_auth_methods (auth_method_id, user_id, auth_type, provider_id, is_primary)
    SELECT id(2 * n + k), id(n), (ARRAY['oauth_google', 'oauth_riot'])[k + 1], n::text, k = 0 AND n % 50 = 7
    FROM generate_series(1, 5000) AS n, generate_series(0, 1) AS k;
    INSERT INTO user_sessions (session_id, user_id, created_at, last_activity_at, expires_at)
    SELECT lpad(to_hex(n), 64, '0'), id(n % 1000 + 1), timestamptz '2026-01-01', timestamptz '2026-01-01',
        timestamptz '2026-02-28' + n * interval '1 hour'
    FROM generate_series(1, 5000) AS n;
    INSERT INTO api_keys (api_key_id, user_id, name, prefix, digest, tier, scopes)
    SELECT id(n), id(n % 1000 + 1), 'k', lpad(n::text, 8, '0'), repeat('a', 64), 'free', '{read}'
    FROM generate_series(1, 5000) AS n;
    INSERT INTO feature_definitions (feature_id, feature_name, feature_type, data_type, validation_rules)
    SELECT id(n), 'f' || n, 'numerical', 'float', jsonb_build_object('min', n) FROM generate_series(1, 3000) AS n;
    INSERT INTO ml_models (model_name, model_version, model_type, framework, algorithm, hyperparameters, feature_schema,
        feature_version, lake_snapshot_id, training_metrics, model_artifact_path, model_size_bytes, checksum,
        trained_at)
    SELECT 'm', n::text, 'prediction', 'f', 'a', jsonb_build_object('seed', n), '{}', 'f', 1, '{}', 'p', 1, 'c', now()
    FROM generate_series(1, 3000) AS n;
    INSERT INTO model_performance_metrics (model_id, metric_date)
    SELECT id(m), date '2025-01-01' + n FROM generate_series(1, 10) AS m, generate_series(0, 499) AS n;
    INSERT INTO app_configurations (config_id, environment, config_key, config_value, config_type)
    SELECT id(n), 'e' || n % 10, 'k' || n, '1', 'setting' FROM generate_series(1, 3000) AS n;
    INSERT INTO api_usage (usage_id, user_id, endpoint, http_method, status_code, created_at)
    SELECT id(n), id(n % 500), '/', 'GET', 200, timestamptz '2026-03-01' + n * interval '1 minute'
    FROM generate_series(1, 20000) AS n;
    INSERT INTO audit_logs (log_id, user_id, action, resource_type, resource_id, success, created_at)
    SELECT id(n), id(n % 500), 'a' || n % 50, 'r' || n % 5, id(n % 1000), TRUE,
        timestamptz '2026-03-01' + n * interval '1 minute'
    FROM generate_series(1, 20000) AS n;
"""


@pytest.fixture
async def filled(direct_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database with thousands of rows in every table and fresh statistics."""
    connection = await asyncpg.connect(direct_database)
    await connection.execute(FILL)
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


async def test_every_index_is_used(filled: asyncpg.Connection) -> None:
    """With thousands of rows the planner chooses, for each index, that index for the statement that it was made for."""
    idle = []
    for index, (statement, *rest) in USES.items():
        arguments = rest[0] if rest and isinstance(rest[0], list) else rest
        plan = "\n".join(row[0] for row in await filled.fetch(f"EXPLAIN {statement}", *arguments))
        if not re.search(rf"\b{index}\b", plan):
            idle.append(f"{index}:\n{plan}")
    assert not idle, "\n\n".join(idle)


async def test_every_index_has_its_use(filled: asyncpg.Connection) -> None:
    """The indexes of the tables are those of the list: a new one must show what it is for."""
    rows = await filled.fetch("SELECT indexname FROM pg_indexes WHERE tablename = ANY($1)", list(TABLES))
    assert {row["indexname"] for row in rows} | {"ml_models_hyperparameters"} == set(USES)
