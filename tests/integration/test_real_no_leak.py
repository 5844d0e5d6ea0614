"""No same-game column enters a pre-match feature, on the real top-league games of spring 2026."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.cleaning import clean_row
from pipelines.resolve import resolve
from pipelines.silver_rows import to_arrow
from pipelines.snapshots import take_snapshots
from pipelines.sources import read_source
from stores.features.schema import LINEUP_FACTORS, TEAM_STATE
from stores.lake.tables import PLAYER_PERFORMANCE, STAMP

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipelines.snapshots import Snapshots

pytestmark = pytest.mark.real_data

FROM, TO = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
CUTS = 12  # spread over the two months; each takes a second or two
TABLES = ("players", "teams", "tournaments")
COUNTS = ("kills", "deaths", "assists", "team_kills", "opponent_kills")
AVERAGE = {f"league_{name}" for name in (*TEAM_STATE, *LINEUP_FACTORS)}  # what an average team is does not move
COUNTED = {"games_known", "games_30d"}  # the games are as many, whatever happens in them
ABSENT = ("damage_share", "vision_per_minute")  # from this source's rows
OUTCOMES = (*COUNTS, "damage_share", "vision_score", "champion")


@pytest.fixture(scope="module")
def silver(real_data_dir: Path) -> pl.DataFrame:
    """player_performance of the top leagues, April and May 2026."""
    source = read_source(str(real_data_dir / "lol" / "players_2026.parquet"))
    origin = {"source": source.source, "source_sha256": source.sha256, "layout": str(source.layout)}
    rows = [
        {**origin, "row_number": row.row_number, "ingested_at": TO, **clean_row(source.layout, row.payload)}
        for row in source.rows
    ]
    players = resolve(pl.DataFrame(rows, schema=CANDIDATE_SCHEMA), "test").players
    return players.filter(pl.col("started_at").is_between(FROM, TO))


def otherwise(silver: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The same games, but all that start at the cut or later went another way in everything."""
    later = pl.col("started_at") >= cut
    played = silver.filter(later).with_columns(
        *(pl.col(name).shuffle(at) for at, name in enumerate(OUTCOMES)),
        ~pl.col("won"),
        pl.col("duration_seconds") + 60 + pl.col("match_id").hash() % 1200,
    )
    counted = [pl.col(name) + 1 for name in COUNTS]
    return pl.concat([silver.filter(~later), played.with_columns(counted).cast(silver.schema)])


def snapshots_of(silver: pl.DataFrame) -> Snapshots:
    """All snapshots of these rows."""
    return take_snapshots(to_arrow(silver, PLAYER_PERFORMANCE.schema))


def features(snapshots: Snapshots, until: datetime) -> dict[str, NDArray[np.int64]]:
    """The bits of each feature for the series that start until then, in all tables."""
    found: dict[str, NDArray[np.int64]] = {}
    for name in TABLES:
        table = getattr(snapshots, name)
        kept = table.filter(pc.field("series_id").is_valid() & (pc.field("as_of") <= pa.scalar(until, STAMP)))
        names = [field.name for field in kept.schema if pa.types.is_floating(field.type)]
        found |= {f"{name}.{one}": kept[one].to_numpy(zero_copy_only=False).view(np.int64) for one in names}
    return found


def test_nothing_that_happens_later_changes_a_feature(silver: pl.DataFrame) -> None:
    """With a cut at the start of series through April and May, no series up to it sees a bit of what came after."""
    starts = silver.group_by("series_id").agg(pl.col("started_at").min())["started_at"].unique().sort().to_list()
    assert len({start.date() for start in starts}) > 40
    truth = snapshots_of(silver)
    chosen = starts[:: -(-len(starts) // CUTS)]
    for at, cut in enumerate(chosen):
        changed = snapshots_of(otherwise(silver, cut))
        before, after = features(truth, cut), features(changed, cut)
        assert all(len(values) > 0 for values in before.values())
        assert [name for name, values in before.items() if not np.array_equal(values, after[name])] == [], cut
        if at == 1:  # what is perturbed is what features are made of
            before, after = features(truth, starts[-1]), features(changed, starts[-1])
            still = {name.partition(".")[2] for name, values in before.items() if np.array_equal(values, after[name])}
            assert {name for name in still if not name.startswith(ABSENT)} == AVERAGE | COUNTED
