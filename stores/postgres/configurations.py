"""What operators set while the system runs, in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import asyncpg

from stores.domain.checks import MAX_BIGINT, check_number, check_text
from stores.domain.configurations import MAX_ENVIRONMENT, MAX_KEY, ConfigType, Configuration
from stores.errors import ConflictError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from stores.postgres.pool import Pool

# ruff: noqa: S608 — every name below is a field of our own class
_LIST = ", ".join(field.name for field in fields(Configuration))
_KEY = ("environment", "config_key")
_CHANGED = ("config_value", "config_type", "is_active", "description", "last_modified_by")
BY_KEY = f"SELECT {_LIST} FROM app_configurations WHERE environment = $1 AND config_key = $2"
_SAME = " AND ".join(f"{name} IS NOT DISTINCT FROM ${number}" for number, name in enumerate(_CHANGED, 3))
UNLESS_OTHER = f"SELECT version, {_SAME} AS same FROM app_configurations WHERE environment = $1 AND config_key = $2"
INSERT = (
    f"INSERT INTO app_configurations ({', '.join((*_KEY, *_CHANGED, 'config_id'))})"
    f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (environment, config_key) DO NOTHING RETURNING {_LIST}"
)
UPDATE = (
    f"UPDATE app_configurations SET {', '.join(f'{name} = ${number}' for number, name in enumerate(_CHANGED, 3))},"
    " version = version + 1, updated_at = now()"
    f" WHERE environment = $1 AND config_key = $2 AND version = $8 RETURNING {_LIST}"
)
LIST = f"SELECT {_LIST} FROM app_configurations WHERE environment = $1 ORDER BY config_key"
FLAGS = (
    "SELECT config_key, config_value FROM app_configurations"
    " WHERE environment = $1 AND config_type = 'feature_flag' AND is_active ORDER BY config_key"
)


class PostgresConfigurations:
    """`Configurations` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, config_key: str, environment: str) -> Configuration:
        """One entry."""
        _check_key(config_key, environment)
        async with self._pool.transaction(readonly=True) as connection:
            return await _get(connection, config_key, environment)

    async def put(self, configuration: Configuration, expected_version: int) -> Configuration:
        """Write an entry that was read at ``expected_version``."""
        check_number(expected_version, "expected_version", 0, MAX_BIGINT - 1)
        arguments = [getattr(configuration, name) for name in _KEY + _CHANGED]
        write = (UPDATE, expected_version) if expected_version else (INSERT, configuration.config_id)
        async with self._pool.transaction() as connection:
            try:
                row = await connection.fetchrow(write[0], *arguments, write[1])
            except asyncpg.ForeignKeyViolationError:
                raise InvalidError("last_modified_by is no user; leave it out", "last_modified_by") from None
            if row is not None:
                return _configuration(row)
            return await _repeated(connection, configuration, arguments, expected_version)

    async def list(self, environment: str) -> tuple[Configuration, ...]:
        """Every entry of an environment."""
        check_text(environment, "environment", MAX_ENVIRONMENT)
        async with self._pool.transaction(readonly=True) as connection:
            return tuple(_configuration(row) for row in await connection.fetch(LIST, environment))

    async def flags(self, environment: str) -> dict[str, Any]:
        """The values of the active feature flags."""
        check_text(environment, "environment", MAX_ENVIRONMENT)
        async with self._pool.transaction(readonly=True) as connection:
            return {row["config_key"]: row["config_value"] for row in await connection.fetch(FLAGS, environment)}


async def _repeated(
    connection: asyncpg.Connection, configuration: Configuration, arguments: list[Any], expected_version: int
) -> Configuration:
    """The stored entry, when it is this very change of before; else the conflict."""
    name = f"{configuration.config_key!r} of {configuration.environment!r}"
    stored = await connection.fetchrow(UNLESS_OTHER, *arguments)
    if stored is None:
        raise NotFoundError(f"there is no configuration {name} to replace; give version 0 to add it")
    if stored["version"] != expected_version + 1 or not stored["same"]:
        raise ConflictError(f"configuration {name} is at version {stored['version']}; read it again")
    return await _get(connection, configuration.config_key, configuration.environment)


async def _get(connection: asyncpg.Connection, config_key: str, environment: str) -> Configuration:
    row = await connection.fetchrow(BY_KEY, environment, config_key)
    if row is None:
        raise NotFoundError(f"there is no configuration {config_key!r} of {environment!r}")
    return _configuration(row)


def _check_key(config_key: str, environment: str) -> None:
    check_text(config_key, "config_key", MAX_KEY)
    check_text(environment, "environment", MAX_ENVIRONMENT)


def _configuration(row: asyncpg.Record) -> Configuration:
    return Configuration(**dict(row) | {"config_type": ConfigType(row["config_type"])})
