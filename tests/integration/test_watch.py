"""A whole watch over a simulated season: quiet while the game stays the same, alarmed when it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

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
from stores.domain.feedback import ActualResult, FeedbackSource
from stores.domain.feedback import Feedback as Told
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.domain.props import MapRange, PropRequest, PropType
from stores.errors import NotFoundError
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES
from stores.features.tables import (
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
from stores.lake.tables import PLAYER_PERFORMANCE
from tests.examples import a_prediction
from training.watch import WatchedStores, WatchReport, watch
from training.watching.findings import DriftKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import pyarrow as pa
    from numpy.typing import NDArray

    from stores.domain.model_performance import DailyPerformance
    from stores.domain.predictions import PredictionRecord
    from stores.lake.tables import LakeTable
    from training.dataset import TrainingSet
    from training.watching.model_drift import Forecast

TRAINED_ON, NEWEST = 1, 2  # snapshots
MODEL_ID = uuid4()


class Lake:
    """Two snapshots of a season: what the model was trained on, and all of it."""

    def __init__(self, silver: pl.DataFrame, trained_until: datetime) -> None:
        opened = silver.with_columns(pl.col("started_at").min().over("series_id").alias("opened"))
        before = opened.filter(pl.col("opened") < trained_until).drop("opened")
        self._tables = {TRAINED_ON: _tables(before), NEWEST: _tables(silver)}

    def read(
        self, table: LakeTable, *, columns: tuple[str, ...] | None = None, where: None = None, snapshot_id: int = NEWEST
    ) -> pa.Table:
        assert where is None
        found = self._tables[snapshot_id][table.name]
        return found if columns is None else found.select(list(columns))

    def snapshot_id(self, table: LakeTable) -> int:
        assert table.name in self._tables[NEWEST]
        return NEWEST

    def summary(self, table: LakeTable, snapshot_id: int) -> Mapping[str, str]:
        assert table is PLAYER_SNAPSHOTS
        others = (SILVER_SNAPSHOT, TEAMS_SNAPSHOT, TOURNAMENTS_SNAPSHOT, CHAMPIONS_SNAPSHOT)
        return {FEATURES: FEATURE_VERSION} | dict.fromkeys(others, str(snapshot_id))


def _tables(silver: pl.DataFrame) -> dict[str, pa.Table]:
    rows = to_arrow(silver, PLAYER_PERFORMANCE.schema)
    gold = take_snapshots(rows)
    return {
        PLAYER_PERFORMANCE.name: rows,
        PLAYER_SNAPSHOTS.name: gold.players,
        TEAM_SNAPSHOTS.name: gold.teams,
        TOURNAMENT_SNAPSHOTS.name: gold.tournaments,
        CHAMPION_SNAPSHOTS.name: gold.champions,
    }


@dataclass
class Registry:
    """One model in production, or none."""

    champion: ModelRecord | None

    async def production(self, name: str) -> ModelRecord | None:
        assert name == MODEL_NAME
        return self.champion

    async def get(self, name: str, version: str) -> ModelRecord:
        raise NotFoundError(f"there is no model {name} {version}")


@dataclass
class Asked:
    """The predictions that were given, some of them with feedback; pages hold two."""

    predictions: list[PredictionRecord]
    heard: dict[UUID, Told] = field(default_factory=dict)

    def _page(self, since: datetime, until: datetime, after: UUID | None, *, heard: bool) -> list[PredictionRecord]:
        ordered = sorted(self.predictions, key=lambda it: it.prediction_id)
        return [
            it
            for it in ordered
            if since <= it.created_at < until
            and (after is None or it.prediction_id > after)
            and (it.prediction_id in self.heard) == heard
        ][:2]

    async def pending(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 0
    ) -> tuple[PredictionRecord, ...]:
        assert limit > 2
        return tuple(self._page(since, until, after, heard=False))

    async def told(
        self, since: datetime, until: datetime, *, after: UUID | None = None, limit: int = 0
    ) -> tuple[tuple[PredictionRecord, tuple[Told, ...]], ...]:
        assert limit > 2
        found = self._page(since, until, after, heard=True)
        return tuple((it, (self.heard[it.prediction_id],)) for it in found)


@dataclass
class Performance:
    """The rows of each day."""

    rows: dict[tuple[UUID, date], DailyPerformance] = field(default_factory=dict)

    async def put(self, performance: DailyPerformance) -> None:
        self.rows[performance.model_id, performance.metric_date] = performance

    async def between(self, model_id: UUID, first: date, last: date) -> tuple[DailyPerformance, ...]:
        return tuple(row for (of, day), row in self.rows.items() if of == model_id and first <= day <= last)


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


def champion(trained_at: datetime) -> ModelRecord:
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
        model_artifact_path="",
        model_size_bytes=1,
        checksum="0",
        lake_snapshot_id=TRAINED_ON,
        trained_at=trained_at,
        model_id=MODEL_ID,
    )


def stores(silver: pl.DataFrame, forecast: Forecast, until: datetime, asked: Asked, rows: Performance) -> WatchedStores:
    """The stores of one watch."""
    parts: dict[str, Any] = {
        "lake": Lake(silver, until),
        "registry": Registry(champion(until)),
        "feedback": asked,
        "performance": rows,
    }
    return WatchedStores(**parts, forecast_of=lambda _: forecast)


async def watched(silver: pl.DataFrame, forecast: Forecast, until: datetime) -> WatchReport:
    """A watch at the end of the season of which nobody asked anything."""
    end = silver["started_at"].max()
    assert isinstance(end, datetime)
    return await watch(stores(silver, forecast, until, Asked([]), Performance()), end + timedelta(days=1))


async def test_outcomes_of_a_game_that_changed_are_found(silver: pl.DataFrame, trained_until: datetime) -> None:
    """From the end of training on twice as many kills fall; before the change nothing alarmed."""
    forecast = role_means(silver, trained_until)
    quiet = await watched(silver, forecast, trained_until)
    later = pl.col("started_at") >= trained_until
    bloody = silver.with_columns(pl.when(later).then(pl.col("kills") * 2).otherwise(pl.col("kills")).alias("kills"))
    loud = await watched(bloody, forecast, trained_until)
    kinds = (DriftKind.CALIBRATION, DriftKind.TARGET)
    assert not any(it.alarm for it in quiet.drift.of(*kinds))
    assert {it.kind for it in loud.drift.of(*kinds) if it.alarm} == set(kinds)
    assert loud.retrain is not None
    assert loud.retrain.startswith("drift: ")
    assert {it.name for it in loud.drift.of(DriftKind.FEATURE)} == set(MODEL_FEATURES)
    assert all(it.n_rows > 0 for it in loud.drift.findings if "served" not in it.name)


async def test_days_are_written_from_what_was_asked(silver: pl.DataFrame, trained_until: datetime) -> None:
    """Each question comes out as the lake says, whoever tells otherwise, and a second watch writes the same."""
    game = silver.filter(pl.col("started_at") >= trained_until).sort("started_at", "player_id").row(0, named=True)
    series = silver.filter((pl.col("series_id") == game["series_id"]) & (pl.col("player_id") == game["player_id"]))
    total = series.filter(pl.col("game_number") == 1)["kills"].sum()
    when = game["started_at"] - timedelta(hours=2)
    asked = Asked(
        [
            a_prediction(
                when,
                request=PropRequest((game["player_id"],), PropType.KILLS, float(total) + line, MapRange(1, 1)),
            )
            for line in (0.5, 0.5, 1.5, 2.5, 3.5)
        ]
    )
    wrong = asked.predictions[0].prediction_id
    asked.heard[wrong] = Told(
        prediction_id=wrong, source=FeedbackSource.MANUAL, actual_result=ActualResult.OVER, given_at=when
    )
    rows, now = Performance(), when + timedelta(days=3)
    of_now = stores(silver, role_means(silver, trained_until), trained_until, asked, rows)
    report = await watch(of_now, now)
    counts = report.outcomes
    assert (counts.predictions, counts.settled, counts.contradicted) == (5, 5, 1)
    day = rows.rows[MODEL_ID, when.date()]
    assert (day.total_predictions, day.over_predictions, day.correct_predictions, day.accuracy) == (5, 5, 0, 0.0)
    assert (MODEL_ID, now.date()) in rows.rows
    first = dict(rows.rows)
    assert (await watch(of_now, now)).to_json() == report.to_json()
    assert rows.rows == first


async def test_without_a_model_there_is_nothing_to_watch(silver: pl.DataFrame, trained_until: datetime) -> None:
    """The remedy is named."""
    of_none = stores(silver, role_means(silver, trained_until), trained_until, Asked([]), Performance())
    none: Any = Registry(None)
    with pytest.raises(NotFoundError, match="riftline train"):
        await watch(
            WatchedStores(
                lake=of_none.lake,
                registry=none,
                feedback=of_none.feedback,
                performance=of_none.performance,
                forecast_of=of_none.forecast_of,
            ),
            trained_until,
        )
