"""The names of actors: written and read only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMESPACE = "riftline"
_SHARD = "feature-shard"


def shard_names(count: int, code_version: str) -> tuple[str, ...]:
    """The names of so many feature shards. The code is part of them, their number is not: a name keeps its keys."""
    return tuple(f"{_SHARD}-{index}-{code_version[:8]}" for index in range(count))


def ring_of(names: Iterable[str], code_version: str) -> tuple[str, ...]:
    """The ring of the feature shards of this code: those among the names of living actors, in one order everywhere."""
    return tuple(sorted(name for name in names if is_shard_name(name) and name.endswith(f"-{code_version[:8]}")))


def is_shard_name(name: str) -> bool:
    """Whether an actor of this name is a feature shard, of whatever code."""
    return name.startswith(f"{_SHARD}-")
