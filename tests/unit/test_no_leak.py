"""No same-game column enters a pre-match feature: what happens from a moment on changes nothing before it."""

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
from pipelines.season import write_season
from pipelines.silver_rows import to_arrow
from pipelines.snapshots import take_snapshots
from pipelines.sources import read_source
from stores.lake.tables import PLAYER_PERFORMANCE, STAMP
from training.dataset import TrainingSet, build_training_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipelines.snapshots import Snapshots

TABLES = ("players", "teams", "tournaments")
OUTCOMES = ("kills", "deaths", "assists", "team_kills", "opponent_kills", "damage_share", "vision_score", "champion")
SEED = 11


def candidates(folder: Path) -> Iterator[dict[str, object]]:
    """The cleaned rows of a season's files."""
    for file in sorted(folder.glob("*.csv*")):
        source = read_source(str(file))
        for row in source.rows:
            origin = {
                "source": source.source,
                "source_sha256": source.sha256,
                "layout": str(source.layout),
                "row_number": row.row_number,
                "ingested_at": datetime(2026, 6, 1, tzinfo=UTC),
            }
            yield origin | clean_row(source.layout, row.payload)


@pytest.fixture(scope="module")
def silver(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """player_performance of a simulated season."""
    files = write_season(tmp_path_factory.mktemp("season"), games=100)
    return resolve(pl.DataFrame(candidates(files.matches_folder), schema=CANDIDATE_SCHEMA), "test").players


def snapshots_of(silver: pl.DataFrame) -> Snapshots:
    """All snapshots of these rows."""
    return take_snapshots(to_arrow(silver, PLAYER_PERFORMANCE.schema))


def otherwise(silver: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The same season, but every game that starts at the cut or later went another way in everything."""
    later = pl.col("started_at") >= cut
    played = silver.filter(later).with_columns(
        *(pl.col(name).shuffle(SEED + at) for at, name in enumerate(OUTCOMES)),
        ~pl.col("won"),
        pl.col("duration_seconds") + 60 + pl.col("match_id").hash(SEED) % 1200,
    )
    counted = [pl.col(name) + 1 for name in ("kills", "deaths", "assists", "team_kills", "opponent_kills")]
    return pl.concat([silver.filter(~later), played.with_columns(counted).cast(silver.schema)])


def bits(table: pa.Table) -> NDArray[np.int64]:
    """The features of shape [rows, features], comparable to the bit."""
    features = [column for column in table.columns if pa.types.is_floating(column.type)]
    return np.column_stack([column.to_numpy(zero_copy_only=False) for column in features]).view(np.int64)


def facts(table: pa.Table) -> pa.Table:
    """Everything that is no number, such as names and champions."""
    return table.select([field.name for field in table.schema if not pa.types.is_floating(field.type)])


def until(table: pa.Table, moment: datetime) -> pa.Table:
    """The snapshots of series that start at the moment or before it."""
    return table.filter(pc.field("series_id").is_valid() & (pc.field("as_of") <= pa.scalar(moment, STAMP)))


def training_set(silver: pl.DataFrame, snapshots: Snapshots) -> TrainingSet:
    """The model's rows."""
    labels = to_arrow(silver, PLAYER_PERFORMANCE.schema)
    return build_training_set(labels, snapshots.players, snapshots.teams, snapshots.tournaments)


def series_starts(silver: pl.DataFrame) -> list[datetime]:
    """When the series start, each moment once."""
    starts = silver.group_by("series_id").agg(pl.col("started_at").min())
    return starts["started_at"].unique().sort().to_list()


def test_nothing_that_happens_later_changes_a_feature(silver: pl.DataFrame) -> None:
    """With a cut at the start of each series in turn, no series up to there sees a bit of what came at it or after."""
    truth = snapshots_of(silver)
    cuts = series_starts(silver)
    assert len({cut.date() for cut in cuts}) > 15
    for cut in cuts:
        changed = snapshots_of(otherwise(silver, cut))
        for name in TABLES:
            before, after = (until(getattr(one, name), cut) for one in (truth, changed))
            assert before.num_rows > 0
            assert np.array_equal(bits(before), bits(after)), (name, cut)
            assert facts(before).equals(facts(after)), (name, cut)


def test_the_rows_of_the_model_are_as_blind(silver: pl.DataFrame) -> None:
    """The same holds of the assembled training rows, second and later maps of a series included."""
    truth = training_set(silver, snapshots_of(silver))
    cuts = series_starts(silver)
    for cut in cuts[:: len(cuts) // 8]:
        other = otherwise(silver, cut)
        changed = training_set(other, snapshots_of(other))
        assert (changed.match_id == truth.match_id).all()
        early = truth.series_started_at.astype("datetime64[us]") <= np.datetime64(cut.replace(tzinfo=None), "us")
        assert early.any()
        assert (truth.game_number[early] > 1).any()
        assert truth.features[early].tobytes() == changed.features[early].tobytes(), cut


def test_the_test_can_fail(silver: pl.DataFrame) -> None:
    """A cut does change the features of the series well after it: what is perturbed is what features are made of."""
    cuts = series_starts(silver)
    cut = cuts[len(cuts) // 2]
    truth, changed = snapshots_of(silver), snapshots_of(otherwise(silver, cut))
    for name in TABLES:
        newest = getattr(truth, name)["series_id"].is_null()
        before, after = (bits(getattr(one, name).filter(newest)) for one in (truth, changed))
        differing = (before != after).mean(axis=0)
        assert (differing > 0.3).mean() > 0.7, name  # most features, of many
    late = [as_of > cuts[-10] for as_of in truth.players["as_of"].to_pylist()]
    assert (bits(truth.players.filter(late)) != bits(changed.players.filter(late))).any(axis=1).mean() > 0.9
