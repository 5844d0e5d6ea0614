"""What a delta between two publications would save: the last series of the lake, with and without it.

Needs the lake of an earlier `riftline up`, and no server. Bytes are those that Ray moves; times are of this process.
"""

from __future__ import annotations

import os
import pickle
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.feature_view import FeatureView
from actors.published import FeatureSource
from actors.shard_tables import ShardTables, published, read_tables
from pipelines.snapshots import SILVER_COLUMNS, take_snapshots
from stores.errors import RiftlineError
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    FEATURE_VERSION,
    PLAYER_FEATURES,
    TEAM_FEATURES,
)
from stores.features.tables import PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

KINDS: Mapping[str, tuple[tuple[str, ...], Sequence[str]]] = {  # key and features of each kind
    "players": (("player_id",), PLAYER_FEATURES),
    "teams": (("team_id",), TEAM_FEATURES),
    "tournaments": (("tournament",), CONTEXT_FEATURES),
    "champions": (("champion", "position"), CHAMPION_FEATURES),
}
CELL_BYTES = 14  # row, column and number
ROUNDS = 15


def main() -> int:
    """Print what one series changes, and what the publication of a world costs."""
    try:
        lake = IcebergLake(Settings.from_env(os.environ).lake)
        silver = lake.read(PLAYER_PERFORMANCE, columns=SILVER_COLUMNS)
    except RiftlineError as error:
        print(error, file=sys.stderr)
        return 2
    last = silver.sort_by("started_at")["series_id"][-1].as_py()
    before = _tables(silver.filter(pc.not_equal(silver["series_id"], last)))
    begun = time.perf_counter()
    after = _tables(silver)
    made_s = time.perf_counter() - begun
    changed = {kind: _changed(kind, before, after) for kind in KINDS}
    for kind, (rows, cells) in changed.items():
        print(f"{kind:12} {rows.sum():5} of {len(rows):5} rows changed, {cells:6} numbers")
    part = ShardTables(after.source, *(getattr(after, kind).filter(pa.array(changed[kind][0])) for kind in KINDS))
    _print_costs("whole", after)
    _print_costs("changed rows", part)
    print(f"changed numbers alone: {CELL_BYTES * sum(cells for _, cells in changed.values()) / 1e3:.0f} kB")
    snapshot_id, shard = lake.snapshot_id(PLAYER_SNAPSHOTS), published("all", after)
    assert snapshot_id is not None  # silver has rows, so gold was made
    read_ms = _median_ms(lambda: read_tables(lake, snapshot_id, lambda _: True), 3)
    view_ms = _median_ms(lambda: FeatureView([shard]))
    print(
        f"before: gold is made in {1e3 * made_s:.0f} ms and read in {read_ms:.0f} ms; after: a view in {view_ms:.1f} ms"
    )
    return 0


def _tables(silver: pa.Table) -> ShardTables:
    """The newest rows of each kind, as a shard that owns all reads them."""
    made = take_snapshots(silver)
    newest = {}
    for kind, (key, _) in KINDS.items():
        rows = getattr(made, kind)
        newest[kind] = rows.filter(pc.is_null(rows["series_id"])).sort_by([(name, "ascending") for name in key])
    return ShardTables(FeatureSource(1, FEATURE_VERSION, pc.max(silver["started_at"]).as_py()), **newest)


def _changed(kind: str, before: ShardTables, after: ShardTables) -> tuple[NDArray[np.bool_], int]:
    """Which rows are new or have another number, and how many numbers differ."""
    key, features = KINDS[kind]
    old, new = (
        dict(zip(_keys(rows, key), np.column_stack([rows[name].to_numpy() for name in features]), strict=True))
        for rows in (getattr(before, kind), getattr(after, kind))
    )
    nothing = np.full(len(features), np.inf)
    differs = np.array([~_same(old.get(name, nothing), numbers) for name, numbers in new.items()])
    return np.any(differs, axis=1), int(differs.sum())


def _keys(rows: pa.Table, key: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in key), strict=True))


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _print_costs(name: str, tables: ShardTables) -> None:
    shard = published("all", tables)
    moved = pickle.dumps(shard, protocol=5)  # what Ray does, less its own envelope
    packed_ms = _median_ms(lambda: pickle.dumps(shard, protocol=5))
    mapped_ms = _median_ms(lambda: pickle.loads(moved))  # noqa: S301  # our own bytes
    print(f"{name}: {len(moved) / 1e3:.0f} kB, put in {packed_ms:.1f} ms, got in {mapped_ms:.1f} ms")


def _median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
