"""Names of requests: sane ones are kept, others replaced, and the log bears them."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from serve_apps.request_context import RequestNames, context_of, current, name_log_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive, Scope, Send

SANE = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_log = logging.getLogger("serve_apps.test")


@pytest.fixture(autouse=True)
def named() -> Iterator[None]:
    """Records are named in these tests alone."""
    before = logging.getLogRecordFactory()
    name_log_records()
    name_log_records()
    yield
    logging.setLogRecordFactory(before)


async def _ask(headers: dict[str, str], status: int = 200, *, told: bool = True) -> list[Any]:
    sent: list[Any] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        _log.info("at %d%%", 50)
        _log.info("plain 100%")
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/x\n", "headers": raw}
    await RequestNames(app, told=told)(scope, receive, send)
    return sent


@pytest.mark.parametrize("given_id", ["a", "0b1f0f0e-0b2c-7000-8000-000000000001", "x" * 128, "Root=1-67891233-abc"])
async def test_a_sane_id_is_kept(given_id: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told in the answer, and stands in each line of the log."""
    caplog.set_level(logging.INFO)
    sent = await _ask({"x-request-id": given_id, "traceparent": TRACE})
    assert sent[0]["headers"] == [(b"x-request-id", given_id.encode())]
    assert [record.getMessage() for record in caplog.records] == [
        f"request {given_id} trace {TRACE}: at 50%",
        f"request {given_id} trace {TRACE}: plain 100%",
    ]
    assert {record.http_request_id for record in caplog.records} == {given_id}  # type: ignore[attr-defined]
    assert current() is None


@given(text=st.text(st.characters(max_codepoint=255), max_size=200).filter(lambda it: not SANE.fullmatch(it)))
def test_any_other_id_is_replaced(text: str) -> None:
    """Whatever is given, what goes into the log and the answer is short and plain."""
    context = context_of(Headers({"x-request-id": text, "traceparent": text}))
    assert context.request_id != text
    assert SANE.fullmatch(context.request_id)
    assert context.traceparent == ""


@pytest.mark.parametrize(
    "wrong", ["", TRACE.upper(), f"{TRACE}-", "ff" + TRACE[2:], TRACE.replace("4", "0")[:3] + "0" * 32 + TRACE[35:]]
)
def test_a_wrong_trace_is_left_out(wrong: str) -> None:
    """W3C Trace Context, section 3.2: lower case, no version ff, no id of zeros."""
    assert context_of(Headers({"traceparent": wrong})).traceparent == ""


async def test_ids_are_made_and_differ() -> None:
    """Requests at the same time each have their own."""
    answers = await asyncio.gather(*(_ask({}) for _ in range(20)))
    ids = {sent[0]["headers"][0][1] for sent in answers}
    assert len(ids) == 20


async def test_the_server_in_front_may_tell_it() -> None:
    """Then the answer bears it once."""
    assert (await _ask({"x-request-id": "a"}, told=False))[0]["headers"] == []


async def test_what_failed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the id and a path that cannot break the line."""
    await _ask({"x-request-id": "abc"}, 503)
    (line,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert line.startswith("request abc: GET '/x\\n': 503 in ")


def test_records_of_others_keep_their_own_names(caplog: pytest.LogCaptureFixture) -> None:
    """Serve gives its records a `request_id`; a record refuses to be given a name that it has."""
    name_log_records()
    with caplog.at_level(logging.INFO):
        logging.getLogger("ray.serve").info("served", extra={"request_id": "theirs", "traceparent": "theirs"})
    (record,) = caplog.records
    assert (record.request_id, record.http_request_id) == ("theirs", "")  # type: ignore[attr-defined]
