"""The released model and the features, read from the stores and not from the cluster: what answers are checked by."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.ensemble import PropEnsemble
from actors.feature_view import FeatureView
from actors.shard_tables import read_features
from stores.domain.models import MODEL_NAME
from stores.errors import NotFoundError, TransientError
from stores.features.tables import PLAYER_SNAPSHOTS
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.postgres import embedded
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from actors.published import PublishedShard
    from stores.domain.models import ModelRecord
    from stores.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Released:
    """One model version and the features of one lake snapshot."""

    record: ModelRecord
    files: dict[str, bytes]
    ensemble: PropEnsemble
    shard: PublishedShard
    view: FeatureView


def read_released(settings: Settings, version: str | None = None, snapshot_id: int | None = None) -> Released:
    """The model of this version (by default the one in production) with this snapshot (by default the newest).

    Raises TransientError if the database does not run, NotFoundError if there is no such model or snapshot.
    """
    record = asyncio.run(_record(database_url(settings), version))
    lake = IcebergLake(settings.lake)
    snapshot_id = snapshot_id or lake.snapshot_id(PLAYER_SNAPSHOTS)
    if snapshot_id is None:
        raise NotFoundError("the lake holds no features yet; run `riftline up`")
    artifacts = WarehouseArtifacts(settings.lake.warehouse, settings.lake.s3)
    files = artifacts.load(record.model_artifact_path, record.checksum)
    shard = read_features(lake, snapshot_id, "benchmark", lambda _: True)
    return Released(record, files, PropEnsemble.from_files(files), shard, FeatureView([shard]))


def database_url(settings: Settings) -> str:
    """Where PostgreSQL listens. Raises TransientError if it does not run."""
    url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    if url is None:
        raise TransientError("PostgreSQL does not run; start it with `riftline up`")
    return url


async def _record(url: str, version: str | None) -> ModelRecord:
    pool = await open_pool(url, 1)
    try:
        registry = PostgresModelRegistry(pool)
        record = await (registry.get(MODEL_NAME, version) if version else registry.production(MODEL_NAME))
    finally:
        await pool.close()
    if record is None:
        raise NotFoundError("no model is released yet; run `riftline up`")
    return record
