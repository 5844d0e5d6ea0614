"""`POST /purge`: what caches keep of our answers is dropped, and asked for anew.

A replica keeps the distributions that it worked out, and what they are made of, a model and a view of the features; for
newer ones of these it looks every second. A purge lets all replicas forget the former and look at once for the latter,
so that a CDN is not given the former answers again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Literal

import httpx
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from serve_apps.admission import listen_for_ever
from serve_apps.cache_headers import KINDS
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.gate import PURGE_PATH
from serve_apps.problem_responses import WRITE, problems
from serve_apps.problems import loggable
from serve_apps.request_errors import CdnFailedError
from stores.domain.invalidation import Changed, Invalidation, Missed
from stores.errors import InvalidError, RiftlineError
from stores.redis_store.invalidation import RedisInvalidations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from serve_apps.admission import RedisWhenThere
    from serve_apps.service import PredictionService
    from stores.roles.invalidation import Invalidations
    from stores.settings import WebSettings

MAX_KEYS, MAX_KEY = 100, 160  # Fastly takes a header of 16 kB and 256 keys
CDN_WITHIN_S = 5.0
TOLD_WITHIN_S = 1.5
LOOK_WITHIN_S = 1.5  # what takes longer is left to the look of each second
_log = logging.getLogger(__name__)
router = APIRouter(tags=["operations"])


class PurgeRequest(BaseModel):
    """What is to be dropped: answers by their surrogate keys, or all of them."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"surrogate_keys": ["search"]}]}
    )

    surrogate_keys: list[Annotated[str, Field(pattern="^[!-~]+$", max_length=MAX_KEY)]] = Field(
        default_factory=list, max_length=MAX_KEYS, description="As they stand in `Surrogate-Key` of the answers."
    )
    everything: bool = Field(default=False, description="In place of the keys: all that may be kept.")


class Purged(BaseModel):
    """What was done."""

    surrogate_keys: list[str]
    dropped: int = Field(description="Distributions that the replica which answers had kept.")
    replicas: Literal["told", "not told"] = Field(description="Whether the other replicas were asked to do the same.")
    cdn: Literal["purged", "none"] = Field(description="`none`: no CDN is configured.")


class Cdn:
    """A CDN that is purged as Fastly is: a POST with ``Surrogate-Key``. The token is in no log and no error."""

    def __init__(self, url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"Fastly-Key": token} if token else {}
        self._url = url
        self._client = httpx.AsyncClient(headers=headers, timeout=CDN_WITHIN_S, transport=transport)

    async def purge(self, keys: Sequence[str]) -> None:
        """Drop the answers of these keys. Raises CdnFailedError, which may be late: purging again does no harm."""
        try:
            async with asyncio.timeout(CDN_WITHIN_S):  # the client's own is for each step
                said = await self._client.post(self._url, headers={"Surrogate-Key": " ".join(keys)})
        except TimeoutError:
            raise CdnFailedError(f"the CDN does not answer within {CDN_WITHIN_S:g} s") from None
        except httpx.HTTPError as error:
            raise CdnFailedError(f"the CDN cannot be asked: {type(error).__name__}") from None
        if not said.is_success:
            raise CdnFailedError(f"the CDN answered {said.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Purges:
    """Tells the replicas, then the CDN. Belongs to one event loop; ``cdn`` None: there is none."""

    def __init__(self, service: PredictionService, redis: RedisWhenThere, cdn: Cdn | None) -> None:
        self._service = service
        self._redis = redis
        self._cdn = cdn
        self._breaker = CircuitBreaker("Redis")

    async def purge(self, keys: Sequence[str]) -> Purged:
        """Drop the answers of these keys. Raises CdnFailedError; the replicas have been told then all the same."""
        dropped = self._service.cache.clear()  # before this replica hears of it too
        told = await self._tell(Invalidation(Changed.ANSWER, tuple(keys)))
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_WITHIN_S):
                await self._service.state.refresh()
        if self._cdn is not None:
            await self._cdn.purge(keys)
        return Purged(
            surrogate_keys=list(keys),
            dropped=dropped,
            replicas="told" if told else "not told",
            cdn="none" if self._cdn is None else "purged",
        )

    async def listen(self, invalidations: Invalidations) -> None:
        """Forget and look anew whenever a replica is asked to purge, for as long as that is heard."""
        async for told in invalidations.listen():
            if isinstance(told, Missed) or told.kind is Changed.ANSWER:
                self._service.cache.clear()
                await self._service.state.refresh()

    async def _tell(self, invalidation: Invalidation) -> bool:
        async def tell() -> None:
            await RedisInvalidations(await self._redis.connection()).publish(invalidation)

        try:
            await self._breaker.call(tell, TOLD_WITHIN_S)
        except RiftlineError as error:
            _log.warning("the other replicas do not hear of a purge: %s", loggable(error))
            return False
        return True


@asynccontextmanager
async def opened_purges(service: PredictionService, redis: RedisWhenThere, web: WebSettings) -> AsyncIterator[Purges]:
    """The purges of a replica, which hears those of the others. ``redis`` is closed by who opened it."""
    cdn = Cdn(web.cdn_purge_url, web.cdn_token) if web.cdn_purge_url else None
    purges = Purges(service, redis, cdn)
    listening = asyncio.create_task(listen_for_ever(purges.listen, redis))
    try:
        yield purges
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        if cdn is not None:
            await cdn.close()


@router.post(
    PURGE_PATH, operation_id="purge", summary="Drop what caches keep of our answers", responses=problems(*WRITE, 502)
)
async def purge(body: PurgeRequest, request: Request) -> Purged:
    """For administrators. Purging again does no harm: 502 says that the CDN did not do it."""
    if bool(body.surrogate_keys) == body.everything:
        raise InvalidError("surrogate_keys: name some, or say that everything is meant", "surrogate_keys")
    purges: Purges = request.app.state.purges
    keys = KINDS if body.everything else tuple(dict.fromkeys(body.surrogate_keys))
    return await purges.purge(keys)
