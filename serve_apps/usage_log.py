"""Every answered request is counted, and kept as a call where it was let in: for figures, quotas and bills."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from serve_apps.admission import TICKET
from serve_apps.problems import loggable
from stores.clock import utc_now
from stores.domain.time_ids import new_time_id
from stores.domain.usage import MAX_USER_AGENT, ApiCall
from stores.errors import RiftlineError
from stores.open_stores import influx_at
from stores.postgres.time_series import PostgresTimeSeries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from serve_apps.gate import Ticket
    from serve_apps.request_metrics import RequestMetrics
    from serve_apps.write_behind import WriteBehind
    from stores.postgres.pool import Pool
    from stores.roles.time_series import TimeSeries
    from stores.settings import InfluxSettings

EVERY_S = 10.0  # the store sums minutes; a dashboard looks no closer
UNMATCHED = "unmatched"  # the route of a path that is none: paths themselves would be endless

_log = logging.getLogger(__name__)


class UsageLog:
    """ASGI middleware, the outermost. Nobody waits for what it keeps."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, size = time.perf_counter(), 500, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            _keep(scope, status, time.perf_counter() - begun, size)


def _keep(scope: Scope, status: int, seconds: float, size: int) -> None:
    route, state = scope.get("route"), scope["app"].state
    endpoint = UNMATCHED if route is None else route.path
    metrics: RequestMetrics = state.metrics
    metrics.note(endpoint, scope["method"], status, seconds, size)
    ticket = scope.get(TICKET)
    if ticket is None:  # refused, or open to all
        return
    behind: WriteBehind = state.write_behind
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    with suppress(RiftlineError):  # a head that no table takes is no reason to fail an answer
        call = call_of(
            (endpoint, scope["method"], status),
            ticket,
            utc_now(),
            seconds,
            (int(length) if length.isdigit() else None, size),
            headers.get(b"user-agent", b"").decode("latin-1")[:MAX_USER_AGENT] or None,
        )
        behind.note_calls([call])


def call_of(  # noqa: PLR0913, PLR0917  # who asked what, when and how long it took
    answered: tuple[str, str, int],
    ticket: Ticket,
    at: datetime,
    seconds: float,
    sizes: tuple[int | None, int],
    agent: str | None,
) -> ApiCall:
    """A call that was ``answered``: route, method and status; ``sizes`` are the bytes of request and answer.

    Raises InvalidError for what no table takes.
    """
    endpoint, method, status = answered
    return ApiCall(
        usage_id=new_time_id(at),
        endpoint=endpoint,
        http_method=method,
        status_code=status,
        user_id=ticket.identity.user_id,
        api_key_id=ticket.identity.api_key_id,
        response_time_ms=round(1e3 * seconds, 3),
        client_ip=ticket.address,
        user_agent=agent,
        request_size_bytes=sizes[0],
        response_size_bytes=sizes[1],
    )


@asynccontextmanager
async def written_metrics(metrics: RequestMetrics, influx: InfluxSettings, pool: Pool) -> AsyncIterator[None]:
    """Write the counts every 10 s: to InfluxDB where one is named, else to PostgreSQL. What cannot be is let go."""
    task = asyncio.create_task(_write_for_ever(metrics, influx, pool))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _write_for_ever(metrics: RequestMetrics, influx: InfluxSettings, pool: Pool) -> None:
    while True:
        try:
            async with _series(influx, pool) as series:
                while True:
                    await asyncio.sleep(EVERY_S)
                    await series.write(metrics.take(utc_now()))
        except RiftlineError as error:
            _log.warning("metrics of the last %g s are lost: %s", EVERY_S, loggable(error))
            await asyncio.sleep(EVERY_S)


@asynccontextmanager
async def _series(influx: InfluxSettings, pool: Pool) -> AsyncIterator[TimeSeries]:
    if influx.url:
        async with influx_at(influx) as series:
            yield series
    else:
        of_postgres = PostgresTimeSeries(pool)
        yield of_postgres
        await of_postgres.close()
