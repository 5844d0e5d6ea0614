"""The registry of models in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stores.domain.models import (
    SYSTEM,
    Alias,
    DeploymentStatus,
    ModelRecord,
    Transition,
    TransitionKind,
    champions,
)
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.model_transitions import ALIASES, lock_aliases, move_alias, transitions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
_ALIASED = (
    f"SELECT alias, {', '.join(_COLUMNS)}"  # noqa: S608  # as above
    f" FROM ml_models JOIN ({ALIASES}) AS aliases USING (model_name, model_version)"
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

    async def promote(  # noqa: PLR0913
        self,
        name: str,
        version: str,
        *,
        alias: Alias = Alias.CHAMPION,
        actor: str = SYSTEM,
        reason: str = "",
        gates: Mapping[str, Any] | None = None,
        force: bool = False,
        expected_champion: str | None = None,
    ) -> ModelRecord:
        async with self._pool.transaction() as connection:
            held, now = await lock_aliases(connection, name)
            record = await _get(connection, name, version)
            if held.get(alias) == version:
                return record
            _check_champion(name, held, expected_champion)
            passed = _check_gates(version, gates, force=force)
            transition = Transition(
                model_name=name,
                alias=alias,
                kind=TransitionKind.PROMOTE,
                from_version=held.get(alias),
                to_version=version,
                actor=actor,
                reason=reason,
                gates=None if gates is None else dict(gates),
                left_alias=_alias_of(held, version),
                forced=not passed and (alias is Alias.CHAMPION or gates is not None),
                created_at=now,
            )
            await move_alias(connection, record, transition)
            return await _get(connection, name, version)

    async def rollback(
        self, name: str, *, actor: str = SYSTEM, reason: str = "", expected_champion: str | None = None
    ) -> ModelRecord:
        async with self._pool.transaction() as connection:
            held, now = await lock_aliases(connection, name)
            _check_champion(name, held, expected_champion)
            version = _former_champion(name, held, await transitions_of(connection, name))
            transition = Transition(
                model_name=name,
                alias=Alias.CHAMPION,
                kind=TransitionKind.ROLLBACK,
                from_version=held[Alias.CHAMPION],
                to_version=version,
                actor=actor,
                reason=reason,
                left_alias=_alias_of(held, version),
                forced=False,
                created_at=now,
            )
            await move_alias(connection, await _get(connection, name, version), transition)
            return await _get(connection, name, version)

    async def aliases(self, name: str) -> dict[Alias, ModelRecord]:
        async with self._pool.transaction(readonly=True) as connection:
            rows = await connection.fetch(_ALIASED, name)
        return {Alias(row["alias"]): _record({column: row[column] for column in _COLUMNS}) for row in rows}

    async def history(self, name: str) -> tuple[Transition, ...]:
        async with self._pool.transaction(readonly=True) as connection:
            return tuple(reversed(await transitions_of(connection, name)))

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


def _check_champion(name: str, held: Mapping[Alias, str], expected: str | None) -> None:
    champion = held.get(Alias.CHAMPION)
    if expected is not None and expected != champion:
        raise ConflictError(f"the champion of {name} is {champion} and not {expected} any more; look again")


def _check_gates(version: str, gates: Mapping[str, Any] | None, *, force: bool) -> bool:
    """Whether there are gates that passed."""
    passed = gates is not None and gates.get("passed") is True
    if gates is not None and not passed and not force:
        raise InvalidError(f"the gates did not pass {version}; mend what their report names, or force it", "gates")
    return passed


def _alias_of(held: Mapping[Alias, str], version: str) -> Alias | None:
    return next((alias for alias, its in held.items() if its == version), None)


def _former_champion(name: str, held: Mapping[Alias, str], transitions: Iterable[Transition]) -> str:
    if Alias.CHAMPION not in held:
        raise NotFoundError(f"{name} has no champion to go back from; promote a version")
    moves = (one for one in transitions if one.alias is Alias.CHAMPION)
    *former, current = champions(moves, held[Alias.CHAMPION])
    if not former:
        raise NotFoundError(f"no champion of {name} is recorded before {current}; promote the version that you want")
    return former[-1]


async def _get(connection: asyncpg.Connection, name: str, version: str) -> ModelRecord:
    row = await connection.fetchrow(f"{_SELECT} WHERE model_name = $1 AND model_version = $2", name, version)
    if row is None:
        known = await connection.fetch(
            "SELECT model_version FROM ml_models WHERE model_name = $1 ORDER BY created_at DESC LIMIT 5", name
        )
        versions = tuple(row["model_version"] for row in known)
        newest = f"the newest are {', '.join(versions)}" if versions else "none is registered"
        raise NotFoundError(f"there is no model {name} {version}; {newest}", versions)
    return _record(row)


def _argument(record: ModelRecord, name: str) -> object:
    value = getattr(record, name)
    return dict(value) if name in {"hyperparameters", "feature_schema", "training_metrics"} else value


def _record(row: Mapping[str, Any]) -> ModelRecord:
    values = dict(row)
    return ModelRecord(**values | {"deployment_status": DeploymentStatus(values["deployment_status"])})
