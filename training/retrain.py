"""Train on the lake, store and register the version, release it if the gates agree: `python -m training.retrain`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import ray

from actors.ensemble import PropEnsemble
from stores.clock import utc_now
from stores.code_version import code_version
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.errors import InvalidError, TransientError
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
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.mlflow_mirror import MlflowMirror
from stores.postgres import embedded
from stores.postgres.exclusive import RETRAIN_LOCK, Exclusive
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.settings import Settings
from training.boosting import BoostingCluster, BoostingParams
from training.dataset import LABEL_COLUMNS, TrainingSet, build_training_set
from training.fitting import FittedModel, fit_model
from training.holdout import HOLDOUT_FILE
from training.release import Release, release
from training.search import SearchPlan, search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from stores.postgres.pool import Pool
    from stores.roles.artifacts import Artifacts
    from stores.roles.lake import Lake

_log = logging.getLogger(__name__)
TRAINED_BY = ("actors", "stores", "training")  # the code that decides what a version becomes


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
        lake.read(CHAMPION_SNAPSHOTS, snapshot_id=int(made_from[CHAMPIONS_SNAPSHOT])),
    )
    return rows, snapshot_id


def retrain(  # noqa: PLR0913 — what, where, when, who is told, and how long to search
    settings: Settings,
    database_url: str,
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
    *,
    tune: int = 0,
    budget_s: float | None = None,
) -> Release:
    """Train on the newest features and release the result, if the gates agree. Serving replicas pick it up themselves.

    ``tune`` hyperparameters are tried first, for at most ``budget_s`` seconds; a search that was cut goes on.
    An interruption at any step leaves the released model as it was; an artefact without a registry row is never read.
    Raises ConflictError while another training of this registry runs, on whatever machine.
    """
    mirror = opened_mirror(settings)
    with _only_training(settings, database_url) as registering:
        done = _trained(settings, registering, now, progress, SearchPlan(tune, budget_s) if tune else None)
    mirrored(mirror, done)
    return done


def retrain_on_newer(
    settings: Settings, database_url: str, now: datetime, progress: Callable[[str], None] = lambda _: None
) -> Release | None:
    """As `retrain`, but None where the newest version, released or not, was trained on the newest features already."""
    mirror = opened_mirror(settings)
    with _only_training(settings, database_url) as registering:
        if registering.newest_snapshot() == IcebergLake(settings.lake).snapshot_id(PLAYER_SNAPSHOTS):
            return None
        done = _trained(settings, registering, now, progress, None)
    mirrored(mirror, done)
    return done


def _trained(
    settings: Settings,
    registering: _Registering,
    now: datetime,
    progress: Callable[[str], None],
    plan: SearchPlan | None,
) -> Release:
    progress("reading features")
    rows, snapshot_id = read_training_set(IcebergLake(settings.lake))
    params, searched = BoostingParams(), None
    if plan is not None:
        searched = search(rows, plan, settings.home / "searches", progress)
        params = searched.best
    fitted = fit_model(rows, params, BoostingCluster(), progress)
    progress("registering and judging")
    artifacts = WarehouseArtifacts(settings.lake.warehouse, settings.lake.s3)
    hyperparameters = {**asdict(params), **({"search": searched.to_json()} if searched else {})}
    record = _stored(artifacts, fitted, hyperparameters, snapshot_id, now)
    _check_artifact(artifacts, record, fitted, rows)
    return registering.release(artifacts, record)


class _Registering:
    """The registry, for a training that blocks between two questions."""

    def __init__(self, runner: asyncio.Runner, pool: Pool, only: Exclusive) -> None:
        self._runner = runner
        self._registry = PostgresModelRegistry(pool)
        self._only = only

    def newest_snapshot(self) -> int | None:
        """What the version was trained on that was registered last, released or not."""
        newest = next(iter(self._runner.run(self._registry.list(MODEL_NAME))), None)
        return newest.lake_snapshot_id if newest else None

    def release(self, artifacts: Artifacts, record: ModelRecord) -> Release:
        """Register and judge, as long as no other training began."""

        async def work() -> Release:
            await self._only.keep()
            return await release(self._registry, artifacts, await self._registry.register(record))

        return self._runner.run(work())


@contextmanager
def _only_training(settings: Settings, database_url: str) -> Iterator[_Registering]:
    """Only one block of a database runs at a time; a block whose process ends lets the next one in."""
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(database_url, settings.postgres.pool_size))
        only = Exclusive(pool, RETRAIN_LOCK, "another training")
        try:
            runner.run(only.take())
            yield _Registering(runner, pool, only)
        finally:
            runner.run(only.release())
            runner.run(pool.close())


def opened_mirror(settings: Settings) -> MlflowMirror | None:
    """The mirror of training runs, where one is set. Raises InvalidError when its library is not installed."""
    return MlflowMirror(settings.mlflow) if settings.mlflow.tracking_uri else None


def mirrored(mirror: MlflowMirror | None, done: Release) -> None:
    """Mirror a finished training; a mirror that fails costs a warning, never the training."""
    if mirror is None:
        return
    try:
        mirror.record(done.record, done.report.to_json(), released=done.released, code_version=code_version(TRAINED_BY))
    except TransientError as error:
        _log.warning("%s; the training is done all the same", error)


def _stored(
    artifacts: Artifacts, fitted: FittedModel, hyperparameters: dict[str, Any], snapshot_id: int, now: datetime
) -> ModelRecord:
    """The version's files are in the warehouse; the record names them."""
    version = f"{now:%Y%m%d.%H%M%S}"
    files = {**fitted.ensemble.to_files(), HOLDOUT_FILE: fitted.holdout.to_bytes()}
    stored = artifacts.save(version, files)
    return ModelRecord(
        model_name=MODEL_NAME,
        model_version=version,
        framework="xgboost",
        algorithm="negative binomial given the result of each map, means stacked from members, calibrated cdf",
        hyperparameters=hyperparameters,
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


def _check_artifact(artifacts: Artifacts, record: ModelRecord, fitted: FittedModel, rows: TrainingSet) -> None:
    """What serving will load must say what training saw, to the bit."""
    loaded = PropEnsemble.from_files(artifacts.load(record.model_artifact_path, record.checksum))
    newest, draft = rows.features[-100:], rows.draft[-100:]
    if loaded.parameters != fitted.ensemble.parameters:
        raise InvalidError("the stored model has other parameters than the trained one; it is not released")
    for prop in loaded.parameters.props:
        stored, trained = (one.map_means(prop, newest, draft) for one in (loaded, fitted.ensemble))
        if (stored.counts != trained.counts).any() or (stored.win != trained.win).any():
            raise InvalidError(f"the stored model answers {prop} otherwise than the trained one; it is not released")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.retrain", description=__doc__)
    parser.add_argument("--tune", type=int, default=0, metavar="N", help="try N hyperparameters first")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="end the search after so long")
    return parser.parse_args()


def main() -> None:
    """Entry point of the cluster job; expects a running cluster and its stores."""
    asked = _arguments()
    settings = Settings.from_env(os.environ)
    database_url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    if not database_url:
        raise SystemExit("PostgreSQL is not running; start it with `riftline up` or set RIFTLINE_DATABASE_URL")
    ray.init(address="auto", namespace="riftline")
    told = lambda step: print(step, flush=True)  # noqa: T201, E731
    budget_s = None if asked.budget is None else asked.budget * 60.0
    done = retrain(settings, database_url, utc_now(), told, tune=asked.tune, budget_s=budget_s)
    for failure in done.report.failures:
        print(f"gate: {failure}")  # noqa: T201
    if not done.released:
        raise SystemExit(f"{done.record.model_name} {done.record.model_version} is registered and not released")
    print(f"released {done.record.model_name} {done.record.model_version}")  # noqa: T201


if __name__ == "__main__":
    main()
