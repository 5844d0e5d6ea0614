"""The Serve application: `serve_apps.app:build` is the import path for Serve's configuration files."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.util.metrics import Gauge

from serve_apps.api import ApiSettings, create_api
from serve_apps.destinations import Destinations  # as below
from serve_apps.feature_feed import ShardFeed
from serve_apps.model_replica import FILL, ServedModel
from serve_apps.placement import Composed
from stores.code_version import code_version
from stores.settings import AccessSettings, ModelPlacement, S3Settings, WebSettings  # pydantic reads the annotations
from stores.token_secrets import VARIABLE as SECRETS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from ray.serve import Application

APP_NAME = "riftline"
GATEWAY = "gateway"
MODEL = "model"
ANSWERS = "answers_per_s"
LOOK_BACK_S = 15.0
MOST_FILL = 0.5  # of a model's replica: calls that are fuller have waited for others


class GatewayArgs(BaseModel):
    """The application's arguments, as they stand under ``args`` in a Serve configuration."""

    model_config = ConfigDict(extra="forbid")

    database_url: str = Field(repr=False)
    replica_url: str = Field(default="", repr=False)
    redis_url: str = Field(repr=False)
    access: AccessSettings
    warehouse: str
    s3: S3Settings = S3Settings()
    pool_size: int = 4
    replicas: int = 1
    max_replicas: int = 0
    answers_per_s: float = 1500.0  # of one replica: half of what one core gives, so that it answers in milliseconds
    model: ModelPlacement = ModelPlacement()
    destinations: Destinations
    web: WebSettings = WebSettings()


def build(args: GatewayArgs) -> Application:
    """The gateway behind Serve's ingress: replicas that hold model and features themselves, or features alone."""
    version = code_version()

    def api() -> FastAPI:
        alone = Gauge("riftline_quotas_alone", "1 while this replica counts quotas alone: Redis does not answer")
        models = Composed(serve.get_deployment_handle(MODEL, APP_NAME)) if args.model.composed else None
        return create_api(settings_of(args, os.environ), ShardFeed(version), alone.set, models)

    deployment = serve.deployment(
        name=GATEWAY,
        **_replicas(args.replicas, args.max_replicas, {ANSWERS: args.answers_per_s}, 128),
        max_surge_percent=100,  # replicas of a new version answer before the former ones are asked to end
        max_ongoing_requests=512,  # a request waits only for its group commit; the event loop is the limit
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
    )(serve.ingress(api)(Gateway))
    # Serve's own configuration path sets the version in this way; the public parameter was removed
    gateway = deployment.options(version=version_of(args), _internal=True)
    application: Application = gateway.bind(*([model(args)] if args.model.composed else []))
    return application


def model(args: GatewayArgs) -> Application:
    """The ensemble as a deployment of its own."""
    placed = args.model
    deployment = serve.deployment(
        name=MODEL,
        **_replicas(placed.replicas, placed.max_replicas, {FILL: MOST_FILL}, 2),
        max_surge_percent=100,  # as above
        max_ongoing_requests=16,  # a call more waits in its gateway, where it is gathered with others
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
    )(cast("Any", ServedModel))
    application: Application = deployment.options(version=version_of(args), _internal=True).bind(
        args.warehouse, args.s3, args.database_url
    )
    return application


def _replicas(count: int, most: int, targets: dict[str, float], ongoing: int) -> dict[str, Any]:
    """A fixed number of replicas, or, where there may be more, as many as `BusiestSignal` asks for."""
    if most <= count:
        return {"num_replicas": count}
    policy = AutoscalingPolicy(  # type: ignore[no-untyped-call]
        policy_function="serve_apps.scaling:BusiestSignal", policy_kwargs={"targets": targets}
    )
    config = AutoscalingConfig(
        min_replicas=count,
        max_replicas=most,
        target_ongoing_requests=ongoing,
        look_back_period_s=LOOK_BACK_S,
        upscale_delay_s=10,
        downscale_delay_s=300,  # a replica that comes costs its core some seconds, and questions come in waves
        policy=policy,
    )
    return {"autoscaling_config": config}


class Gateway:
    """The gateway's replica, beside its API: what Serve asks of it for scaling."""

    app: FastAPI  # Serve's wrapper has it

    def __init__(self, *_: object) -> None:
        """The model's deployment is given so that Serve starts it; the API has a handle of its own."""
        self._seen = 0, time.monotonic()
        gc.freeze()  # what is imported lives as long as the replica: no collection needs to look at it
        gc.set_threshold(10_000, 20, 20)  # an answer makes hundreds of objects and no cycle

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The answers a second, since the last question, that Serve does not count (docs/adr/0018)."""
        answered, now = self.app.state.fast_path.answered, time.monotonic()
        (before, since), self._seen = self._seen, (answered, now)
        return {ANSWERS: (answered - before) / (now - since) if now > since else 0.0}


def settings_of(args: GatewayArgs, env: Mapping[str, str]) -> ApiSettings:
    """The settings of a replica. Secrets that sign tokens do not travel: ``env`` is the replica's own."""
    return ApiSettings(
        database_url=args.database_url,
        pool_size=args.pool_size,
        warehouse=args.warehouse,
        s3=args.s3,
        replica_url=args.replica_url,
        redis_url=args.redis_url,
        access=replace(args.access, token_secrets=env.get(SECRETS_VARIABLE, "")),
        replicas=max(args.replicas, args.max_replicas),  # those that may lease quotas at once
        destinations=args.destinations,
        web=args.web,
        tells_request_id=False,  # Serve does
    )


def version_of(args: GatewayArgs) -> str:
    """Changes when the code or the arguments do, and only then: Serve replaces the replicas of another version.

    Without one, Serve makes up a new version at each deployment and replaces every replica.
    """
    return hashlib.sha256(f"{code_version()} {args.model_dump_json()}".encode()).hexdigest()[:16]
