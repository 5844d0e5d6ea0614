"""The ensemble in a process of its own: evidence comes in, distributions go out, the same as in one process."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.ensemble import PropEnsemble
from stores.domain.models import MODEL_NAME
from stores.errors import RiftlineError
from stores.lake.artifacts import WarehouseArtifacts
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from actors.forecast_kernel import Evidence
    from stores.domain.models import ModelRecord
    from stores.domain.props import MapRange, PropType
    from stores.roles.artifacts import Artifacts
    from stores.settings import S3Settings

MOST_MODELS = 3  # the one that answers, the one before it, and one that is tried
MOST_SERIES = 64  # of a call: some milliseconds of one core
FILL = "fill"
_log = logging.getLogger(__name__)


class ModelKey(NamedTuple):
    """A version of the model, and all that it takes to load it."""

    version: str
    path: str
    checksum: str

    @classmethod
    def of(cls, record: ModelRecord) -> ModelKey:
        """The key of a registered version."""
        return cls(record.model_version, record.model_artifact_path, record.checksum)


class Asked(NamedTuple):
    """The arguments of `PropEnsemble.predict`: n series of one shape."""

    prop: PropType
    map_range: MapRange
    drafted: bool
    best_of: int | None
    evidence: Evidence


class Said(NamedTuple):
    """Of each series the pmfs before and after calibration, of shape [n, counts], and the chance of its last map."""

    base: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    reached: list[float]


class ModelReplica:
    """Holds the versions that were asked for last, each loaded once and checked to the byte.

    Keeps nothing: after a crash versions are loaded again when they are asked for. Errors are returned, since what is
    raised here would arrive as another type. Belongs to one event loop; trees are walked in threads.
    """

    def __init__(self, artifacts: Artifacts, most: int = MOST_MODELS) -> None:
        self._artifacts = artifacts
        self._most = most
        self._held: dict[ModelKey, asyncio.Task[PropEnsemble]] = {}  # the one asked for last at the end
        self._calls = 0
        self._series = 0

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions held or being loaded, the one that is let go next first."""
        return tuple(key.version for key in self._held)

    async def hold(self, key: ModelKey) -> RiftlineError | None:
        """Load a version unless it is here; what was wrong."""
        found = await self._ensemble(key)
        return found if isinstance(found, RiftlineError) else None

    async def predict(self, key: ModelKey, asked: Sequence[Asked]) -> list[Said | RiftlineError] | RiftlineError:
        """What this version says of each, or why it says nothing; a version that is not here is loaded first."""
        found = await self._ensemble(key)
        if isinstance(found, RiftlineError):
            return found
        self._calls += 1
        self._series += sum(len(one.evidence.position) for one in asked)
        return await asyncio.to_thread(lambda: [_said(found, one) for one in asked])

    def record_autoscaling_stats(self) -> dict[str, float]:
        """How full the calls since the last question were, for `serve_apps.scaling`."""
        fill = self._series / (self._calls * MOST_SERIES) if self._calls else 0.0
        self._calls = self._series = 0
        return {FILL: fill}

    async def _ensemble(self, key: ModelKey) -> PropEnsemble | RiftlineError:
        loading = self._held.pop(key, None) or asyncio.create_task(self._load(key))
        self._held[key] = loading
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        try:
            return await asyncio.shield(loading)  # others may wait for it
        except RiftlineError as error:
            return error
        finally:
            if loading.done() and loading.exception() and self._held.get(key) is loading:
                del self._held[key]

    async def _load(self, key: ModelKey) -> PropEnsemble:
        files = await asyncio.to_thread(self._artifacts.load, key.path, key.checksum)
        ensemble = await asyncio.to_thread(PropEnsemble.from_files, files)
        _log.info("holding model %s", key.version)
        return ensemble


def _said(ensemble: PropEnsemble, asked: Asked) -> Said | RiftlineError:
    predict = partial(ensemble.predict, drafted=asked.drafted, best_of=asked.best_of)
    try:
        forecasts, reached = predict(asked.prop, asked.evidence, asked.map_range)
    except RiftlineError as error:
        return error
    return Said(
        np.stack([one.base.pmf for one in forecasts]), np.stack([one.calibrated.pmf for one in forecasts]), reached
    )


class ServedModel(ModelReplica):
    """The replica as Serve starts it: it takes questions when all is compiled and the released version is here."""

    async def __init__(self, warehouse: str, s3: S3Settings, database_url: str) -> None:  # type: ignore[misc]
        """What cannot be had at the start is loaded when it is asked for."""
        super().__init__(WarehouseArtifacts(warehouse, s3))
        await asyncio.to_thread(PropEnsemble.warm)
        try:
            record = await _released(database_url)
        except RiftlineError as error:
            _log.warning("the released model is not known: %s", error)
        else:
            wrong = await self.hold(ModelKey.of(record)) if record else "there is none yet"
            if wrong:
                _log.warning("the released model is not held: %s", wrong)


async def _released(database_url: str) -> ModelRecord | None:
    pool = await open_pool(database_url, 1)
    try:
        return await PostgresModelRegistry(pool).production(MODEL_NAME)
    finally:
        await pool.close()
