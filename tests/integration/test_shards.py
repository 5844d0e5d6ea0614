"""Feature shards as real actors: they die, come, go and lose their stores, and whoever reads has every key once."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import ray

from actors.names import NAMESPACE, is_shard_name, shard_names
from actors.ring import HashRing
from actors.shard_copies import ShardCopies, ShardCopy
from actors.shard_tables import read_tables
from cluster.shards import retire_other_shards, start_shards
from serve_apps.feature_feed import ShardFeed
from serve_apps.state import FEATURES, ServingState
from stores.clock import utc_now
from stores.code_version import code_version
from stores.errors import TransientError
from stores.features.tables import PLAYER_SNAPSHOTS
from stores.postgres import embedded as embedded_postgres
from stores.redis_store import embedded as embedded_redis
from stores.settings import Settings
from tests.unit.small_lake import history, opened, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.feature_view import FeatureView
    from actors.shard_tables import ShardTables
    from serve_apps.placement import Models
    from stores.lake.catalog import IcebergLake
    from stores.roles.model_registry import ModelRegistry

pytestmark = pytest.mark.usefixtures("ray_cluster")
PATIENCE_S = 120.0  # a new process imports everything


class NoModels:
    """A registry without a released model."""

    async def production(self, _: str) -> None:
        """Find nothing."""


class Reader:
    """What a replica does: looks for a newer view every moment, and reads the one that it has."""

    def __init__(self) -> None:
        self.state = ServingState(cast("ModelRegistry", NoModels()), cast("Models", None), ShardFeed(code_version()))
        self._keys: dict[int, list[str]] = {}  # of each snapshot

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Read until the condition holds; every view of one snapshot has the same keys, each once."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.state.trouble(FEATURES)}"
            await self.state.refresh()
            if self.has_view:
                view = self.state.view
                keys = sorted(_keys(view))
                assert len(keys) == len(set(keys))
                assert keys == self._keys.setdefault(view.source.lake_snapshot_id, keys)
            await asyncio.sleep(0.05)

    @property
    def has_view(self) -> bool:
        """Whether it can answer."""
        try:
            return self.state.view is not None
        except TransientError:
            return False

    @property
    def is_renewed(self) -> bool:
        """Whether the last look was confirmed by the lake."""
        return self.has_view and self.state.trouble(FEATURES) is None and self.state.features_age_s < 1


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder under a short path, with a PostgreSQL for the lake's catalog and a Redis."""
    folder = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    folder.chmod(0o755)  # the database's own system user passes through
    try:
        yield folder
    finally:
        for name in _living():
            ray.kill(ray.get_actor(name, namespace=NAMESPACE))
        embedded_redis.stop(folder / "redis")
        embedded_postgres.stop(folder / "pg")
        shutil.rmtree(folder)


@pytest.fixture
def settings(home: Path) -> Settings:
    """Two shards over a lake whose servers can be stopped."""
    return _settings(home, 2)


@pytest.fixture
def lake(settings: Settings) -> IcebergLake:
    """The lake, with features in it."""
    lake = opened(settings.lake)
    publish(lake, history(12))
    return lake


async def test_reads_go_on_while_shards_die_come_and_go(settings: Settings, home: Path, lake: IcebergLake) -> None:
    """Killed, added, removed, killed for good and made again: each view has the same keys and numbers, each once."""
    start_shards(settings)
    reader = Reader()
    await reader.until(lambda: reader.is_renewed, "the first view")
    first = reader.state.view
    numbers = _numbers(first)

    before = _pids(settings)
    ray.kill(_shard(settings, 0), no_restart=False)
    await reader.until(lambda: before[0] not in _pids(settings), "another process")
    await reader.until(lambda: reader.is_renewed, "the restarted shard's word")
    assert reader.state.view is first  # it publishes what the reader has

    start_shards(_settings(home, 3))
    await reader.until(lambda: reader.state.view is not first, "the view of three shards")
    second = reader.state.view
    retire_other_shards(settings)
    assert len(_living()) == 2
    await reader.until(lambda: reader.state.view is not second, "the view of two shards again")

    third = reader.state.view
    ray.kill(_shard(settings, 1))
    await reader.until(lambda: reader.state.view is not third, "the view of the shard that is left")
    fourth = reader.state.view
    start_shards(settings)
    await reader.until(lambda: reader.state.view is not fourth, "the view of both")
    for view in (first, second, third, fourth, reader.state.view):  # also those whose owners are gone
        np.testing.assert_array_equal(_numbers(view), numbers)

    newest = publish(lake, history(16))
    await reader.until(lambda: reader.state.view.source.lake_snapshot_id == newest, "the new commit")
    assert reader.is_renewed
    assert _numbers(reader.state.view).shape == numbers.shape


async def test_shards_restart_without_the_lake_and_without_any_store(
    settings: Settings, home: Path, lake: IcebergLake
) -> None:
    """A restarted shard gives its copy, here an old one, to who has no view, and its age is told; a view is kept.

    Without Redis too there is nothing for a new reader, and nothing changes for the others.
    """
    older = lake.snapshot_id(PLAYER_SNAPSHOTS)
    newest = publish(lake, history(14))
    start_shards(settings)
    reader, ring = Reader(), shard_names(2, code_version())
    await reader.until(lambda: reader.is_renewed, "the first view")
    first, copies = reader.state.view, ShardCopies(embedded_redis.start(home / "redis"))
    assert first.source.lake_snapshot_id == newest
    with ThreadPoolExecutor(1) as beside_the_loop:
        kept = [partial(beside_the_loop.submit, copies.last, name, ring) for name in ring]
        await reader.until(lambda: all(ask().result() for ask in kept), "copies in the hot store")
    old = {name: _share(lake, cast("int", older), name, ring) for name in ring}

    lake.close()
    embedded_postgres.stop(home / "pg")
    for name, tables in old.items():
        await asyncio.to_thread(copies.keep, name, ShardCopy(ring, tables, utc_now() - timedelta(hours=1)))
    _restart_all(settings)
    fresh = Reader()
    await fresh.until(lambda: fresh.has_view, "a view of the copies")
    assert fresh.state.view.source.lake_snapshot_id == older
    assert fresh.state.warnings()[0].startswith("stale features: players and teams unconfirmed for 36")
    await fresh.until(lambda: fresh.state.trouble(FEATURES) is not None, "word of the lake's absence")
    await reader.until(lambda: reader.state.trouble(FEATURES) is not None, "word of the lake's absence")
    assert reader.state.view is first

    embedded_redis.stop(home / "redis")
    _restart_all(settings)
    late = Reader()
    await late.until(lambda: late.state.trouble(FEATURES) is not None, "word of the lake's absence")
    assert not late.has_view
    assert reader.state.view is first

    embedded_postgres.start(home / "pg")
    for one in (reader, fresh, late):
        await one.until(lambda one=one: one.is_renewed, "the lake's word")  # type: ignore[misc]
        np.testing.assert_array_equal(_numbers(one.state.view), _numbers(first))
    assert reader.state.view is first


def _settings(home: Path, shards: int) -> Settings:
    return Settings.from_env(
        {
            "RIFTLINE_HOME": str(home),
            "RIFTLINE_CATALOG_URI": embedded_postgres.start(home / "pg"),
            "RIFTLINE_FEATURE_SHARDS": str(shards),
        }
    )


def _living() -> list[str]:
    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if is_shard_name(one["name"])]


def _shard(settings: Settings, index: int) -> Any:
    return ray.get_actor(shard_names(settings.cluster.feature_shards, code_version())[index], namespace=NAMESPACE)


def _pids(settings: Settings) -> list[int]:
    shards = [_shard(settings, index) for index in range(settings.cluster.feature_shards)]
    return ray.get([shard.__ray_call__.remote(lambda _: os.getpid()) for shard in shards])


def _restart_all(settings: Settings) -> None:
    for index in range(settings.cluster.feature_shards):
        ray.kill(_shard(settings, index), no_restart=False)


def _share(lake: IcebergLake, snapshot_id: int, name: str, ring: tuple[str, ...]) -> ShardTables:
    owners = HashRing(ring)
    return read_tables(lake, snapshot_id, lambda key: owners.owner(key) == name)


def _keys(view: FeatureView) -> list[str]:
    parts: Any = (view.players, view.teams, view.tournaments, view.champions)
    return [f"{type(entry).__name__} {entry.key}" for part in parts for entry in part.entries]


def _numbers(view: FeatureView) -> np.ndarray[Any, np.dtype[np.float64]]:
    ids = sorted(entry.player_id for entry in view.players.entries)
    return np.stack([view.player_features(one) for one in ids])
