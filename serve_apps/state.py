"""What a gateway replica answers with: one model and one view of the features, each replaced as a whole when newer."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actors.ensemble import PropEnsemble
from stores.domain.models import MODEL_NAME
from stores.errors import NotFoundError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.feature_view import FeatureView
    from stores.domain.models import ModelRecord
    from stores.lake.artifacts import ArtifactStore
    from stores.postgres.models import ModelRegistry

POLL_S = 1.0  # a release or fresh features are seen within about this time
STALE_AFTER_S = 60.0  # the freshness that the product promises
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A released model, ready to answer."""

    record: ModelRecord
    ensemble: PropEnsemble


class FeatureFeed(Protocol):
    """Where views of the features come from."""

    async def newer_than(self, known: FeatureView | None) -> FeatureView | None:
        """A newer view, or None. Raises a RiftlineError when the source does not answer; the old view then stays."""


class ServingState:
    """The current model and view. Reads never wait; `refresh` swaps whole objects, so a request sees one of each.

    Neither registry nor shards are needed to answer: when they are gone, the last model and view go on answering and
    `features_age_s` tells how long they have not been confirmed.
    """

    def __init__(self, registry: ModelRegistry, artifacts: ArtifactStore, feed: FeatureFeed) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._feed = feed
        self._model: LoadedModel | None = None
        self._view: FeatureView | None = None
        self._confirmed_at = time.monotonic()

    @property
    def model(self) -> LoadedModel:
        """The released model. Raises TransientError before the first one is loaded."""
        if self._model is None:
            raise TransientError("no model is released yet; run `riftline train`")
        return self._model

    @property
    def view(self) -> FeatureView:
        """The newest features. Raises TransientError before the first ones are there."""
        if self._view is None:
            raise TransientError("no features are loaded yet; run `riftline ingest`")
        return self._view

    @property
    def features_age_s(self) -> float:
        """Seconds since the shards last confirmed that the view is the newest."""
        return time.monotonic() - self._confirmed_at

    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of the state."""
        age = self.features_age_s
        return (f"stale features: unconfirmed for {age:.0f} s",) if age > STALE_AFTER_S else ()

    async def refresh(self) -> None:
        """Look once for a newer model and newer features, for each even if the other cannot be had.

        Raises what kept one of them away.
        """
        outcomes = await asyncio.gather(self._refresh_model(), self._refresh_view(), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _refresh_view(self) -> None:
        self._view = await self._feed.newer_than(self._view) or self._view
        self._confirmed_at = time.monotonic()

    async def _refresh_model(self) -> None:
        record = await self._registry.production(MODEL_NAME)
        if record is None or (self._model and self._model.record.model_version == record.model_version):
            return
        files = await asyncio.to_thread(self._artifacts.load, record.model_artifact_path, record.checksum)
        self._model = LoadedModel(record, await asyncio.to_thread(PropEnsemble.from_files, files))
        _log.info("serving model %s", record.model_version)

    async def keep_fresh(self) -> None:
        """Refresh for ever; an error is logged once per kind and the old state stays."""
        last_error = ""
        while True:
            try:
                await self.refresh()
                last_error = ""
            except NotFoundError:
                pass  # nothing was ingested yet
            except RiftlineError as error:
                if str(error) != last_error:
                    _log.warning("the serving state cannot be refreshed: %s", error)
                last_error = str(error)
            except Exception:  # noqa: BLE001  # a bug in one look must not end all later ones
                _log.exception("the serving state cannot be refreshed")
            await asyncio.sleep(POLL_S)


def checks(state: ServingState, errors: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What each part says of itself; ``errors`` come from parts that were asked just now."""
    found = {"model": "ok", "features": "ok", **dict(errors)}
    for part in ("model", "features"):
        try:
            getattr(state, "view" if part == "features" else part)
        except TransientError as error:
            found[part] = str(error)
    return found
