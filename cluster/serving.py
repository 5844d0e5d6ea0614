"""Deploys the gateway on the running cluster."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
from ray import serve
from ray.serve.config import HTTPOptions

from serve_apps.app import APP_NAME, GatewayArgs, build
from serve_apps.destinations import Destinations
from stores.errors import TransientError
from stores.redis_store import embedded as embedded_redis

if TYPE_CHECKING:
    from stores.settings import Settings

READY_TIMEOUT_S = 90.0


def deploy(settings: Settings, database_url: str) -> None:
    """Deploy the gateway; the same configuration again changes nothing. Returns when its replicas run."""
    ours = settings.cluster
    serve.start(http_options=HTTPOptions(host=ours.http_host, port=ours.http_port))
    args = GatewayArgs(
        database_url=database_url,
        replica_url=settings.postgres.replica_url,
        redis_url=settings.redis.url or embedded_redis.start(settings.redis.data_dir),
        web=settings.web,
        access=replace(settings.access, token_secrets=""),  # replicas have them from their own environment
        warehouse=settings.lake.warehouse,
        s3=settings.lake.s3,
        pool_size=settings.postgres.pool_size,
        replicas=ours.gateway_replicas,
        max_replicas=ours.gateway_max_replicas,
        model=settings.model,
        destinations=Destinations(
            settings.home / "journal", settings.clickhouse, settings.kafka, settings.redis, settings.influx
        ),
    )
    serve.run(build(args), name=APP_NAME, route_prefix="/")


def is_ready(settings: Settings) -> bool:
    """Whether the service answers that it is ready, right now."""
    try:
        return httpx.get(f"{settings.cluster.base_url}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until_ready(settings: Settings) -> None:
    """Wait until the service says that model, features and database are there. Raises TransientError if not."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    said = "the ingress does not answer"
    in_a_row = 0
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{settings.cluster.base_url}/ready", timeout=5)
            said = answer.text
            in_a_row = in_a_row + 1 if answer.status_code == 200 else 0
        except httpx.HTTPError as error:
            said, in_a_row = str(error) or type(error).__name__, 0
        if in_a_row == 3 * settings.cluster.gateway_replicas:  # the ingress asks one after the other
            return
        if not in_a_row:
            time.sleep(0.2)
    raise TransientError(f"the service is not ready after {READY_TIMEOUT_S:.0f} s: {said}")
