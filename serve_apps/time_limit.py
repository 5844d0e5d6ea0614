"""How long a request may take: what takes longer is told to come back, not held until a proxy hangs up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from serve_apps.problems import problem_of, problem_response
from serve_apps.request_errors import TimedOutError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TimeLimit:
    """ASGI middleware. An answer that has begun is finished; one that has not becomes a problem, and its work ends.

    What was stored by then stays stored: a POST may have had its effect.
    """

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self._app = app
        self._limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limit_s) as limit:

                async def begun(message: Message) -> None:
                    limit.reschedule(None)
                    await send(message)

                await self._app(scope, receive, begun)
        except TimeoutError:
            if not limit.expired():  # somebody else's
                raise
            error = TimedOutError(
                f"the answer took longer than {self._limit_s:g} s; it may have been stored all the same"
            )
            await problem_response(problem_of(error))(scope, receive, send)
