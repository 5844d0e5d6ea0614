"""Short tokens in place of keys: signed JWTs (RFC 7519), so that what is sent most often ends by itself soon."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import jwt

from serve_apps.refusals import UnauthenticatedError
from stores.domain.api_keys import Scope
from stores.domain.users import SubscriptionTier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stores.domain.api_keys import ApiKey
    from stores.token_secrets import TokenSecret

LIFETIME_S = 900
ALGORITHM = "HS256"
ISSUER = "riftline"
REREAD_S = 5.0  # how soon a rotated secret is seen
_REQUIRED = ["exp", "iat", "iss", "sub", "tier", "scope"]


class TokenClaims(NamedTuple):
    """What a valid token says."""

    api_key_id: UUID
    user_id: UUID | None
    tier: SubscriptionTier
    scopes: frozenset[Scope]
    expires_at: datetime


class AccessTokens:
    """Issues tokens by the current secret and reads those of the current and the former ones."""

    def __init__(
        self,
        read_secrets: Callable[[], Sequence[TokenSecret]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_secrets = read_secrets
        self._now = now
        self._clock = clock
        self._secrets: Sequence[TokenSecret] = ()
        self._read_at = -REREAD_S

    def issue(self, key: ApiKey) -> str:
        """A token for who showed ``key``; it ends after LIFETIME_S, or with the key."""
        now = self._now()
        ends = now + timedelta(seconds=LIFETIME_S)
        current = self._fresh()[0]
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": str(key.api_key_id),
            "iat": now,
            "exp": ends if key.expires_at is None else min(ends, key.expires_at),
            "tier": str(key.tier),
            "scope": " ".join(key.scopes),  # as RFC 8693, section 4.2
        }
        if key.user_id is not None:
            claims["user_id"] = str(key.user_id)
        return jwt.encode(claims, current.secret, ALGORITHM, headers={"kid": current.key_id})

    def claims_of(self, token: str) -> TokenClaims:
        """What the token says. Raises UnauthenticatedError, which never quotes it."""
        try:
            secret = self._secret_of(jwt.get_unverified_header(token).get("kid"))
            # the clock is ours, so that time can be passed in
            options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, secret, algorithms=[ALGORITHM], issuer=ISSUER, options=options)
            user_id = claims.get("user_id")
            found = TokenClaims(
                UUID(claims["sub"]),
                UUID(user_id) if user_id else None,
                SubscriptionTier(claims["tier"]),
                frozenset(Scope(scope) for scope in claims["scope"].split()),
                datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError):
            raise UnauthenticatedError.invalid("this token is not valid; ask for a new one") from None
        if found.expires_at <= self._now():
            raise UnauthenticatedError.invalid("this token has ended; ask for a new one")
        return found

    def _secret_of(self, key_id: object) -> str:
        for secret in (*self._secrets, *self._fresh()):
            if secret.key_id == key_id:
                return secret.secret
        raise UnauthenticatedError.invalid("this token was signed with a secret that is no longer accepted")

    def _fresh(self) -> Sequence[TokenSecret]:
        now = self._clock()
        if now - self._read_at >= REREAD_S:
            self._secrets, self._read_at = self._read_secrets(), now
        return self._secrets
