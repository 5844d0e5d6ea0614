"""The Serve application: `serve_apps.app:build` is the import path for Serve's configuration files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from actors.code_version import code_version
from actors.names import shard_names
from serve_apps.api import ApiSettings, create_api
from serve_apps.feature_feed import ShardFeed
from stores.settings import S3Settings  # pydantic reads the annotation

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

APP_NAME = "riftline"
GATEWAY = "gateway"


class GatewayArgs(BaseModel):
    """The application's arguments, as they stand under ``args`` in a Serve configuration."""

    model_config = ConfigDict(extra="forbid")

    database_url: str = Field(repr=False)
    replica_url: str = Field(default="", repr=False)
    warehouse: str
    s3: S3Settings = S3Settings()
    pool_size: int = 4
    feature_shards: int = 2
    replicas: int = 1


def build(args: GatewayArgs) -> Application:
    """The gateway: replicas that hold model and features themselves, behind Serve's ingress."""
    settings = ApiSettings(args.database_url, args.pool_size, args.warehouse, args.s3, args.replica_url)
    shards = shard_names(args.feature_shards, code_version())

    def api() -> FastAPI:
        return create_api(settings, ShardFeed(shards))

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


def version_of(args: GatewayArgs) -> str:
    """Changes when the code or the arguments do, and only then: Serve replaces the replicas of another version.

    Without one, Serve makes up a new version at each deployment and replaces every replica.
    """
    return hashlib.sha256(f"{code_version()} {args.model_dump_json()}".encode()).hexdigest()[:16]
