"""The definitions of features in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import asyncpg
import orjson

from stores.domain.checks import check_text
from stores.domain.feature_definitions import MAX_NAME, DataType, FeatureDefinition, FeatureType, UpdateFrequency
from stores.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.postgres.pool import Pool

_TYPES = {
    "feature_id": "uuid",
    "feature_name": "text",
    "feature_type": "text",
    "data_type": "text",
    "computation_logic": "text",
    "dependencies": "text[]",
    "update_frequency": "text",
    "validation_rules": "jsonb",
    "data_quality_checks": "jsonb",
    "description": "text",
    "business_context": "text",
    "created_by": "uuid",
}
_REPLACED = tuple(name for name in _TYPES if name not in {"feature_id", "feature_name", "created_by"})

# ruff: noqa: S608 — every name below is a field of our own class
_COLUMNS = ", ".join(field.name for field in fields(FeatureDefinition))
REGISTER = (
    f"WITH written AS (INSERT INTO feature_definitions AS kept ({', '.join(_TYPES)})"
    f" SELECT {', '.join(_TYPES)} FROM json_to_recordset($1::text::json)"
    f" AS row({', '.join(f'{name} {kind}' for name, kind in _TYPES.items())})"
    " ORDER BY feature_name"  # two registrations at once lock in one order
    f" ON CONFLICT (feature_name) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in _REPLACED)},"
    " is_active = TRUE, deprecated_at = NULL, updated_at = now()"
    f" WHERE ({', '.join(f'kept.{name}' for name in _REPLACED)}, kept.is_active)"
    f" IS DISTINCT FROM ({', '.join(f'EXCLUDED.{name}' for name in _REPLACED)}, TRUE)"
    " RETURNING 1) SELECT count(*) FROM written"
)
BY_NAME = f"SELECT {_COLUMNS} FROM feature_definitions WHERE feature_name = $1"
ACTIVE = f"SELECT {_COLUMNS} FROM feature_definitions WHERE is_active ORDER BY feature_name"
DEPRECATE = (
    "UPDATE feature_definitions SET is_active = FALSE, deprecated_at = now(), updated_at = now()"
    " WHERE feature_name = $1 AND is_active"
)


class PostgresFeatureDefinitions:
    """`FeatureDefinitions` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, definitions: Sequence[FeatureDefinition]) -> int:
        """Add or replace definitions."""
        _check_names(definitions)
        rows = [{name: getattr(one, name) for name in _TYPES} for one in definitions]
        statement = orjson.dumps(rows).decode()
        async with self._pool.transaction() as connection:
            try:
                return int(await connection.fetchval(REGISTER, statement))
            except asyncpg.ForeignKeyViolationError as error:
                raise InvalidError("created_by is no user; leave it out", "created_by") from error

    async def get(self, feature_name: str) -> FeatureDefinition:
        """One definition."""
        async with self._pool.transaction(readonly=True) as connection:
            return await _get(connection, feature_name)

    async def active(self) -> tuple[FeatureDefinition, ...]:
        """The definitions that are not deprecated."""
        async with self._pool.transaction(readonly=True) as connection:
            return tuple(_definition(row) for row in await connection.fetch(ACTIVE))

    async def deprecate(self, feature_name: str) -> FeatureDefinition:
        """Mark a feature as no longer used."""
        check_text(feature_name, "feature_name", MAX_NAME)
        async with self._pool.transaction() as connection:
            await connection.execute(DEPRECATE, feature_name)
            return await _get(connection, feature_name)


def _check_names(definitions: Sequence[FeatureDefinition]) -> None:
    seen: set[str] = set()
    for index, definition in enumerate(definitions):
        if definition.feature_name in seen:
            raise InvalidError(f"{definition.feature_name!r} comes twice", f"definitions.{index}.feature_name")
        seen.add(definition.feature_name)


async def _get(connection: asyncpg.Connection, feature_name: str) -> FeatureDefinition:
    check_text(feature_name, "feature_name", MAX_NAME)
    row = await connection.fetchrow(BY_NAME, feature_name)
    if row is None:
        raise NotFoundError(f"there is no feature {feature_name!r}")
    return _definition(row)


def _definition(row: asyncpg.Record) -> FeatureDefinition:
    frequency = row["update_frequency"]
    return FeatureDefinition(
        **dict(row)
        | {
            "feature_type": FeatureType(row["feature_type"]),
            "data_type": DataType(row["data_type"]),
            "dependencies": tuple(row["dependencies"]),
            "update_frequency": None if frequency is None else UpdateFrequency(frequency),
        }
    )
