"""API keys: their form, and what a record refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.api_keys import KEY_MARK, ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.users import SubscriptionTier
from stores.errors import InvalidError

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECRET = new_key()
KEY = ApiKey(
    name="bot",
    prefix=prefix_of(SECRET) or "",
    digest=digest_of(SECRET),
    tier=SubscriptionTier.FREE,
    scopes=(Scope.PREDICT,),
    created_at=NOON,
)


def test_keys_are_marked_long_and_never_the_same() -> None:
    """Scanners know them by their mark; 43 characters of base64 carry 256 bits."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith(KEY_MARK)
        assert len(key.removeprefix(f"{KEY_MARK}{prefix_of(key)}_")) == 43


@given(st.text(max_size=80) | st.from_regex(r"rl_live_[0-9A-Za-z]{7,9}_[A-Za-z0-9_-]{40,46}", fullmatch=True))
def test_only_a_whole_key_has_a_prefix(text: str) -> None:
    """What is cut, too long or of other characters is none, and no text makes it fail."""
    prefix = prefix_of(text)
    assert prefix is None or (len(text) == len(SECRET) and text.startswith(f"{KEY_MARK}{prefix}_"))


def test_a_record_knows_its_key_and_shows_no_digest() -> None:
    """Another key's digest is not its own, and nothing printed helps to find the key."""
    assert KEY.has_digest(digest_of(SECRET))
    assert not KEY.has_digest(digest_of(new_key()))
    assert KEY.digest not in repr(KEY)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"prefix": SECRET}, "prefix"),
        ({"digest": SECRET}, "digest"),
        ({"scopes": ()}, "scopes"),
        ({"scopes": (Scope.READ, Scope.READ)}, "scopes"),
        ({"created_at": NOON.replace(tzinfo=None)}, "created_at"),
        ({"expires_at": NOON}, "expires_at"),
        ({"expires_at": NOON - timedelta(1)}, "expires_at"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_quoted(changes: dict[str, object], field: str) -> None:
    """A key that is given in a wrong place does not end in a log."""
    with pytest.raises(InvalidError) as refused:
        replace(KEY, **changes)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert SECRET not in str(refused.value)
