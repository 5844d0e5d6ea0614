"""What a replica answers with, from hand-written parts: neither part being away keeps the other from being renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from serve_apps.state import ServingState, checks
from stores.errors import TransientError

if TYPE_CHECKING:
    from actors.feature_view import FeatureView
    from stores.lake.artifacts import ArtifactStore
    from stores.postgres.models import ModelRegistry


class AwayRegistry:
    """A registry whose database does not answer."""

    async def production(self, _: str) -> None:
        """Fail as the adapter does."""
        raise TransientError("PostgreSQL does not answer")


class EmptyRegistry:
    """A registry without a released model."""

    async def production(self, _: str) -> None:
        """Find nothing."""


class Feed:
    """A feed that gives what it was made with, once."""

    def __init__(self, *given: FeatureView | Exception) -> None:
        self._given = list(given)

    async def newer_than(self, _: FeatureView | None) -> FeatureView | None:
        """The next thing, or nothing newer."""
        given = self._given.pop(0) if self._given else None
        if isinstance(given, Exception):
            raise given
        return given


VIEW = cast("FeatureView", object())


def _state(registry: Any, feed: Feed) -> ServingState:
    return ServingState(cast("ModelRegistry", registry), cast("ArtifactStore", None), feed)


async def test_features_are_renewed_while_the_registry_is_away() -> None:
    """An outage of the database does not make the features stale."""
    state = _state(AwayRegistry(), Feed(VIEW))
    with pytest.raises(TransientError, match="PostgreSQL"):
        await state.refresh()
    assert state.view is VIEW


async def test_the_old_view_stays_while_the_shards_are_away() -> None:
    """What was known goes on being answered with."""
    state = _state(EmptyRegistry(), Feed(VIEW, TransientError("a shard restarts")))
    await state.refresh()
    with pytest.raises(TransientError, match="restarts"):
        await state.refresh()
    assert state.view is VIEW


def test_nothing_is_ready_before_it_is_loaded() -> None:
    """Each missing part says what is to be done."""
    found = checks(_state(EmptyRegistry(), Feed()), [("database", "ok")])
    assert found["database"] == "ok"
    assert "riftline train" in found["model"]
    assert "riftline ingest" in found["features"]
