"""Keys by which programs ask. A key is shown once; stores know its digest alone.

A plain SHA-256 is right here, where a password needs a slow hash: a key ends in 256 random bits, so that nobody can try
them all, and its digest is taken on the way of a request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from stores.domain.checks import check_aware, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from stores.domain.users import SubscriptionTier

MAX_NAME = 100
KEY_MARK = "rl_live_"  # fixed, so that scanners find a key that was published by mistake
_PREFIX_LENGTH = 8  # 36^8 of them: two alike are refused by the store
_PREFIX = re.compile(r"[0-9a-z]{8}")
_KEY = re.compile(rf"{KEY_MARK}([0-9a-z]{{8}})_[A-Za-z0-9_-]{{43}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key may be used for."""

    PREDICT = "predict"
    READ = "read"
    ADMIN = "admin"  # includes the others


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key. It is live until it is revoked or ``expires_at``, and as long as its user is active."""

    name: str
    prefix: str
    digest: str = field(repr=False)
    tier: SubscriptionTier
    scopes: tuple[Scope, ...]
    created_at: datetime
    api_key_id: UUID = field(default_factory=uuid4)
    user_id: UUID | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "name", MAX_NAME, blank=False)
        if not self.name.isprintable():
            raise InvalidError("name has invisible characters; leave them out", "name")
        check_prefix(self.prefix)
        if not _DIGEST.fullmatch(self.digest):
            raise InvalidError("digest is no digest; give digest_of(key)", "digest")
        if not self.scopes or len(set(self.scopes)) != len(self.scopes):
            raise InvalidError("scopes is empty or names one twice; give each once", "scopes")
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at"):
            check_aware(getattr(self, name), name)
        if self.expires_at is not None and self.expires_at <= self.created_at:
            raise InvalidError("expires_at is not after created_at; give a later time", "expires_at")

    def has_digest(self, digest: str) -> bool:
        """Whether this is the record of the key with ``digest``, in a time that does not tell how much is right."""
        return hmac.compare_digest(self.digest, digest)


def new_key() -> str:
    """A fresh key: its mark, eight characters to know it by, and a secret of 256 bits. It is never stored."""
    alphabet = string.digits + string.ascii_lowercase
    prefix = "".join(secrets.choice(alphabet) for _ in range(_PREFIX_LENGTH))
    return f"{KEY_MARK}{prefix}_{secrets.token_urlsafe(32)}"


def prefix_of(key: str) -> str | None:
    """The part of a key that is shown to people; None for what is no key."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def digest_of(key: str) -> str:
    """The SHA-256 of a key in hex. Who reads it cannot use the key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def check_prefix(prefix: str) -> None:
    """Refuse what is no prefix, above all a whole key that would be shown by mistake; it is not quoted."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidError("prefix is none; give the eight characters that `riftline keys list` shows", "prefix")
