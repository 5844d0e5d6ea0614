"""What was asked of the API, call by call and day by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores.domain.checks import MAX_BIGINT, MAX_INTEGER, check_address, check_aware, check_number, check_text
from stores.domain.time_ids import moment_of

if TYPE_CHECKING:
    from datetime import date, datetime
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

MAX_ENDPOINT = 255
MAX_METHOD = 10
MAX_RATE_LIMIT_KEY = 255
MAX_USER_AGENT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One answered request. ``usage_id`` is a `new_time_id` of its moment: it is stored once, however often sent.

    ``endpoint`` is the route's pattern (``/predictions/{id}``), not the path: it groups. ``window_start`` and
    ``requests_in_window`` tell what the rate limiter saw.
    """

    usage_id: UUID
    endpoint: str
    http_method: str
    status_code: int
    user_id: UUID | None = None
    api_key_id: UUID | None = None
    response_time_ms: float | None = None
    rate_limit_key: str | None = None
    requests_in_window: int | None = None
    window_start: datetime | None = None
    client_ip: IPv4Address | IPv6Address | None = None
    user_agent: str | None = None
    request_size_bytes: int | None = None
    response_size_bytes: int | None = None

    def __post_init__(self) -> None:
        moment_of(self.usage_id, "usage_id")
        check_text(self.endpoint, "endpoint", MAX_ENDPOINT, blank=False)
        check_text(self.http_method, "http_method", MAX_METHOD, blank=False)
        check_number(self.status_code, "status_code", 100, 599)
        check_number(self.response_time_ms, "response_time_ms", 0, MAX_INTEGER)
        check_address(self.client_ip, "client_ip")
        check_text(self.user_agent, "user_agent", MAX_USER_AGENT)
        check_number(self.request_size_bytes, "request_size_bytes", 0, MAX_BIGINT)
        check_number(self.response_size_bytes, "response_size_bytes", 0, MAX_BIGINT)
        if self.rate_limit_key is not None:
            check_text(self.rate_limit_key, "rate_limit_key", MAX_RATE_LIMIT_KEY)
        if self.requests_in_window is not None:
            check_number(self.requests_in_window, "requests_in_window", 0, MAX_INTEGER)
        if self.window_start is not None:
            check_aware(self.window_start, "window_start")

    @property
    def created_at(self) -> datetime:
        """The moment inside the id."""
        return moment_of(self.usage_id, "usage_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyUsage:
    """The calls of one user on one day of UTC. ``errors`` are answers of 400 and above."""

    day: date
    requests: int
    errors: int
    mean_response_time_ms: float | None
    request_bytes: int
    response_bytes: int
