"""The trail of what was done, in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stores.domain.audit import AuditEvent, AuditPage, AuditQuery, check_page_size
from stores.domain.time_ids import moment_of

if TYPE_CHECKING:
    from uuid import UUID

    from stores.postgres.pool import Pool

# ruff: noqa: S608 — every name below is a field of our own class
_COLUMNS = tuple(field.name for field in fields(AuditEvent))
_LIST = ", ".join(_COLUMNS)
_CONDITIONS = {
    "user_id": "user_id = {}",
    "action": "action = {}",
    "resource_type": "resource_type = {}",
    "resource_id": "resource_id = {}",
    "since": "created_at >= {}",
    "until": "created_at < {}",
}
INSERT = (
    f"INSERT INTO audit_logs ({_LIST}, created_at)"
    f" VALUES ({', '.join(f'${number}' for number in range(1, len(_COLUMNS) + 2))}) ON CONFLICT DO NOTHING"
)


class PostgresAuditLog:
    """`AuditLog` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, event: AuditEvent) -> None:
        """Store an event."""
        async with self._pool.transaction() as connection:
            await connection.execute(INSERT, *(getattr(event, name) for name in _COLUMNS), event.created_at)

    async def search(self, query: AuditQuery, limit: int, after: UUID | None = None) -> AuditPage:
        """The newest events that the query asks for."""
        check_page_size(limit)
        statement, arguments = search_statement(query, limit, after)
        rows = await self._pool.read(lambda connection: connection.fetch(statement, *arguments))
        events = tuple(AuditEvent(**dict(row)) for row in rows[:limit])
        return AuditPage(events, events[-1].log_id if len(rows) > limit else None)


def search_statement(query: AuditQuery, limit: int, after: UUID | None) -> tuple[str, list[Any]]:
    """The statement of a page and its arguments. It asks for one event more, which tells whether there is more."""
    arguments: list[Any] = []
    conditions: list[str] = []
    for name, condition in _CONDITIONS.items():
        if getattr(query, name) is not None:
            arguments.append(getattr(query, name))
            conditions.append(condition.format(f"${len(arguments)}"))
    if after is not None:
        arguments += [moment_of(after, "after"), after]
        at, log_id = f"${len(arguments) - 1}", f"${len(arguments)}"
        conditions.append(f"(created_at, log_id) < ({at}, {log_id}) AND created_at <= {at}")  # the latter prunes
    arguments.append(limit + 1)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    order = f"ORDER BY created_at DESC, log_id DESC LIMIT ${len(arguments)}"
    return f"SELECT {_LIST} FROM audit_logs {where}{order}", arguments
