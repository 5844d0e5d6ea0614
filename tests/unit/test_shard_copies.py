"""What a feature shard keeps in the hot store: the same to the bit when it is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.feature_view import FeatureView
from actors.shard_copies import TABLES, ShardCopies, ShardCopy, from_bytes, to_bytes
from actors.shard_tables import ShardTables, published, read_tables
from stores.errors import TransientError
from stores.settings import LakeSettings
from tests.unit.small_lake import history, opened, publish

if TYPE_CHECKING:
    from pathlib import Path

RING = ("shard-0", "shard-1")
NOON = datetime(2026, 3, 14, 12, 0, 0, 123457, tzinfo=UTC)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> ShardTables:
    """The rows of a small lake; some are no shard's."""
    home = tmp_path_factory.mktemp("lake")
    lake = opened(LakeSettings(f"sqlite:///{home}/catalog.db", f"file://{home}/warehouse"))
    return read_tables(lake, publish(lake, history(30)), lambda key: "T1" not in key)


def test_a_copy_is_read_as_it_was_kept(tables: ShardTables) -> None:
    """Ring, moment, snapshot, entries and every bit of the numbers."""
    copy = from_bytes(to_bytes(ShardCopy(RING, tables, NOON)))
    assert copy is not None
    assert (copy.ring, copy.confirmed_at, copy.tables.source) == (RING, NOON, tables.source)
    ours, theirs = published("shard-0", tables), published("shard-0", copy.tables)
    for part in ("players", "teams", "tournaments", "champions"):
        assert getattr(ours, part) == getattr(theirs, part)
    for part in ("player_features", "team_features", "tournament_features", "champion_features"):
        assert getattr(ours, part).tobytes() == getattr(theirs, part).tobytes()
    assert theirs.player_features.dtype == np.float64
    assert ours.recent_maps.equals(theirs.recent_maps)
    one = ours.players[0].player_id
    assert FeatureView([theirs]).recent_maps(one) == FeatureView([ours]).recent_maps(one) != ()


def test_a_copy_of_nothing(tables: ShardTables) -> None:
    """A shard that owns no key has a copy too."""
    empty = ShardTables(tables.source, *(getattr(tables, name).slice(0, 0) for name in TABLES))
    copy = from_bytes(to_bytes(ShardCopy(RING, empty, NOON)))
    assert copy is not None
    assert published("shard-0", copy.tables).player_features.shape == published("shard-0", empty).player_features.shape


def test_features_of_other_code_are_no_copy(tables: ShardTables) -> None:
    """Their numbers mean something else."""
    other = replace(tables, source=replace(tables.source, feature_version="f0-other"))
    assert from_bytes(to_bytes(ShardCopy(RING, other, NOON))) is None


def test_a_redis_that_is_away_is_told(tables: ShardTables, tmp_path: Path) -> None:
    """Neither keeping nor reading waits for it for long, and both say so."""
    copies = ShardCopies(f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(TransientError):
        copies.last("shard-0", RING)
    with pytest.raises(TransientError):
        copies.keep("shard-0", ShardCopy(RING, tables, NOON))
