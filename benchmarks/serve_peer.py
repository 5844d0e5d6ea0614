"""The peer on Ray Serve: a FastAPI ingress that hands each question to a model deployment, as Serve's guide has it.

It answers what benchmarks.peer answers. Both deployments have one replica and claim no processor (num_cpus=0), so that
they fit beside Riftline; they stand behind the same HAProxy with the same throughput settings, which is generous: Serve
as it comes has neither.
"""

# no annotations from the future: Serve ships the routes without this module's names, and text could not be resolved
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, HTTPException
from ray import serve

from benchmarks.contenders import Contender
from benchmarks.peer import Peer, PeerAnswer
from benchmarks.released import read_released
from cluster.connection import connected
from serve_apps.wire import PredictionRequest
from stores.errors import TransientError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.serve.handle import DeploymentHandle

NAME = "benchmark-peer"
ONE: dict[str, Any] = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 512}
api = FastAPI(title="The peer on Ray Serve")


@serve.deployment(name="model", **ONE)
class Model:
    """The deployment that holds trees and features."""

    def __init__(self) -> None:
        with ThreadPoolExecutor(1) as thread:  # Serve calls this from its event loop, and the reading starts one
            self._peer = Peer(thread.submit(read_released, Settings.from_env(os.environ)).result())

    def answer(self, body: PredictionRequest) -> PeerAnswer | None:
        """The peer's answer, None for an unknown name."""
        try:
            return self._peer.answer(body)
        except KeyError:
            return None


@serve.deployment(name="gateway", **ONE)
@serve.ingress(api)
class Gateway:
    """The ingress."""

    def __init__(self, model: "DeploymentHandle[Any]") -> None:
        self._model = model

    @api.post("/predict/single")
    async def predict(self, body: PredictionRequest) -> PeerAnswer:
        """Ask the model."""
        answer: PeerAnswer | None = await self._model.answer.remote(body)
        if answer is None:
            raise HTTPException(404, "unknown name")
        return answer


@contextlib.contextmanager
def deployed(settings: Settings) -> "Iterator[Contender]":
    """The peer as a second application of the running cluster, taken down with the block.

    Ray must have been imported in the cluster's environment (`cluster.environment.enter`). Nobody stays connected
    meanwhile. Raises TransientError if the cluster does not run, or the peer does not start in it.
    """
    try:
        with connected(settings):
            try:
                serve.run(cast("Any", Gateway).bind(cast("Any", Model).bind()), name=NAME, route_prefix=f"/{NAME}")
            except RuntimeError as error:
                raise TransientError(f"{error} Ray's logs replica_{NAME}_* say more") from error
        ours = settings.cluster
        yield Contender("peer, Ray Serve", ours.http_host, ours.http_port, path=f"/{NAME}/predict/single")
    finally:
        with connected(settings):
            serve.delete(NAME)
