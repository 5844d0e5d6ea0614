"""Tokens: what is signed is read back, and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.access_tokens import LIFETIME_S, REREAD_S, AccessTokens
from serve_apps.refusals import UnauthenticatedError
from stores.domain.api_keys import ApiKey, Scope, digest_of
from stores.domain.users import SubscriptionTier
from stores.token_secrets import TokenSecret

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
OLD, NEW = TokenSecret("old", "o" * 32), TokenSecret("new", "n" * 32)
KEY = ApiKey(
    name="bot",
    prefix="abcd1234",
    digest=digest_of("x"),
    tier=SubscriptionTier.PRO,
    scopes=(Scope.PREDICT, Scope.READ),
    created_at=NOON,
    user_id=UUID(int=7),
)


class Desk:
    """A replica's tokens, its clock and the secrets it finds."""

    def __init__(self, *secrets: TokenSecret) -> None:
        self.now = NOON
        self.secrets = list(secrets)
        self.tokens = AccessTokens(lambda: tuple(self.secrets), lambda: self.now, self._clock)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def _clock(self) -> float:
        return (self.now - NOON).total_seconds()


def test_a_token_says_what_its_key_may() -> None:
    """Every claim comes back, until the moment of its end."""
    desk = Desk(NEW)
    token = desk.tokens.issue(KEY)
    claims = desk.tokens.claims_of(token)
    assert (claims.api_key_id, claims.user_id) == (KEY.api_key_id, KEY.user_id)
    assert (claims.tier, claims.scopes) == (SubscriptionTier.PRO, frozenset(KEY.scopes))
    desk.advance(LIFETIME_S - 1)
    assert desk.tokens.claims_of(token) == claims
    desk.advance(1)
    with pytest.raises(UnauthenticatedError, match="ended"):
        desk.tokens.claims_of(token)


def test_a_token_does_not_outlive_its_key() -> None:
    """It ends with the key that was shown for it."""
    desk = Desk(NEW)
    ends = NOON + timedelta(seconds=60)
    assert desk.tokens.claims_of(desk.tokens.issue(replace(KEY, expires_at=ends))).expires_at == ends


def test_a_rotated_secret_is_seen_and_the_former_one_goes_on() -> None:
    """A replica that has not read the new secret yet finds it by the token's key id; a dropped one is refused."""
    ahead, behind = Desk(OLD), Desk(OLD)
    before = ahead.tokens.issue(KEY)
    behind.tokens.claims_of(before)
    for desk in (ahead, behind):
        desk.secrets = [NEW, OLD]
        desk.advance(REREAD_S)
    after = ahead.tokens.issue(KEY)
    assert jwt.get_unverified_header(after)["kid"] == "new"
    assert behind.tokens.claims_of(after).api_key_id == KEY.api_key_id
    assert behind.tokens.claims_of(before).api_key_id == KEY.api_key_id
    strange = Desk(NEW)
    with pytest.raises(UnauthenticatedError, match="no longer"):
        strange.tokens.claims_of(before)


def _forged(**changes: Any) -> str:
    claims = {
        "iss": "riftline",
        "sub": str(KEY.api_key_id),
        "iat": NOON,
        "exp": NOON + timedelta(1),
        "tier": "pro",
        "scope": "read",
    }
    secret, algorithm = changes.pop("secret", NEW.secret), changes.pop("algorithm", "HS256")
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(kept, secret, algorithm, headers={"kid": NEW.key_id})


def test_the_forger_would_succeed_with_the_secret() -> None:
    """So what the next test changes is what is refused."""
    assert Desk(NEW).tokens.claims_of(_forged()).scopes == {Scope.READ}


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "x" * 32},
        {"secret": None, "algorithm": "none"},
        {"algorithm": "HS512", "secret": "n" * 64},
        {"iss": "another"},
        {"sub": "me"},
        {"tier": "owner"},
        {"scope": "everything"},
        {"scope": 7},
        {"exp": None},
        {"sub": None},
        {"exp": NOON},
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_forged_token_is_refused(changes: dict[str, Any]) -> None:
    """Another secret, no signature, another issuer, claims that are missing or mean nothing."""
    with pytest.raises(UnauthenticatedError) as refused:
        Desk(NEW).tokens.claims_of(_forged(**changes))
    assert "error=" in refused.value.headers["WWW-Authenticate"]


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    """Whatever is sent is refused in one way."""
    with pytest.raises(UnauthenticatedError):
        Desk(NEW).tokens.claims_of(text)
