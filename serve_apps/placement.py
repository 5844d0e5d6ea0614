"""Where the ensemble is: in this process (`Colocated`), or in a deployment of its own that is sent the evidence.

The code that asks is the same, since all that an answer needs of a model is `predict`: so the bits are. A model
elsewhere is waited for: who asks it does so in one of ``threads`` and not on the event loop (docs/adr/0022).
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedInVain
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from actors.ensemble import Forecast, PropEnsemble
from actors.forecast_kernel import Evidence, ready_to_read
from serve_apps.circuit_breaker import CircuitBreaker, State
from serve_apps.gathering import Gathering
from serve_apps.model_replica import MOST_SERIES, Asked, ModelKey, Said
from stores.domain.distribution import CountDistribution
from stores.errors import InvalidError, OverloadedError, RiftlineError, TransientError
from stores.features.schema import FEATURE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from ray.serve.handle import DeploymentHandle

    from actors.answers import Predictor
    from stores.domain.models import ModelRecord
    from stores.domain.props import MapRange, PropType
    from stores.roles.artifacts import Artifacts

THREADS = 64  # questions that wait at once; the next ones wait for a thread
HOLD_S = 20.0  # a replica that starts imports and compiles for as long
TRY_S = 1.0  # of one replica; an answer takes milliseconds, a version that it has to load first a second
LIMIT_S = 3.0  # of all replicas; a request may take 9 s, and waits at most twice for this
PAUSE_S = 0.05
_GONE = (RayActorError, RayServeException)  # a replica that died, is not there yet, or went away with the question
_log = logging.getLogger(__name__)


class Models(Protocol):
    """Makes released versions ready to answer."""

    @property
    def threads(self) -> ThreadPoolExecutor | None:
        """Where questions wait for the model; None: it answers at once."""
        ...

    @property
    def away(self) -> bool:
        """Whether the last questions found nobody who works them out."""
        ...

    async def load(self, record: ModelRecord) -> Predictor:
        """The model of this version. Raises a RiftlineError when it cannot be had."""
        ...


class Colocated:
    """Models in this process."""

    threads = None
    away = False

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def load(self, record: ModelRecord) -> PropEnsemble:
        """Read, check and compile it."""
        files = await asyncio.to_thread(self._artifacts.load, record.model_artifact_path, record.checksum)
        await asyncio.to_thread(PropEnsemble.warm)
        return await asyncio.to_thread(PropEnsemble.from_files, files)


class Composed:
    """Models in the replicas of another deployment (`serve_apps.model_replica.ServedModel`). Belongs to one event loop.

    A version is released when all replicas hold it. A question that a replica took with it when it died is asked again;
    when none answers within LIMIT_S it raises TransientError, and at once while that goes on.
    """

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.threads = ThreadPoolExecutor(THREADS, "model")
        self._handle = handle
        self._breaker = CircuitBreaker("the model")

    @property
    def away(self) -> bool:
        """See `Models`: as of the last questions, since nobody else asks."""
        return self._breaker.state is not State.CLOSED

    async def load(self, record: ModelRecord) -> RemoteEnsemble:
        """Have the replicas load it."""
        if record.feature_version != FEATURE_VERSION:
            raise InvalidError(
                f"the model was trained on features {record.feature_version}, this code computes {FEATURE_VERSION}; "
                "train again with `riftline train`"
            )
        await asyncio.to_thread(ready_to_read)
        key = ModelKey.of(record)
        said = await self._everywhere(key)
        refused = [one for one in said if isinstance(one, Exception)]
        for error in refused:
            _log.warning("a replica does not hold model %s: %s", key.version, error)
        if len(refused) == len(said):
            raise refused[0] if isinstance(refused[0], RiftlineError) else TransientError("no replica holds the model")
        return RemoteEnsemble(key, self._gathering)

    async def ask(self, key: ModelKey, asked: Sequence[Asked]) -> list[Said | RiftlineError]:
        """What one of the replicas says."""
        return await self._breaker.call(lambda: self._try(key, asked), LIMIT_S)

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(self.ask, asyncio.get_running_loop())

    async def _everywhere(self, key: ModelKey) -> list[Any]:
        try:
            async with asyncio.timeout(HOLD_S):
                while True:
                    try:
                        return await self._handle.broadcast("hold", key).results_async(return_exceptions=True)
                    except _GONE:  # none is there yet
                        await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            raise TransientError(f"the model's replicas do not answer within {HOLD_S:g} s") from None

    async def _try(self, key: ModelKey, asked: Sequence[Asked]) -> list[Said | RiftlineError]:
        while True:  # until the breaker's limit
            try:
                async with asyncio.timeout(TRY_S):
                    said = await self._handle.predict.remote(key, asked)
            except (*_GONE, TimeoutError) as error:
                _log.warning("a replica of the model does not answer: %r", error)
                await asyncio.sleep(PAUSE_S)
                continue
            if isinstance(said, TransientError):  # another one may hold it
                await asyncio.sleep(PAUSE_S)
            elif isinstance(said, RiftlineError):
                raise said
            else:
                return list(said)


class RemoteEnsemble:
    """One version in other processes. Call it from a thread that may wait."""

    def __init__(self, key: ModelKey, gathering: Gathering) -> None:
        self._key = key
        self._gathering = gathering

    def predict(
        self, prop: PropType, evidence: Evidence, map_range: MapRange, *, drafted: bool, best_of: int | None = None
    ) -> tuple[list[Forecast], list[float]]:
        """See `PropEnsemble.predict`. Raises TransientError when no replica answers."""
        asked = [Asked(prop, map_range, drafted, best_of, part) for part in _parts(evidence)]
        forecasts, reached = [], []
        for one in [self._gathering.ask(self._key, one) for one in asked]:
            said = _waited_for(one)
            pairs = zip(said.base, said.calibrated, strict=True)
            forecasts += [Forecast(_distribution(base), _distribution(calibrated)) for base, calibrated in pairs]
            reached += said.reached
        return forecasts, reached


def _parts(evidence: Evidence) -> Iterator[Evidence]:
    """The same series, at most MOST_SERIES in each."""
    n, players = evidence.position.shape
    for start in range(0, n, MOST_SERIES):
        series = slice(start, start + MOST_SERIES)
        rows = slice(series.start * players, series.stop * players)
        yield Evidence(
            player=evidence.player[rows],
            team=evidence.team[rows],
            opponent=evidence.opponent[rows],
            league=evidence.league[rows],
            draft=evidence.draft[rows],
            position=evidence.position[series],
            same_side=evidence.same_side,
        )


def _waited_for(said: Future[Said]) -> Said:
    try:
        return said.result(2 * LIMIT_S)
    except WaitedInVain:
        raise OverloadedError("too many questions wait for the model") from None


def _distribution(pmf: NDArray[np.float64]) -> CountDistribution:
    return CountDistribution(pmf.copy())  # of its own: neither read-only nor part of a whole batch
