"""How much each tier may ask: what `RIFTLINE_RATE_LIMITS` says, or the defaults."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from stores.domain.rate_limits import RateLimit, Window
from stores.domain.users import SubscriptionTier
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "RIFTLINE_RATE_LIMITS"
OFF = "off"
ANONYMOUS = "anonymous"
TIERS = (ANONYMOUS, *SubscriptionTier)
_WINDOWS = (Window.MINUTE, Window.HOUR, Window.DAY)
_DEFAULTS = {  # tokens per minute, hour and day; one question is one token
    ANONYMOUS: (600, 12_000, 100_000),
    SubscriptionTier.FREE: (1_000, 50_000, 500_000),  # minute and hour of an API key in the design's documents
    SubscriptionTier.PREMIUM: (6_000, 200_000, 2_000_000),
    SubscriptionTier.PRO: (60_000, 2_000_000, 20_000_000),
    SubscriptionTier.ENTERPRISE: (600_000, 36_000_000, 100_000_000),  # 10,000 a second, what an instance is to serve
}

Limits = tuple[RateLimit, ...]


def parse_limits(text: str) -> Mapping[str, Limits] | None:
    """The buckets of each tier; None for ``off``, which counts nothing.

    A text changes the tiers that it names: ``anonymous=60/1000/5000,free=…``, tokens per minute, hour and day. Raises
    InvalidError naming the variable.
    """
    if text == OFF:
        return None
    tokens: dict[str, tuple[int, ...]] = dict(_DEFAULTS)
    for part in filter(None, text.split(",")):
        tier, _, given = part.strip().partition("=")
        numbers = given.split("/")
        if tier not in TIERS or len(numbers) != len(_WINDOWS) or not all(map(_is_count, numbers)):
            raise InvalidError(
                f"{VARIABLE} has {part[:60]!r}; give {OFF} or tier=minute/hour/day of {', '.join(TIERS)}", VARIABLE
            )
        tokens[tier] = tuple(map(int, numbers))
    try:
        return MappingProxyType({tier: _limits(of_tier) for tier, of_tier in tokens.items()})
    except InvalidError as error:
        raise InvalidError(f"{VARIABLE}: {error}", VARIABLE) from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _limits(tokens: tuple[int, ...]) -> Limits:
    return tuple(RateLimit(window, count) for window, count in zip(_WINDOWS, tokens, strict=True))
