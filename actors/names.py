"""The names of actors: written and read only here."""

from __future__ import annotations

NAMESPACE = "riftline"
_SHARD = "feature-shard"


def shard_names(count: int, code_version: str) -> tuple[str, ...]:
    """The names of all feature shards. Ring size and code are part of them: shards of another ring are other actors."""
    return tuple(f"{_SHARD}-{index}-of-{count}-{code_version[:8]}" for index in range(count))


def is_shard_name(name: str) -> bool:
    """Whether an actor of this name is a feature shard, of whatever ring."""
    return name.startswith(f"{_SHARD}-")
