"""The registry of models in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from stores.domain.models import DeploymentStatus, ModelRecord
from stores.errors import ConflictError, InvalidError, NotFoundError

if TYPE_CHECKING:
    import asyncpg

    from stores.postgres.pool import Pool

_GIVEN_BY_REGISTRY = ("model_id", "deployed_at", "deprecated_at", "created_at", "updated_at")
_COLUMNS = tuple(field.name for field in fields(ModelRecord))
_WRITTEN = tuple(name for name in _COLUMNS if name not in _GIVEN_BY_REGISTRY)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM ml_models"  # noqa: S608  # column names of our own class
_INSERT = (
    f"INSERT INTO ml_models ({', '.join(_WRITTEN)}) "  # noqa: S608  # as above
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(_WRITTEN) + 1))}) "
    f"ON CONFLICT (model_name, model_version) DO NOTHING RETURNING {', '.join(_COLUMNS)}"
)
_REGISTERED_AS = {DeploymentStatus.TRAINING, DeploymentStatus.TESTING, DeploymentStatus.STAGING}


class PostgresModelRegistry:
    """`ModelRegistry` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, record: ModelRecord) -> ModelRecord:
        if record.deployment_status not in _REGISTERED_AS:
            raise InvalidError(
                f"a model cannot be registered as {record.deployment_status}; register, then promote it",
                "deployment_status",
            )
        async with self._pool.transaction() as connection:
            row = await connection.fetchrow(_INSERT, *(_argument(record, name) for name in _WRITTEN))
        if row is None:
            raise ConflictError(f"model {record.model_name} {record.model_version} is already registered")
        return _record(row)

    async def promote(self, name: str, version: str) -> ModelRecord:
        async with self._pool.transaction() as connection:
            await connection.execute(
                "SELECT 1 FROM ml_models WHERE model_name = $1 ORDER BY model_id FOR UPDATE",
                name,
            )
            await connection.execute(
                "UPDATE ml_models SET deployment_status = 'deprecated', deprecated_at = now(), updated_at = now(),"
                " deployment_percentage = 0"
                " WHERE model_name = $1 AND model_version <> $2 AND deployment_status = 'production'",
                name,
                version,
            )
            await connection.execute(
                "UPDATE ml_models SET deployment_status = 'production', deployed_at = now(), updated_at = now(),"
                " deployment_percentage = 100, deprecated_at = NULL"
                " WHERE model_name = $1 AND model_version = $2 AND deployment_status <> 'production'",
                name,
                version,
            )
            return await _get(connection, name, version)  # a version that does not exist undoes the transaction

    async def production(self, name: str) -> ModelRecord | None:
        async with self._pool.transaction() as connection:
            row = await connection.fetchrow(
                f"{_SELECT} WHERE model_name = $1 AND deployment_status = 'production'", name
            )
        return None if row is None else _record(row)

    async def get(self, name: str, version: str) -> ModelRecord:
        async with self._pool.transaction() as connection:
            return await _get(connection, name, version)

    async def list(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        async with self._pool.transaction() as connection:
            rows = await connection.fetch(
                f"{_SELECT} WHERE $1::text IS NULL OR model_name = $1 ORDER BY model_name, created_at DESC, model_id",
                name,
            )
        return tuple(_record(row) for row in rows)


async def _get(connection: asyncpg.Connection, name: str, version: str) -> ModelRecord:
    row = await connection.fetchrow(f"{_SELECT} WHERE model_name = $1 AND model_version = $2", name, version)
    if row is None:
        known = await connection.fetch(
            "SELECT model_version FROM ml_models WHERE model_name = $1 ORDER BY created_at DESC LIMIT 5", name
        )
        raise NotFoundError(f"there is no model {name} {version}", tuple(row["model_version"] for row in known))
    return _record(row)


def _argument(record: ModelRecord, name: str) -> object:
    value = getattr(record, name)
    return dict(value) if name in {"hyperparameters", "feature_schema", "training_metrics"} else value


def _record(row: asyncpg.Record) -> ModelRecord:
    values = dict(row)
    return ModelRecord(**values | {"deployment_status": DeploymentStatus(values["deployment_status"])})
