"""Keys of Redis: every one belongs to a declared family, and no text from outside changes its shape."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import InvalidError
from stores.redis_store import keys

USER = UUID("550e8400-e29b-41d4-a716-446655440000")
BUILT = {
    "session": keys.session("abc123"),
    "user_sessions": keys.user_sessions(USER),
    "revoked": keys.revoked_sessions(USER),
    "prediction": keys.prediction("sha256_abc123"),
    "curve": keys.curve("sha256_abc123"),
    "user_predictions": keys.user_predictions(USER),
    "player_features": keys.player_features("Faker"),
    "team_features": keys.team_features("T1"),
    "tournament": keys.tournament("LCK"),
    "feature_shard": keys.feature_shard("feature-shard-0-ab12cd34"),
    "user_rate": keys.user_rate(USER, "minute"),
    "api_key_rate": keys.api_key_rate("key_abc123", "hour"),
    "address_rate": keys.address_rate(IPv4Address("192.168.1.100"), "minute"),
    "idempotency": keys.idempotency("ab" * 32),
    "invalidation": keys.INVALIDATION_CHANNEL,
}
PLAIN = re.compile(r"[A-Za-z0-9_.~%-]+")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60).filter(str.strip)


@pytest.mark.parametrize("family", [family for family in keys.FAMILIES if family.name in BUILT], ids=lambda f: f.name)
def test_keys_have_the_pattern_of_their_family(family: keys.KeyFamily) -> None:
    """What is built looks as declared: the part in braces is one escaped text, the window a window."""
    pattern = re.escape(family.pattern).replace(r"\{window\}", "(minute|hour|day)")
    pattern = re.sub(r"\\{[a-z]+\\}", r"\\{[A-Za-z0-9_.~%-]+\\}", pattern)
    assert re.fullmatch(pattern, BUILT[family.name])


def test_families_are_declared_once() -> None:
    """Names and patterns are unique, lifetimes positive, and every builder's family is declared."""
    names = [family.name for family in keys.FAMILIES]
    patterns = [family.pattern for family in keys.FAMILIES]
    assert len(set(names)) == len(names)
    assert len(set(patterns)) == len(patterns)
    assert set(BUILT) <= set(names)
    assert all(family.ttl_s is None or family.ttl_s > 0 for family in keys.FAMILIES)


@given(text=texts)
def test_no_text_leaves_its_place(text: str) -> None:
    """Whatever the text, the key has one hash tag, and in it nothing that means anything to Redis."""
    for key, prefix in (
        (keys.session(text), "session:"),
        (keys.prediction(text), "prediction:"),
        (keys.player_features(text), "features:player:"),
        (keys.tournament(text), "context:tournament:"),
    ):
        assert key.startswith(f"{prefix}{{")
        assert key.endswith("}")
        assert PLAIN.fullmatch(key[len(prefix) + 1 : -1])


@given(one=texts, other=texts)
def test_two_texts_have_two_keys(one: str, other: str) -> None:
    """Exact ids never share a key; names share one exactly when they are spellings of one name."""
    assert (keys.prediction(one) == keys.prediction(other)) == (one == other)
    assert (keys.api_key_rate(one, "day") == keys.api_key_rate(other, "day")) == (one == other)


@given(name=texts)
def test_a_names_key_is_stable(name: str) -> None:
    """The spelling that a key holds leads to the same key again, as do other cases and white space."""
    key = keys.team_features(name)
    assert keys.team_features(f" {name}\t") == key


def test_keys_of_one_subject_share_their_tag() -> None:
    """The windows of one subject, and a user's index and revocation, lie in one slot of a cluster."""
    address = IPv6Address("2001:db8::1")
    for group in (
        [keys.user_rate(USER, window) for window in ("minute", "hour", "day")],
        [keys.api_key_rate("k", window) for window in ("minute", "hour", "day")],
        [keys.address_rate(address, window) for window in ("minute", "hour", "day")],
        [keys.user_sessions(USER), keys.revoked_sessions(USER)],
    ):
        assert len({re.findall(r"\{(.*?)\}", key)[0] for key in group}) == 1


def test_secrets_are_hashed() -> None:
    """An API key cannot be read from a key of Redis."""
    assert "key_abc123" not in keys.api_key_rate("key_abc123", "day")


@pytest.mark.parametrize("text", ["", " ", "\0", "\ud800", "x" * 257])
def test_texts_that_no_server_should_see_are_refused(text: str) -> None:
    """Blank, over-long, NUL and broken texts are refused by the field's name."""
    for build in (keys.session, keys.prediction, keys.player_features):
        with pytest.raises(InvalidError) as raised:
            build(text)
        assert raised.value.field
