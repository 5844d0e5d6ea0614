"""What surrounds the routes: the middleware in its order, and what it keeps open."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware

from serve_apps.admission import AdmissionGate, RedisWhenThere
from serve_apps.cache_headers import GZIP_FROM_BYTES, CacheHeaders
from serve_apps.guards import RequestGuard
from serve_apps.history_routes import History
from serve_apps.idempotency import LOCK_BEYOND_S, Idempotency, IdempotencyKeys
from serve_apps.openapi_document import described
from serve_apps.purge import opened_purges
from serve_apps.request_context import RequestNames, name_log_records
from serve_apps.time_limit import TimeLimit
from serve_apps.usage_log import UsageLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from starlette.datastructures import State

    from serve_apps.api import ApiSettings
    from stores.postgres.pool import Pool

CORS: dict[str, Any] = {
    "allow_methods": ("GET", "POST"),
    "allow_headers": ("*",),
    "expose_headers": (
        "ETag",
        "Idempotent-Replayed",
        "Link",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Request-ID",
    ),
    "max_age": 3600,  # of a preflight's answer
}


def add_layers(api: FastAPI, settings: ApiSettings) -> None:
    """Surround the routes, from the innermost to the outermost."""
    api.openapi = described(api)  # type: ignore[method-assign]  # FastAPI's own way
    api.add_middleware(Idempotency)
    api.add_middleware(CacheHeaders, shared=not settings.access.auth_required)
    api.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES)
    api.add_middleware(TimeLimit, limit_s=settings.web.request_timeout_s)
    api.add_middleware(RequestGuard)  # a slow upload is not the answer's time
    api.add_middleware(AdmissionGate)
    api.add_middleware(UsageLog)
    if settings.web.cors_origins:  # a preflight bears no key
        api.add_middleware(CORSMiddleware, **CORS, allow_origins=settings.web.cors_origins)
    api.add_middleware(RequestNames, told=settings.tells_request_id)


@asynccontextmanager
async def opened_layers(state: State, settings: ApiSettings, pool: Pool) -> AsyncIterator[None]:
    """What the layers and the history ask: the database, and Redis when it is there."""
    name_log_records()
    state.history = History.over(pool, state.write_behind, settings.database_url)
    lock_s = settings.web.request_timeout_s + LOCK_BEYOND_S
    redis = RedisWhenThere(settings.redis_url)
    state.idempotency = IdempotencyKeys(redis, lock_s)
    try:
        async with opened_purges(state.service, redis, settings.web) as state.purges:
            yield
    finally:
        await redis.close()
