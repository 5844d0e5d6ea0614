"""The limit of a request's time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from serve_apps.time_limit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Message, Receive, Scope, Send

SHORT_S, LONG_S = 0.01, 60.0


async def _ask(answer: Callable[[Send], Awaitable[None]], limit_s: float) -> list[Any]:
    sent: list[Any] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await answer(send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await TimeLimit(app, limit_s)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    return sent


async def test_what_takes_too_long_becomes_a_problem() -> None:
    """The work is cancelled, and the client hears when to come back."""
    ended = asyncio.Event()

    async def never(_: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    start, body = await _ask(never, SHORT_S)
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"]
    assert json.loads(body["body"])["code"] == "timed-out"
    assert ended.is_set()


async def test_an_answer_that_has_begun_is_finished() -> None:
    """The limit is of the first byte; a second head cannot be sent."""

    async def slow(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(3 * SHORT_S, later.set_result, None)
        await later
        await send({"type": "http.response.body", "body": b"all"})

    assert [message.get("body") for message in await _ask(slow, SHORT_S)] == [None, b"all"]


async def test_another_timeout_is_not_ours() -> None:
    """An error that the app raises stays what it is."""

    async def fails(_: Send) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await _ask(fails, LONG_S)
