"""How much someone may ask: token buckets for users, API keys and addresses, per minute, hour and day."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.domain.checks import check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

MAX_TOKENS = 100_000_000  # per window: a day in milliseconds times this is counted without a rounding
MAX_API_KEY = 256


class Window(StrEnum):
    """The time in which an empty bucket fills up."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """Its length."""
        return _SECONDS[self]


_SECONDS = {Window.MINUTE: 60, Window.HOUR: 3600, Window.DAY: 86400}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket that holds ``tokens`` and fills at ``tokens`` per window, continuously; at first it is full."""

    window: Window
    tokens: int

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MAX_TOKENS:
            raise InvalidError(f"tokens is {self.tokens}; give 1 to {MAX_TOKENS}", "tokens")


@dataclass(frozen=True, slots=True)
class Demand:
    """What one subject asks of its buckets. ``limits`` names each window once.

    A subject is a user (UUID), an API key (text) or an address. Addresses of one IPv6 network /64 are one subject,
    because one client has all of them.
    """

    subject: UUID | str | IPv4Address | IPv6Address
    limits: tuple[RateLimit, ...]

    def __post_init__(self) -> None:
        if isinstance(self.subject, str):
            check_text(self.subject, "subject", MAX_API_KEY, blank=False)
        if not self.limits:
            raise InvalidError("limits is empty; give at least one window", "limits")
        if len({limit.window for limit in self.limits}) != len(self.limits):
            raise InvalidError("limits names a window twice; give each once", "limits")

    def check_cost(self, cost: int) -> None:
        """Refuse what no bucket could ever hold."""
        most = min(limit.tokens for limit in self.limits)
        if not 0 <= cost <= most:
            raise InvalidError(f"a cost of {cost} tokens is never allowed here; give 0 to {most}", "cost")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket after a call. ``remaining`` counts whole tokens; ``reset_s`` is the time until it is full."""

    window: Window
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a demand was granted, in full for a take, in part for a lease; in ``buckets`` is what is left.

    ``retry_after_s`` is 0 when it was granted, else the time after which the same demand alone would be.
    """

    granted: int
    allowed: bool
    retry_after_s: float
    buckets: tuple[Bucket, ...]
