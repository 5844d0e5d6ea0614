"""A login that lasts. Its token is a secret of the client; stores know the token's hash alone."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stores.domain.checks import check_address, check_aware, check_object, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

MAX_FINGERPRINT = 255
MAX_USER_AGENT = 2048
_SESSION_ID = re.compile(r"[0-9a-f]{64}")


def new_session_token() -> str:
    """A fresh secret of 256 bits for the client to show. It is never stored."""
    return secrets.token_urlsafe(32)


def session_id_of(token: str) -> str:
    """The session's public id: the sha256 of its token in hex. Who reads it cannot pose as the user."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def check_session_id(session_id: str | None, field: str) -> None:
    """Refuse what is no hash, above all a token that would be stored by mistake."""
    if session_id is not None and not _SESSION_ID.fullmatch(session_id):
        raise InvalidError(f"{field} is no session id; give session_id_of(token)", field)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSession:
    """One login of a user on one device, from ``created_at`` until ``expires_at``, which activity moves."""

    session_id: str
    user_id: UUID
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    device_fingerprint: str | None = None
    ip_address: IPv4Address | IPv6Address | None = None
    user_agent: str | None = None
    location_data: dict[str, Any] | None = None
    is_active: bool = True

    def __post_init__(self) -> None:
        check_session_id(self.session_id, "session_id")
        for name in ("created_at", "last_activity_at", "expires_at"):
            check_aware(getattr(self, name), name)
        if self.expires_at <= self.created_at:
            raise InvalidError("expires_at is not after created_at; give a later time", "expires_at")
        check_text(self.device_fingerprint, "device_fingerprint", MAX_FINGERPRINT)
        check_address(self.ip_address, "ip_address")
        check_text(self.user_agent, "user_agent", MAX_USER_AGENT)
        if self.location_data is not None:
            check_object(self.location_data, "location_data")
