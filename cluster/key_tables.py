"""How API keys are shown to people: a new one this once, all of them without their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.show import people, print_table
from stores.domain.api_keys import KEY_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from stores.domain.api_keys import ApiKey


def show_new_key(secret: str, key: ApiKey) -> None:
    """The key itself, which is shown nowhere else, and what it may."""
    people.print(secret, highlight=False, markup=False, soft_wrap=True)
    ends = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"
    said = f"Keep it now: it cannot be shown again. {key.name}: {key.tier}, {', '.join(key.scopes)}, {ends}."
    people.print(said, highlight=False, markup=False)


def show_keys(keys: Sequence[ApiKey], now: datetime) -> None:
    """One line per key."""
    if not keys:
        people.print("There is no API key yet; make one with `riftline keys create NAME`.")
        return
    rows = [
        (
            f"{KEY_MARK}{key.prefix}",
            key.name,
            state_of(key, now),
            str(key.tier),
            " ".join(key.scopes),
            _minute(key.created_at),
            _minute(key.expires_at),
            _minute(key.last_used_at),
        )
        for key in keys
    ]
    print_table("keys", ("key", "name", "state", "tier", "scopes", "made", "ends", "last used"), rows)


def state_of(key: ApiKey, now: datetime) -> str:
    """Whether the key is live, in one word."""
    if key.revoked_at is not None:
        return "revoked"
    return "ended" if key.expires_at is not None and key.expires_at <= now else "live"


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
