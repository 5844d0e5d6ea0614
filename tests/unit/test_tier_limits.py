"""`RIFTLINE_RATE_LIMITS`: which tier may ask how much."""

from __future__ import annotations

import pytest

from stores.domain.quotas import TIERS, parse_limits
from stores.errors import InvalidError


def _tokens(text: str, tier: str) -> list[int]:
    limits = parse_limits(text)
    assert limits is not None
    return [limit.tokens for limit in limits[tier]]


def test_every_tier_has_limits_and_a_longer_window_holds_more() -> None:
    """A day's bucket smaller than a minute's would make the minute's idle; a dearer tier has more of each."""
    of_tiers = [_tokens("", tier) for tier in TIERS]
    assert all(numbers == sorted(numbers) for numbers in of_tiers)
    assert of_tiers == sorted(of_tiers)


def test_a_text_changes_the_tiers_that_it_names() -> None:
    """The others keep their defaults, and nothing is counted when it is off."""
    text = "anonymous=60/600/1000,pro=7/8/9"
    assert _tokens(text, "anonymous") == [60, 600, 1000]
    assert _tokens(text, "pro") == [7, 8, 9]
    assert _tokens(text, "free") == _tokens("", "free")
    assert parse_limits("off") is None


@pytest.mark.parametrize(
    "text",
    ["on", "anonymous", "anonymous=1/2", "gold=1/2/3", "free=1/2/x", "free=-1/2/3", "free=0/1/1", "free=9/9/999999999"],
)
def test_a_wrong_text_names_the_variable(text: str) -> None:
    """And says how it is written."""
    with pytest.raises(InvalidError) as refused:
        parse_limits(text)
    assert refused.value.field == "RIFTLINE_RATE_LIMITS"
