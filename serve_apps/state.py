"""What a gateway replica answers with: one model and one view of the features, each replaced as a whole when newer."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actors.shard_lifetimes import staleness
from serve_apps.problems import loggable
from stores.domain.models import MODEL_NAME
from stores.errors import NotFoundError, OutcomeUnknownError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from actors.answers import Predictor
    from actors.feature_view import FeatureView
    from serve_apps.placement import Models
    from stores.domain.models import ModelRecord
    from stores.roles.model_registry import ModelRegistry

POLL_S = 1.0  # a release or fresh features are seen within about this time
OK = "ok"  # how each check of a part that can answer begins
MODEL, FEATURES = "model", "features"
_AWAY = {  # for people outside: the sources' own words name addresses, the log has them
    MODEL: "the database or the warehouse does not answer",
    FEATURES: "the feature shards or the lake do not answer",
}
_NOT_INGESTED = ("the lake holds no features yet", "the lake has no table")  # the shards' words, bound by a test
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A released model, ready to answer."""

    record: ModelRecord
    ensemble: Predictor


class FeatureFeed(Protocol):
    """Where views of the features come from. ``age_s``: for so long the last answer was not confirmed by the lake."""

    age_s: float

    async def newer_than(self, known: FeatureView | None) -> FeatureView | None:
        """A newer view, or None. Raises a RiftlineError when the source does not answer; the old view then stays."""


class ServingState:
    """The current model and view. Reads never wait; `refresh` swaps whole objects, so a request sees one of each.

    Neither registry nor shards are needed to answer: when they are gone, the last model and view go on answering and
    `features_age_s` tells how long they have not been confirmed. What keeps a part from being renewed is logged once,
    and told by `trouble` until it is over.
    """

    def __init__(self, registry: ModelRegistry, models: Models, feed: FeatureFeed) -> None:
        self._registry = registry
        self._models = models
        self._feed = feed
        self._model: LoadedModel | None = None
        self._view: FeatureView | None = None
        self._confirmed_at = time.monotonic()
        self._shown: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._looking = asyncio.Lock()  # of two looks the slower would put an older view in place of the newer

    def trouble(self, part: str) -> str | None:
        """What keeps ``model`` or ``features`` from being renewed, in words for people outside."""
        return self._shown.get(part)

    @property
    def model(self) -> LoadedModel:
        """The released model. Raises TransientError before the first one is loaded."""
        if self._model is None:
            raise self._missing(MODEL, "no model is released yet; run `riftline train`")
        return self._model

    @property
    def model_away(self) -> bool:
        """Whether the model is elsewhere and does not answer: what is known is answered all the same."""
        return self._models.away

    @property
    def view(self) -> FeatureView:
        """The newest features. Raises TransientError before the first ones are there."""
        if self._view is None:
            raise self._missing(FEATURES, "no features are loaded yet; run `riftline ingest`")
        return self._view

    @property
    def features_age_s(self) -> float:
        """Seconds since the lake last confirmed that the view is the newest."""
        return time.monotonic() - self._confirmed_at

    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of the state."""
        return staleness(self.features_age_s)

    async def refresh(self) -> None:
        """Look once for a newer model and newer features, for each even if the other cannot be had. Never raises."""
        async with self._looking:
            await asyncio.gather(self._renew(MODEL, self._refresh_model()), self._renew(FEATURES, self._refresh_view()))

    async def _renew(self, part: str, refreshed: Awaitable[None]) -> None:
        try:
            await refreshed
        except Exception as error:  # noqa: BLE001  # a bug in one look must not end all later ones
            if part == FEATURES and self._view is None and _is_not_ingested(error):
                self._forget(part)
            else:
                self._keep(part, error)
        else:
            self._forget(part)

    def _keep(self, part: str, error: Exception) -> None:
        self._shown[part] = _shown(part, error)
        if self._logged.get(part) != repr(error):
            _log.warning("the %s cannot be renewed: %s", part, loggable(error))
        self._logged[part] = repr(error)

    def _forget(self, part: str) -> None:
        self._shown.pop(part, None)
        self._logged.pop(part, None)

    def _missing(self, part: str, plain: str) -> TransientError:
        trouble = self.trouble(part)
        return TransientError(f"no {part} loaded: {trouble}" if trouble else plain)

    async def _refresh_view(self) -> None:
        self._view = await self._feed.newer_than(self._view) or self._view
        self._confirmed_at = time.monotonic() - self._feed.age_s

    async def _refresh_model(self) -> None:
        try:
            record = await self._registry.production(MODEL_NAME)
        except RiftlineError as error:  # whatever it is, it names the database and is not the model's fault
            raise TransientError(f"the model registry cannot be read: {error}") from error
        if record is None or (self._model and self._model.record.model_version == record.model_version):
            return
        self._model = LoadedModel(record, await self._models.load(record))
        _log.info("serving model %s", record.model_version)

    async def keep_fresh(self) -> None:
        """Refresh for ever; what cannot be renewed stays as it is."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)


def _is_not_ingested(error: Exception) -> bool:
    return isinstance(error, NotFoundError) and str(error).startswith(_NOT_INGESTED)


def _shown(part: str, error: Exception) -> str:
    if isinstance(error, TransientError | OutcomeUnknownError):
        return _AWAY[part]
    return str(error) if isinstance(error, RiftlineError) else "an error of ours, which was logged"


def checks(state: ServingState, errors: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What each part says of itself, from OK on if it can answer; ``errors`` come from parts that were asked now."""
    return {MODEL: _check(state, MODEL), FEATURES: _check(state, FEATURES), **dict(errors)}


def _check(state: ServingState, part: str) -> str:
    try:
        _ = state.model if part == MODEL else state.view
    except TransientError as error:
        return str(error)
    if part == MODEL and state.model_away:
        return f"{OK}, but its replicas do not answer: only what is known is answered"
    trouble = state.trouble(part)
    return f"{OK}, but not renewed: {trouble}" if trouble else OK
