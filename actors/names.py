"""The names of actors: written and read only here."""

from __future__ import annotations

NAMESPACE = "riftline"
_SHARD = "feature-shard"


def shard_names(count: int) -> tuple[str, ...]:
    """The names of all feature shards, counted from 0."""
    return tuple(f"{_SHARD}-{index}" for index in range(count))
