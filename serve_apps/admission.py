"""The gate as ASGI middleware, and its parts opened and closed with the API."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from serve_apps.access_tokens import AccessTokens
from serve_apps.client_address import TrustedProxies
from serve_apps.gate import Gate, Ticket, is_open
from serve_apps.identity import Identities
from serve_apps.problems import loggable, problem_of, problem_response
from serve_apps.quotas import Quotas
from serve_apps.refusals import RefusedError, refusal_of
from stores.clock import utc_now
from stores.domain.quotas import parse_limits
from stores.errors import RiftlineError
from stores.postgres.api_keys import PostgresApiKeys
from stores.redis_store.connection import open_redis
from stores.redis_store.invalidation import RedisInvalidations
from stores.redis_store.rate_limits import RedisRateLimits
from stores.token_secrets import token_secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stores.postgres.pool import Pool
    from stores.redis_store.connection import RedisConnection
    from stores.roles.invalidation import Invalidations
    from stores.settings import AccessSettings

RETRY_S = 1.0
TICKET = "riftline.ticket"  # in a request's scope
_log = logging.getLogger(__name__)


class AdmissionGate:
    """ASGI middleware: refuses a request before its body is read, and adds the quota to the answer's head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        gate: Gate = scope["app"].state.gate
        peer = scope["client"][0] if scope.get("client") else None
        try:
            ticket = gate.pass_known(scope["path"], scope["headers"], peer)
            if ticket is None:
                ticket = await gate.pass_any(scope["path"], scope["headers"], peer)
        except RefusedError as error:
            refusal = refusal_of(error)
            await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
            await send({"type": "http.response.body", "body": refusal.body})
        except RiftlineError as error:
            await problem_response(problem_of(error))(scope, receive, send)
        else:
            scope[TICKET] = ticket
            await self._app(scope, receive, _telling(ticket, send))


def _telling(ticket: Ticket, send: Send) -> Send:
    """Adds what is left of the quota to the answer's head, unless the answer says it itself."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start" and "ratelimit" not in MutableHeaders(scope=message):
            message["headers"] = [*message.get("headers", ()), *ticket.headers]
        await send(message)

    return tell if ticket.headers else send


class RedisWhenThere:
    """One connection to Redis, opened at its first use: a gateway starts and answers without it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = asyncio.Lock()
        self._connection: RedisConnection | None = None

    async def connection(self) -> RedisConnection:
        """The connection. Raises TransientError while the server is away, InvalidError for a wrong URL."""
        async with self._opening:
            if self._connection is None:
                self._connection = await open_redis(self._url)
            return self._connection

    async def limits(self) -> RedisRateLimits:
        """The shared buckets."""
        return RedisRateLimits(await self.connection())

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._connection is not None:
            await self._connection.close()


@asynccontextmanager
async def opened_gate(
    settings: AccessSettings, redis_url: str, pool: Pool, replicas: int, report_alone: Callable[[int], None]
) -> AsyncIterator[Gate]:
    """The gate of a replica. Without Redis it counts alone; at the end it gives back what it leased."""
    tokens = AccessTokens(lambda: token_secrets(settings.token_secrets, settings.token_secrets_file), utc_now)
    identities = Identities(PostgresApiKeys(pool), tokens, required=settings.auth_required, now=utc_now)
    redis = RedisWhenThere(redis_url)
    tiers = parse_limits(settings.rate_limits)
    quotas = None if tiers is None else Quotas(tiers, redis.limits, replicas=replicas, report_alone=report_alone)
    tasks = [asyncio.create_task(identities.keep()), asyncio.create_task(listen_for_ever(identities.listen, redis))]
    if quotas is not None:
        tasks.append(asyncio.create_task(quotas.keep()))
    try:
        yield Gate(identities, quotas, TrustedProxies(settings.trusted_proxies))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if quotas is not None:
            await quotas.close()
        await identities.note_use()
        await redis.close()


async def listen_for_ever(heed: Callable[[Invalidations], Awaitable[None]], redis: RedisWhenThere) -> None:
    """Hear what others say, such as that a key was revoked; while that cannot be, lifetimes bound what is kept."""
    said = ""
    while True:
        try:
            await heed(RedisInvalidations(await redis.connection()))
        except Exception as error:  # noqa: BLE001  # a bug in one message must not end all later ones
            if repr(error) != said:
                _log.warning("revoked keys and purges are not heard of at once: %s", loggable(error))
            said = repr(error)
        await asyncio.sleep(RETRY_S)
