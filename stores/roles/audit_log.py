"""The trail of what was done, for security and compliance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from stores.domain.audit import AuditEvent, AuditPage, AuditQuery


class AuditLog(Protocol):
    """Events that are added and never changed: the server itself refuses. They leave by whole months alone."""

    async def record(self, event: AuditEvent) -> None:
        """Store an event; durable when it returns. Repeat with the same ``log_id``: it is not doubled.

        Raises TransientError when nothing was stored, OutcomeUnknownError when it may have been.
        """
        ...

    async def search(self, query: AuditQuery, limit: int, after: UUID | None = None) -> AuditPage:
        """The newest ``limit`` events that the query asks for; ``after`` is ``next_after`` of the page before.

        What is recorded between two pages moves none of them: no event of an older moment is missed or given twice.
        """
        ...
