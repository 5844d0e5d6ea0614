"""Consistent hashing: the same owner everywhere, few keys on the move, no shard with far too much."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ring import HashRing
from stores.errors import InvalidError

FOUR = ("shard-0", "shard-1", "shard-2", "shard-3")


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("oe:player:faker", "shard-2"),
        ("name:chovy", "shard-1"),
        ("LCK", "shard-2"),
        ("", "shard-0"),
        ("변우석", "shard-3"),
    ],
)
def test_an_owner_never_changes(key: str, owner: str) -> None:
    """Owners are the ones written here, in every process, on every machine and in every later version."""
    assert HashRing(FOUR).owner(key) == owner
    assert HashRing(FOUR[::-1]).owner(key) == owner


@given(st.text())
def test_one_shard_owns_everything(key: str) -> None:
    """With one shard there is nothing to choose."""
    assert HashRing(["only"]).owner(key) == "only"


@given(st.text(), st.integers(1, 12))
def test_a_new_shard_only_takes(key: str, shards: int) -> None:
    """Adding a shard leaves a key where it was, or gives it to the new shard."""
    names = [f"shard-{index}" for index in range(shards + 1)]
    after = HashRing(names).owner(key)
    assert after in {HashRing(names[:-1]).owner(key), names[-1]}


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_a_new_shard_takes_about_its_share(shards: int) -> None:
    """Of n shards the new one takes about one n-th of the keys."""
    names = [f"shard-{index}" for index in range(shards + 1)]
    before, after = HashRing(names[:-1]), HashRing(names)
    keys = [f"player-{index}" for index in range(20_000)]
    moved = sum(before.owner(key) != after.owner(key) for key in keys)
    assert moved / len(keys) == pytest.approx(1 / (shards + 1), rel=0.25)


@pytest.mark.parametrize("shards", [2, 4, 8])
def test_no_shard_has_far_more_than_its_share(shards: int) -> None:
    """The largest shard stays within a third of the mean."""
    ring = HashRing([f"feature-shard-{index}" for index in range(shards)])
    held = Counter(ring.owner(f"player-{index}") for index in range(20_000))
    assert len(held) == shards
    assert max(held.values()) < 20_000 / shards * 1.33


@pytest.mark.parametrize("shards", [(), ("a", "a")])
def test_a_ring_needs_shards_of_different_names(shards: tuple[str, ...]) -> None:
    """No shard and two of one name are refused."""
    with pytest.raises(InvalidError):
        HashRing(shards)
