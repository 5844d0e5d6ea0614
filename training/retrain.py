"""Train on the lake, store the artefact, register it and release it: `python -m training.retrain`."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import ray

from actors.ensemble import PropEnsemble
from stores.clock import utc_now
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.errors import InvalidError
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES
from stores.features.tables import (
    FEATURES,
    PLAYER_SNAPSHOTS,
    SILVER_SNAPSHOT,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.postgres import embedded
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.settings import Settings
from training.boosting import BoostingCluster, BoostingParams
from training.dataset import LABEL_COLUMNS, TrainingSet, build_training_set
from training.fitting import FittedModel, fit_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from stores.roles.artifacts import Artifacts
    from stores.roles.lake import Lake


def read_training_set(lake: Lake, lake_snapshot_id: int | None = None) -> tuple[TrainingSet, int]:
    """All played games with their features, and the snapshot of gold.player_features that fixes them.

    Raises InvalidError if the lake holds no features, or those of another feature version.
    """
    snapshot_id = lake_snapshot_id or lake.snapshot_id(PLAYER_SNAPSHOTS)
    if snapshot_id is None:
        raise InvalidError("the lake holds no features yet; run `riftline ingest` first")
    made_from = lake.summary(PLAYER_SNAPSHOTS, snapshot_id)
    if made_from.get(FEATURES) != FEATURE_VERSION:
        raise InvalidError(
            f"the lake's features are {made_from.get(FEATURES)}, this code trains on {FEATURE_VERSION}; "
            "run `riftline ingest` first"
        )
    rows = build_training_set(
        lake.read(PLAYER_PERFORMANCE, columns=LABEL_COLUMNS, snapshot_id=int(made_from[SILVER_SNAPSHOT])),
        lake.read(PLAYER_SNAPSHOTS, snapshot_id=snapshot_id),
        lake.read(TEAM_SNAPSHOTS, snapshot_id=int(made_from[TEAMS_SNAPSHOT])),
        lake.read(TOURNAMENT_SNAPSHOTS, snapshot_id=int(made_from[TOURNAMENTS_SNAPSHOT])),
    )
    return rows, snapshot_id


def retrain(
    settings: Settings, database_url: str, now: datetime, progress: Callable[[str], None] = lambda _: None
) -> ModelRecord:
    """Train on the newest features and release the result. Serving replicas pick it up by themselves.

    An interruption at any step leaves the released model as it was; an artefact without a registry row is never read.
    """
    lake = IcebergLake(settings.lake)
    progress("reading features")
    rows, snapshot_id = read_training_set(lake)
    params = BoostingParams()
    fitted = fit_model(rows, params, BoostingCluster(), progress)
    progress("registering and releasing")
    version = f"{now:%Y%m%d.%H%M%S}"
    artifacts = WarehouseArtifacts(settings.lake.warehouse, settings.lake.s3)
    stored = artifacts.save(version, fitted.ensemble.to_files())
    _check_artifact(artifacts, stored.path, stored.checksum, fitted, rows)
    record = ModelRecord(
        model_name=MODEL_NAME,
        model_version=version,
        framework="xgboost",
        algorithm="gradient-boosted count means, negative binomial, calibrated cdf",
        hyperparameters=asdict(params),
        feature_schema={"features": list(MODEL_FEATURES)},
        feature_version=FEATURE_VERSION,
        training_metrics=fitted.metrics,
        model_artifact_path=stored.path,
        model_size_bytes=stored.size_bytes,
        checksum=stored.checksum,
        lake_snapshot_id=snapshot_id,
        trained_at=now,
        model_type="ensemble",
    )
    return asyncio.run(_release(database_url, settings.postgres.pool_size, record))


def _check_artifact(artifacts: Artifacts, path: str, checksum: str, fitted: FittedModel, rows: TrainingSet) -> None:
    """What serving will load must say what training saw, to the bit."""
    loaded = PropEnsemble.from_files(artifacts.load(path, checksum))
    newest = rows.features[-100:]
    if loaded.parameters != fitted.ensemble.parameters:
        raise InvalidError("the stored model has other parameters than the trained one; it is not released")
    for prop in loaded.parameters.props:
        if (loaded.means(prop, newest) != fitted.ensemble.means(prop, newest)).any():
            raise InvalidError(f"the stored model answers {prop} otherwise than the trained one; it is not released")


async def _release(database_url: str, pool_size: int, record: ModelRecord) -> ModelRecord:
    pool = await open_pool(database_url, pool_size)
    try:
        registry = PostgresModelRegistry(pool)
        await registry.register(record)
        return await registry.promote(record.model_name, record.model_version)
    finally:
        await pool.close()


def main() -> None:
    """Entry point of the cluster job; expects a running cluster and its stores."""
    settings = Settings.from_env(os.environ)
    database_url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    if not database_url:
        raise SystemExit("PostgreSQL is not running; start it with `riftline up` or set RIFTLINE_DATABASE_URL")
    ray.init(address="auto", namespace="riftline")
    record = retrain(settings, database_url, utc_now(), lambda step: print(step, flush=True))  # noqa: T201
    print(f"released {record.model_name} {record.model_version}")  # noqa: T201


if __name__ == "__main__":
    main()
