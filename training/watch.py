"""Watch the model that answers: has it drifted, how did its days go, must it be trained: `riftline models watch`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import numpy as np

from actors.ensemble import COUNTS_PER_MAP, PropEnsemble
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.domain.props import MapRange
from stores.errors import NotFoundError
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.open_stores import opened_postgres
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.model_performance import PostgresModelPerformance
from stores.postgres.models import PostgresModelRegistry
from training.daily_metrics import daily_performance, retrain_reason, with_drift, write_daily_performance
from training.outcomes import ASKED_AHEAD, OUTCOME_COLUMNS, Outcome, OutcomeCounts, PlayedSeries, join_outcomes
from training.retrain import read_training_set
from training.served import served_between
from training.watching.model_drift import model_drift

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from stores.roles.artifacts import Artifacts
    from stores.roles.feedback import Feedback
    from stores.roles.lake import Lake
    from stores.roles.model_performance import ModelPerformance
    from stores.roles.model_registry import ModelRegistry
    from stores.settings import Settings
    from training.dataset import TrainingSet
    from training.watching.findings import DriftReport
    from training.watching.model_drift import Forecast

LOOK_BACK = ASKED_AHEAD + timedelta(days=7)  # a prediction's series has been played and ingested by then


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedStores:
    """What a watch reads, and ``performance``, which it writes. ``forecast_of`` loads a registered model."""

    lake: Lake
    registry: ModelRegistry
    feedback: Feedback
    performance: ModelPerformance
    forecast_of: Callable[[ModelRecord], Forecast]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """What a watch found. ``retrain`` is the reason to train again, if there is one."""

    model_version: str
    drift: DriftReport
    outcomes: OutcomeCounts
    days_written: int
    retrain: str | None

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "model_version": self.model_version,
            "drift": self.drift.to_json(),
            "outcomes": asdict(self.outcomes),
            "days_written": self.days_written,
            "retrain": self.retrain,
        }


async def watch(stores: WatchedStores, now: datetime, retrain_after_days: int) -> WatchReport:
    """Look for drift since the champion was trained, settle the predictions of three weeks, write their days' figures.

    A champion of ``retrain_after_days`` is due without drift. Idempotent: a repetition writes the same rows. Raises
    NotFoundError when no model is in production, InvalidError when the lake holds the features of another version.
    """
    champion = await stores.registry.production(MODEL_NAME)
    if champion is None or champion.model_id is None:
        raise NotFoundError(f"no version of {MODEL_NAME} is in production; run `riftline train` first")
    outcomes = await _outcomes(stores, now)
    own = [outcome for outcome in outcomes if outcome.prediction.model_version == champion.model_version]
    drift = model_drift(
        _samples(stores.lake, champion),
        champion.feature_schema["features"],
        stores.forecast_of(champion),
        own,
    )
    ids = await _model_ids(stores.registry, champion, outcomes)
    days = with_drift(daily_performance(outcomes, ids), drift, champion.model_id, now.astimezone(UTC).date())
    await write_daily_performance(stores.performance, days)
    return WatchReport(
        model_version=champion.model_version,
        drift=drift,
        outcomes=OutcomeCounts.of(outcomes),
        days_written=len(days),
        retrain=retrain_reason(drift, champion.trained_at, now, retrain_after_days),
    )


def _samples(lake: Lake, champion: ModelRecord) -> tuple[TrainingSet, TrainingSet]:
    """The rows that the champion was trained on, and those of the series that began after them."""
    reference, _ = read_training_set(lake, champion.lake_snapshot_id)
    newest, _ = read_training_set(lake)
    return reference, newest.where(newest.series_started_at > reference.series_started_at.max())


async def _outcomes(stores: WatchedStores, now: datetime) -> list[Outcome]:
    since = (now.astimezone(UTC) - LOOK_BACK).replace(
        hour=0, minute=0, second=0, microsecond=0
    )  # whole days: each is written anew
    predictions, heard = await served_between(stores.feedback, since, now)
    played = PlayedSeries(stores.lake.read(PLAYER_PERFORMANCE, columns=OUTCOME_COLUMNS))
    return join_outcomes(predictions, played, heard, now)


async def _model_ids(registry: ModelRegistry, champion: ModelRecord, outcomes: Sequence[Outcome]) -> Mapping[str, UUID]:
    """The ids of the versions that predicted; one that the registry does not know has no rows."""
    ids = {champion.model_version: champion.model_id}
    for version in dict.fromkeys(outcome.prediction.model_version for outcome in outcomes):
        if version not in ids:
            try:
                ids[version] = (await registry.get(MODEL_NAME, version)).model_id
            except NotFoundError:
                continue
    return {version: model_id for version, model_id in ids.items() if model_id is not None}


def registered_forecast(artifacts: Artifacts, record: ModelRecord) -> Forecast:
    """The calibrated distribution of each row's map, from the model's artefact."""
    ensemble = PropEnsemble.from_files(artifacts.load(record.model_artifact_path, record.checksum))

    def forecast(rows: TrainingSet) -> dict[PropType, NDArray[np.float64]]:
        if not len(rows):
            return {prop: np.zeros((0, COUNTS_PER_MAP)) for prop in ensemble.parameters.props}
        return {
            prop: ensemble.calibrated_pmf(
                prop, ensemble.map_means(prop, rows.features), rows.position[:, None], MapRange(1, 1)
            )
            for prop in ensemble.parameters.props
        }

    return forecast


async def watch_settings(settings: Settings, now: datetime) -> WatchReport:
    """`watch` over the stores of the settings."""
    artifacts = WarehouseArtifacts(settings.lake.warehouse, settings.lake.s3)
    async with opened_postgres(settings.postgres) as pool:
        stores = WatchedStores(
            lake=IcebergLake(settings.lake),
            registry=PostgresModelRegistry(pool),
            feedback=PostgresFeedback(pool),
            performance=PostgresModelPerformance(pool),
            forecast_of=lambda record: registered_forecast(artifacts, record),
        )
        return await watch(stores, now, settings.watch.retrain_after_days)
