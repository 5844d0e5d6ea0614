"""What is written when an alias of a model moves: deployment, alias, history and audit trail, in one transaction."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from stores.domain.audit import AuditEvent
from stores.domain.models import Alias, Transition, TransitionKind
from stores.domain.time_ids import new_time_id
from stores.postgres.audit_log import INSERT as INSERT_EVENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import asyncpg

    from stores.domain.models import ModelRecord

# ruff: noqa: S608 — every name below is a field of our own class
ACTION, RESOURCE = "model_deploy", "model"  # of the audit trail
ALIASES = (
    "SELECT 'champion' AS alias, model_name, model_version FROM ml_models"
    " WHERE model_name = $1 AND deployment_status = 'production'"
    " UNION ALL SELECT alias, model_name, model_version"
    " FROM model_aliases JOIN ml_models USING (model_name, model_version)"
    " WHERE model_name = $1 AND deployment_status = 'staging'"
)
_LOCK = "SELECT 1 FROM ml_models WHERE model_name = $1 ORDER BY model_id FOR UPDATE"
_NO_ALIAS = "DELETE FROM model_aliases WHERE model_name = $1 AND model_version = $2"
_DEPRECATE = (
    "UPDATE ml_models SET deployment_status = 'deprecated', deprecated_at = $2, updated_at = $2,"
    " deployment_percentage = 0 WHERE model_name = $1 AND deployment_status = 'production'"
)
_PRODUCE = (
    "UPDATE ml_models SET deployment_status = 'production', deployed_at = $3, updated_at = $3,"
    " deployment_percentage = 100, deprecated_at = NULL WHERE model_name = $1 AND model_version = $2"
)
_STAGE = (
    "UPDATE ml_models SET deployment_status = 'staging', updated_at = $3,"
    " deployment_percentage = 0, deprecated_at = NULL WHERE model_name = $1 AND model_version = $2"
)
_ALIAS = (
    "INSERT INTO model_aliases (model_name, model_version, alias) VALUES ($1, $2, $3)"
    " ON CONFLICT (model_name, alias) DO UPDATE SET model_version = EXCLUDED.model_version"
)
_COLUMNS = tuple(field.name for field in fields(Transition))
_HISTORY = f"SELECT {', '.join(_COLUMNS)} FROM model_transitions WHERE model_name = $1 ORDER BY transition_id"
_INSERT = (
    f"INSERT INTO model_transitions ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f'${number}' for number in range(1, len(_COLUMNS) + 1))})"
)


async def lock_aliases(connection: asyncpg.Connection, name: str) -> tuple[dict[Alias, str], datetime]:
    """Wait until no other move of ``name`` is under way; the version of each alias then, and the moment."""
    await connection.execute(_LOCK, name)
    held = {Alias(row["alias"]): row["model_version"] for row in await connection.fetch(ALIASES, name)}
    return held, await connection.fetchval("SELECT clock_timestamp()")


async def move_alias(connection: asyncpg.Connection, record: ModelRecord, transition: Transition) -> None:
    """Move it to ``record`` and write down that it moved. The caller holds the lock."""
    name, version, now = transition.model_name, transition.to_version, transition.created_at
    await connection.execute(_NO_ALIAS, name, version)
    if transition.alias is Alias.CHAMPION:
        await connection.execute(_DEPRECATE, name, now)
        await connection.execute(_PRODUCE, name, version, now)
    else:
        await connection.execute(_STAGE, name, version, now)
        await connection.execute(_ALIAS, name, version, transition.alias)
    await connection.execute(_INSERT, *(getattr(transition, column) for column in _COLUMNS))
    event = _event(record, transition)
    await connection.execute(INSERT_EVENT, *(getattr(event, one.name) for one in fields(event)), event.created_at)


async def transitions_of(connection: asyncpg.Connection, name: str) -> tuple[Transition, ...]:
    """Every move of an alias of ``name``, the oldest first."""
    return tuple(_transition(row) for row in await connection.fetch(_HISTORY, name))


def _event(record: ModelRecord, transition: Transition) -> AuditEvent:
    data = asdict(transition)
    del data["created_at"]  # inside the event's id
    return AuditEvent(
        log_id=new_time_id(transition.created_at),
        action=ACTION,
        success=True,
        resource_type=RESOURCE,
        resource_id=record.model_id,
        event_data=data,
    )


def _transition(row: Mapping[str, Any]) -> Transition:
    left = row["left_alias"]
    typed = {
        "alias": Alias(row["alias"]),
        "kind": TransitionKind(row["kind"]),
        "left_alias": None if left is None else Alias(left),
    }
    return Transition(**dict(row) | typed)
