"""The Serve application: `serve_apps.app:build` is the import path for Serve's configuration files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.util.metrics import Gauge

from actors.code_version import code_version
from actors.names import shard_names
from serve_apps.api import ApiSettings, create_api
from serve_apps.destinations import Destinations  # as below
from serve_apps.feature_feed import ShardFeed
from stores.settings import AccessSettings, S3Settings, WebSettings  # pydantic reads the annotations
from stores.token_secrets import VARIABLE as SECRETS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from ray.serve import Application

APP_NAME = "riftline"
GATEWAY = "gateway"


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
    feature_shards: int = 2
    replicas: int = 1
    destinations: Destinations
    web: WebSettings = WebSettings()


def build(args: GatewayArgs) -> Application:
    """The gateway: replicas that hold model and features themselves, behind Serve's ingress."""
    shards = shard_names(args.feature_shards, code_version())

    def api() -> FastAPI:
        alone = Gauge("riftline_quotas_alone", "1 while this replica counts quotas alone: Redis does not answer")
        return create_api(settings_of(args, os.environ), ShardFeed(shards), alone.set)

    ingress: Any = serve.ingress(api)()
    deployment = serve.deployment(
        name=GATEWAY,
        num_replicas=args.replicas,
        max_ongoing_requests=512,  # a request waits only for its group commit; the event loop is the limit
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
    )(ingress)
    # Serve's own configuration path sets the version in this way; the public parameter was removed
    application: Application = deployment.options(version=version_of(args), _internal=True).bind()
    return application


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
        replicas=args.replicas,
        destinations=args.destinations,
        web=args.web,
        tells_request_id=False,  # Serve does
    )


def version_of(args: GatewayArgs) -> str:
    """Changes when the code or the arguments do, and only then: Serve replaces the replicas of another version.

    Without one, Serve makes up a new version at each deployment and replaces every replica.
    """
    return hashlib.sha256(f"{code_version()} {args.model_dump_json()}".encode()).hexdigest()[:16]
