"""`riftline evaluate`: a back-test on the cluster's lake, or on files of its own that leave the lake alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from cluster import head
from cluster.connection import connected
from pipelines.ingest import ingest
from pipelines.sources import discover
from stores.clock import utc_now
from stores.errors import InvalidError
from stores.lake.catalog import IcebergLake
from stores.settings import LakeSettings
from training.boosting import BoostingCluster, BoostingParams
from training.evaluate import Evaluation, evaluate
from training.retrain import read_training_set

if TYPE_CHECKING:
    from datetime import date

    from cluster.local import Steps
    from stores.roles.lake import Lake
    from stores.settings import Settings


def back_test(settings: Settings, data: str | None, since: date, until: date, steps: Steps) -> Evaluation:
    """Train before ``since``, score [since, until).

    With ``data`` the files go into a lake of their own under ``evaluations/``, kept so that the next back-test of the
    same bytes starts from it. A cluster is started for the run if none is running, and stopped again. Raises
    InvalidError if one of the files cannot be read: scores of a part would pass for scores of the whole.
    """
    steps.begin("Ray cluster")
    started = head.start(settings)
    try:
        with connected(settings):
            lake = _lake(settings, data)
            if data:
                steps.begin("data")
                report = ingest(lake, data, utc_now(), steps.detail)
                if report.failed:
                    raise InvalidError(f"{report.failed[0].source}: {report.failed[0].error}", "--data")
            steps.begin("back-test")
            rows, _ = read_training_set(lake)
            return evaluate(rows, since, until, BoostingParams(), BoostingCluster(), steps.detail)
    finally:
        if started:
            head.stop(settings)


def _lake(settings: Settings, data: str | None) -> Lake:
    if data is None:
        return IcebergLake(settings.lake)
    folder = settings.home / "evaluations" / _fingerprint(data)
    return IcebergLake(
        LakeSettings(catalog_uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
    )


def _fingerprint(data: str) -> str:
    """Tells the bytes of all files at a location from any others; a URL stands for itself."""
    digest = hashlib.sha256()
    for source in discover(data):
        path = Path(source)
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else source.encode()).digest())
    return digest.hexdigest()[:16]


def write_predictions(report: Evaluation, path: Path) -> None:
    """Every scored distribution as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(report.predictions, path)
