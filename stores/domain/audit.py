"""What was done, by whom, to what: the trail for security and compliance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stores.domain.checks import check_address, check_aware, check_number, check_object, check_text
from stores.domain.time_ids import moment_of
from stores.domain.user_sessions import check_session_id
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

MAX_ACTION = 100
MAX_RESOURCE_TYPE = 50
MAX_USER_AGENT = 2048
MAX_ERROR_MESSAGE = 10_000
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One action and its outcome. ``log_id`` is a `new_time_id` of its moment, so that it is stored once.

    ``action`` is a name such as ``login`` or ``model_deploy``; ``session_id`` is the public one, never the token.
    """

    log_id: UUID
    action: str
    success: bool
    user_id: UUID | None = None
    resource_type: str | None = None
    resource_id: UUID | None = None
    event_data: dict[str, Any] | None = None
    ip_address: IPv4Address | IPv6Address | None = None
    user_agent: str | None = None
    session_id: str | None = None
    error_message: str | None = None

    def __post_init__(self) -> None:
        moment_of(self.log_id, "log_id")
        check_text(self.action, "action", MAX_ACTION, blank=False)
        check_text(self.resource_type, "resource_type", MAX_RESOURCE_TYPE, blank=False)
        if self.event_data is not None:
            check_object(self.event_data, "event_data")
        check_address(self.ip_address, "ip_address")
        check_text(self.user_agent, "user_agent", MAX_USER_AGENT)
        check_session_id(self.session_id, "session_id")
        check_text(self.error_message, "error_message", MAX_ERROR_MESSAGE)

    @property
    def created_at(self) -> datetime:
        """The moment inside the id."""
        return moment_of(self.log_id, "log_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which events are looked for: all that is given must hold. ``since`` is included, ``until`` is not."""

    user_id: UUID | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.action, "action", MAX_ACTION, blank=False)
        check_text(self.resource_type, "resource_type", MAX_RESOURCE_TYPE, blank=False)
        check_aware(self.since, "since")
        check_aware(self.until, "until")
        if self.resource_id is not None and self.resource_type is None:
            raise InvalidError("resource_type is missing; give it beside resource_id", "resource_type")


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some events, the newest first, and where the next page starts: None when there is no more."""

    events: tuple[AuditEvent, ...]
    next_after: UUID | None


def check_page_size(limit: int) -> None:
    """Refuse a page of nothing or of too much."""
    check_number(limit, "limit", 1, MAX_PAGE)
