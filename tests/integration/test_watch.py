"""A whole watch over a simulated season in real stores: quiet while the game stays the same, else alarmed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.cleaning import clean_row
from pipelines.resolve import resolve
from pipelines.season import write_season
from pipelines.silver_rows import to_arrow
from pipelines.snapshots import take_snapshots
from pipelines.sources import read_source
from stores.domain import negative_binomial
from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.lake_commits import Step
from stores.domain.model_performance import DailyPerformance
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.domain.props import MapRange, PropRequest, PropType
from stores.errors import NotFoundError
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES
from stores.features.tables import (
    ALL_TABLES,
    CHAMPION_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT,
    FEATURES,
    PLAYER_SNAPSHOTS,
    SILVER_SNAPSHOT,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.model_performance import PostgresModelPerformance
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from stores.settings import LakeSettings
from tests.examples import a_prediction
from training.daily_metrics import write_daily_performance
from training.watch import WatchedStores, watch
from training.watching.findings import DriftKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from uuid import UUID

    import pyarrow as pa
    from numpy.typing import NDArray

    from stores.lake.tables import LakeTable
    from stores.postgres.pool import Pool
    from stores.roles.lake import Lake
    from training.dataset import TrainingSet
    from training.watching.model_drift import Forecast

NEVER = 10_000  # days until a champion is due without drift
FOREVER = date(2000, 1, 1), date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class FeatureLake:
    """A lake whose features are replaced as ingestion replaces them, but without its cluster."""

    lake: Lake

    def put(self, silver: pl.DataFrame, number: int) -> int:
        """The features of these games take the place of those before; the snapshot of the players' features."""
        rows = to_arrow(silver, PLAYER_PERFORMANCE.schema)
        gold = take_snapshots(rows)
        made = {
            FEATURES: FEATURE_VERSION,
            SILVER_SNAPSHOT: str(self._replace(PLAYER_PERFORMANCE, rows, number)),
            TEAMS_SNAPSHOT: str(self._replace(TEAM_SNAPSHOTS, gold.teams, number)),
            TOURNAMENTS_SNAPSHOT: str(self._replace(TOURNAMENT_SNAPSHOTS, gold.tournaments, number)),
            CHAMPIONS_SNAPSHOT: str(self._replace(CHAMPION_SNAPSHOTS, gold.champions, number)),
        }
        return self._replace(PLAYER_SNAPSHOTS, gold.players, number, made)

    def _replace(
        self, table: LakeTable, rows: pa.Table, number: int, properties: Mapping[str, str] | None = None
    ) -> int:
        self.lake.clear(table, {})
        step = Step("test", number, number + 1)
        return self.lake.append(table, rows.cast(table.schema), step, properties=properties).snapshot_id


@pytest.fixture(scope="module")
def silver(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """player_performance of a simulated season."""
    folder = write_season(tmp_path_factory.mktemp("season"), games=400).matches_folder
    candidates = []
    for file in sorted(folder.glob("*.csv*")):
        source = read_source(str(file))
        origin = {"source": source.source, "source_sha256": source.sha256, "layout": str(source.layout)}
        for row in source.rows:
            fact = {"row_number": row.row_number, "ingested_at": datetime(2026, 6, 1, tzinfo=UTC)}
            candidates.append(origin | fact | clean_row(source.layout, row.payload))
    return resolve(pl.DataFrame(candidates, schema=CANDIDATE_SCHEMA), "test").players


@pytest.fixture(scope="module")
def trained_until(silver: pl.DataFrame) -> datetime:
    """Two thirds of the season."""
    starts = silver["started_at"].sort()
    found: datetime = starts[len(starts) * 2 // 3]
    return found


def role_means(silver: pl.DataFrame, until: datetime) -> Forecast:
    """A plain model: the mean and the spread of the role in the games before."""
    before = silver.filter(pl.col("started_at") < until)

    def pmf(rows: TrainingSet, prop: PropType) -> NDArray[np.float64]:
        roles = before.group_by("position").agg(pl.col(prop).mean().alias("mean"), pl.col(prop).var().alias("var"))
        of_role = {
            row["position"]: (row["mean"], row["mean"] ** 2 / max(row["var"] - row["mean"], 0.1))
            for row in roles.to_dicts()
        }
        mean, size = (np.array([of_role[name][at] for name in ("top", "jng", "mid", "bot", "sup")]) for at in (0, 1))
        return negative_binomial.pmf(mean[rows.position], size[rows.position], 80)

    return lambda rows: {prop: pmf(rows, prop) for prop in PropType}


@pytest.fixture
def features(tmp_path: Path) -> FeatureLake:
    """An empty lake."""
    lake = IcebergLake(LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/warehouse"))
    lake.ensure(ALL_TABLES)
    return FeatureLake(lake)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Connections to a fresh database."""
    pool = await open_pool(database, 2)
    yield pool
    await pool.close()


@pytest.fixture
async def model_id(pool: Pool, features: FeatureLake, silver: pl.DataFrame, trained_until: datetime) -> UUID:
    """The champion, trained on the series that opened before; the lake then holds the whole season."""
    opened = silver.with_columns(pl.col("started_at").min().over("series_id").alias("opened"))
    trained_on = features.put(opened.filter(pl.col("opened") < trained_until).drop("opened"), 0)
    features.put(silver, 1)
    registry = PostgresModelRegistry(pool)
    stored = await registry.register(champion(trained_until, trained_on))
    await registry.promote(MODEL_NAME, stored.model_version, force=True)
    assert stored.model_id is not None
    return stored.model_id


def champion(trained_at: datetime, lake_snapshot_id: int) -> ModelRecord:
    """The model in production."""
    return ModelRecord(
        model_name=MODEL_NAME,
        model_version="1",
        framework="xgboost",
        algorithm="trees",
        hyperparameters={},
        feature_schema={"features": list(MODEL_FEATURES)},
        feature_version=FEATURE_VERSION,
        training_metrics={},
        model_artifact_path="models/1",
        model_size_bytes=1,
        checksum="ab" * 32,
        lake_snapshot_id=lake_snapshot_id,
        trained_at=trained_at,
    )


def stores(pool: Pool, features: FeatureLake, forecast: Forecast) -> WatchedStores:
    """The stores of one watch."""
    return WatchedStores(
        lake=features.lake,
        registry=PostgresModelRegistry(pool),
        feedback=PostgresFeedback(pool),
        performance=PostgresModelPerformance(pool),
        forecast_of=lambda _: forecast,
    )


async def written(pool: Pool, model_id: UUID) -> dict[date, DailyPerformance]:
    """The rows of the model's days."""
    rows = await PostgresModelPerformance(pool).between(model_id, *FOREVER)
    return {row.metric_date: row for row in rows}


async def test_outcomes_of_a_game_that_changed_are_found(
    pool: Pool, features: FeatureLake, model_id: UUID, silver: pl.DataFrame, trained_until: datetime
) -> None:
    """From the end of training on twice as many kills fall; before the change nothing alarmed."""
    forecast, end = role_means(silver, trained_until), silver["started_at"].max()
    assert isinstance(end, datetime)
    now = end + timedelta(days=1)
    quiet = await watch(stores(pool, features, forecast), now, NEVER)
    before = (await written(pool, model_id))[now.date()]
    later = pl.col("started_at") >= trained_until
    kills = pl.when(later).then(pl.col("kills") * 2).otherwise(pl.col("kills")).alias("kills")
    features.put(silver.with_columns(kills), 2)
    loud = await watch(stores(pool, features, forecast), now, NEVER)
    kinds = (DriftKind.CALIBRATION, DriftKind.TARGET)
    assert not any(it.alarm for it in quiet.drift.of(*kinds))
    assert {it.kind for it in loud.drift.of(*kinds) if it.alarm} == set(kinds)
    assert loud.retrain is not None
    assert loud.retrain.startswith("drift: ")
    assert {it.name for it in loud.drift.of(DriftKind.FEATURE)} == set(MODEL_FEATURES)
    assert all(it.n_rows > 0 for it in loud.drift.findings if "served" not in it.name)
    after = (await written(pool, model_id))[now.date()]
    assert before.target_drift_score is not None
    assert after.target_drift_score is not None
    assert before.target_drift_score < 1 < after.target_drift_score


async def test_days_are_written_from_what_was_asked(
    pool: Pool, features: FeatureLake, model_id: UUID, silver: pl.DataFrame, trained_until: datetime
) -> None:
    """Each question comes out as the lake says, whoever tells otherwise, and a second watch writes the same."""
    game = silver.filter(pl.col("started_at") >= trained_until).sort("started_at", "player_id").row(0, named=True)
    series = silver.filter((pl.col("series_id") == game["series_id"]) & (pl.col("player_id") == game["player_id"]))
    total = series.filter(pl.col("game_number") == 1)["kills"].sum()
    when = game["started_at"] - timedelta(hours=2)
    lines = [float(total) + over for over in (0.5, 0.5, 1.5, 2.5, 3.5)]
    requests = [PropRequest((game["player_id"],), PropType.KILLS, line, MapRange(1, 1)) for line in lines]
    asked = [a_prediction(when, request=request) for request in requests]
    assert await PostgresPredictions(pool).record_many(asked) == [None] * 5
    wrong = Feedback(
        prediction_id=asked[0].prediction_id,
        source=FeedbackSource.MANUAL,
        actual_result=ActualResult.OVER,
        given_at=when,
    )
    await PostgresFeedback(pool).record(wrong)
    now = when + timedelta(days=3)
    of_now = stores(pool, features, role_means(silver, trained_until))
    report = await watch(of_now, now, NEVER)
    counts = report.outcomes
    assert (counts.predictions, counts.settled, counts.contradicted) == (5, 5, 1)
    first = await written(pool, model_id)
    day = first[when.date()]
    assert (day.total_predictions, day.over_predictions, day.correct_predictions, day.accuracy) == (5, 5, 0, 0.0)
    assert now.date() in first
    assert (await watch(of_now, now, NEVER)).to_json() == report.to_json()
    assert await written(pool, model_id) == first


async def test_a_later_watch_corrects_a_day_and_keeps_its_drift(pool: Pool, model_id: UUID) -> None:
    """Drift is measured on its day alone; writing again changes nothing."""
    store, day = PostgresModelPerformance(pool), date(2026, 3, 14)
    measured = DailyPerformance(
        model_id=model_id, metric_date=day, accuracy=0.5, feature_drift_score=1.5, target_drift_score=0.25
    )
    for _ in range(2):
        await write_daily_performance(store, [measured])
        assert await written(pool, model_id) == {day: measured}
    await write_daily_performance(store, [DailyPerformance(model_id=model_id, metric_date=day, accuracy=1.0)])
    assert await written(pool, model_id) == {day: replace(measured, accuracy=1.0)}


async def test_without_a_model_there_is_nothing_to_watch(
    pool: Pool, features: FeatureLake, silver: pl.DataFrame, trained_until: datetime
) -> None:
    """The remedy is named."""
    with pytest.raises(NotFoundError, match="riftline train"):
        await watch(stores(pool, features, role_means(silver, trained_until)), trained_until, NEVER)
