"""No same-game column enters a pre-match feature: what happens from a moment on changes nothing before it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
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
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    LEAGUE_STATE,
    LINEUP_FACTORS,
    MODEL_FEATURES,
    PLAYER_FEATURES,
    PLAYER_POOL,
    PLAYER_STATE,
    PLAYER_WINDOW,
    RATINGS,
    RESULT_STATS,
    ROLE_SHARES,
    TEAM_FEATURES,
    TEAM_STATE,
)
from stores.lake.tables import PLAYER_PERFORMANCE, STAMP
from training.dataset import TrainingSet, build_training_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipelines.snapshots import Snapshots

    ChangedFrom = Callable[[datetime], tuple[pl.DataFrame, Snapshots]]

TABLES = ("players", "teams", "tournaments")
OUTCOMES = ("kills", "deaths", "assists", "team_kills", "opponent_kills", "damage_share", "vision_score", "champion")
SEED = 11
FORM = ("form_z_score", "recent_performance_trend", "volatility_index")  # of games, not of days
FEATURES = {"players": PLAYER_FEATURES, "teams": TEAM_FEATURES, "tournaments": CONTEXT_FEATURES}
# nobody in this season plays twice within a month, so that only the real games move the window
COUNTED = {"position", "game_number", *(f"player_{name}" for name in PLAYER_WINDOW if name not in FORM)}
# what the models of kills, wins and champions say
MODELLED = {
    "players": (*RESULT_STATS, *PLAYER_STATE, *PLAYER_POOL),
    "teams": (*TEAM_STATE, *LINEUP_FACTORS, *RATINGS),
    "tournaments": (*(f"league_{name}" for name in (*RATINGS, *LEAGUE_STATE)), *ROLE_SHARES),
}


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


@pytest.fixture(scope="module")
def truth(silver: pl.DataFrame) -> Snapshots:
    """The snapshots of what happened."""
    return snapshots_of(silver)


@pytest.fixture(scope="module")
def changed_from(silver: pl.DataFrame) -> ChangedFrom:
    """Makes the rows and the snapshots of the season that goes otherwise from a cut on; each cut's once."""

    @cache
    def change(cut: datetime) -> tuple[pl.DataFrame, Snapshots]:
        other = otherwise(silver, cut)
        return other, snapshots_of(other)

    return change


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
    return build_training_set(labels, snapshots.players, snapshots.teams, snapshots.tournaments, snapshots.champions)


def series_starts(silver: pl.DataFrame) -> list[datetime]:
    """When the series start, each moment once."""
    starts = silver.group_by("series_id").agg(pl.col("started_at").min())
    return starts["started_at"].unique().sort().to_list()


def test_nothing_that_happens_later_changes_a_feature(
    silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom
) -> None:
    """With a cut at the start of each series in turn, no series up to there sees a bit of what came at it or after."""
    cuts = series_starts(silver)
    assert len({cut.date() for cut in cuts}) > 15
    for cut in cuts:
        _, changed = changed_from(cut)
        for name in TABLES:
            before, after = (until(getattr(one, name), cut) for one in (truth, changed))
            assert before.num_rows > 0
            assert np.array_equal(bits(before), bits(after)), (name, cut)
            assert facts(before).equals(facts(after)), (name, cut)


def test_the_rows_of_the_model_are_as_blind(silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom) -> None:
    """The same holds of the assembled training rows, second and later maps of a series included."""
    rows = training_set(silver, truth)
    cuts = series_starts(silver)
    for cut in cuts[:: len(cuts) // 8]:
        changed = training_set(*changed_from(cut))
        assert (changed.match_id == rows.match_id).all()
        early = rows.series_started_at.astype("datetime64[us]") <= np.datetime64(cut.replace(tzinfo=None), "us")
        assert early.any()
        assert (rows.game_number[early] > 1).any()
        assert rows.features[early].tobytes() == changed.features[early].tobytes(), cut
        before = rows.started_at.astype("datetime64[us]") < np.datetime64(cut.replace(tzinfo=None), "us")
        assert rows.draft[before].tobytes() == changed.draft[before].tobytes(), cut


def picks(table: pa.Table) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """What is known of each pick of a series."""
    return {
        (row["series_id"], row["champion"], row["position"]): tuple(row[name] for name in CHAMPION_FEATURES)
        for row in table.to_pylist()
    }


def test_a_champion_is_known_by_what_came_before(
    silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom
) -> None:
    """What comes from a cut on decides which champions have a row there, but not what is in it; later rows differ."""
    cuts = series_starts(silver)
    at_cut, differing = 0, []
    for cut in cuts[::3]:
        _, changed = changed_from(cut)
        before, after = (picks(until(one.champions, cut)) for one in (truth, changed))
        common = before.keys() & after.keys()
        assert all(before[key] == after[key] for key in common), cut
        opened = set(truth.champions.filter(pc.field("as_of") == pa.scalar(cut, STAMP))["series_id"].to_pylist())
        at_cut += sum(key[0] in opened for key in common)
        before, after = (picks(one.champions) for one in (truth, changed))
        differing += [before[key] != after[key] for key in before.keys() & after.keys() if key[0] is None]
    assert at_cut > 5
    assert np.mean(differing) > 0.9


def test_the_test_can_fail(silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom) -> None:
    """A cut does change the features of the series well after it: what is perturbed is what features are made of."""
    cuts = series_starts(silver)
    _, changed = changed_from(cuts[len(cuts) // 2])
    for name in TABLES:
        newest = getattr(truth, name)["series_id"].is_null()
        before, after = (bits(getattr(one, name).filter(newest)) for one in (truth, changed))
        differing = (before != after).mean(axis=0)
        assert (differing > 0.3).mean() > 0.7, name  # most features, of many
    late = [as_of > cuts[-10] for as_of in truth.players["as_of"].to_pylist()]
    assert (bits(truth.players.filter(late)) != bits(changed.players.filter(late))).any(axis=1).mean() > 0.9


def test_all_that_the_models_know_is_watched(silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom) -> None:
    """Every feature is among the compared bits, and each of the models' moves with what happens after a cut."""
    cuts = series_starts(silver)
    _, changed = changed_from(cuts[len(cuts) // 2])
    for table, modelled in MODELLED.items():
        before, after = getattr(truth, table), getattr(changed, table)
        compared = [field.name for field in before.schema if pa.types.is_floating(field.type)]
        assert set(FEATURES[table]) <= set(compared)
        newest = before["series_id"].is_null()
        differing = (bits(before.filter(newest)) != bits(after.filter(newest))).mean(axis=0)
        still = [name for name in modelled if differing[compared.index(name)] < 0.5]
        assert not still, table


def test_all_columns_of_the_row_are_watched(silver: pl.DataFrame, truth: Snapshots, changed_from: ChangedFrom) -> None:
    """Each column of the model's later rows moves with what happens from a cut on, but for those that only count."""
    cuts = series_starts(silver)
    cut = cuts[len(cuts) // 2]
    rows, changed = training_set(silver, truth), training_set(*changed_from(cut))
    late = rows.series_started_at.astype("datetime64[us]") > np.datetime64(cut.replace(tzinfo=None), "us")
    before, after = (one.features[late].view(np.int32) for one in (rows, changed))
    still = {name for name, moves in zip(MODEL_FEATURES, (before != after).any(axis=0), strict=True) if not moves}
    assert still == COUNTED
