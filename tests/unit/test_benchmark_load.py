"""The load generator counts what it is sent: real sockets, a tiny server, no Riftline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import LOST, Bodies, Load, LoadReport, Recorder, Response, parse_response, percentile, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOT = Path(__file__).parents[2]
WHOLE = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello"


def test_a_response_is_read_when_it_is_whole_and_not_before() -> None:
    """Every shorter beginning gives None; what follows the response is left."""
    assert all(parse_response(WHOLE[:size]) is None for size in range(len(WHOLE)))
    assert parse_response(WHOLE + b"HTTP/1.1 500") == Response(200, b"hello", len(WHOLE), keep_alive=True)


def test_names_of_headers_have_no_case_and_close_is_seen() -> None:
    """A lower-case length is read, and an announced end of the connection is told."""
    response = parse_response(b"HTTP/1.1 503 Full\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n")
    assert response is not None
    assert (response.status, response.body, response.keep_alive) == (503, b"", False)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"SSH-2.0-x\r\n\r\n"])
def test_what_has_no_length_is_refused(head: bytes) -> None:
    """A chunked response and another protocol are refused rather than waited for."""
    with pytest.raises(ValueError, match="content-length"):
        parse_response(head)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0, 1))
def test_a_percentile_is_the_least_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    """At least the share lies at or below it, and less than the share lies at or below any smaller value."""
    ordered = sorted(values)
    found = percentile(ordered, share)
    needed = math.ceil(share * len(values))
    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) < max(needed, 1)


def test_percentiles_of_a_hundred_are_their_ranks() -> None:
    """Of 1 to 100, p50, p95 and p99 are 50, 95 and 99; of nothing they are 0."""
    hundred = list(range(1, 101))
    assert [percentile(hundred, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert percentile([], 0.5) == 0.0


def test_bodies_repeat_only_when_all_were_sent() -> None:
    """Three bodies are handed out once each; the fourth is the first again, and that is told."""
    bodies = Bodies([b"a", b"b", b"c"])
    assert [bodies.take() for _ in range(3)] == [b"a", b"b", b"c"]
    assert bodies.times_sent == 1
    assert (bodies.take(), bodies.times_sent) == (b"a", 2)


def test_the_sample_is_as_large_as_wanted_and_of_all_answers() -> None:
    """Of a thousand answers ten are kept, early and late ones; an error is counted and not kept."""
    recorder = Recorder(10)
    for number in range(1000):
        recorder.answered(str(number).encode(), Response(200, b"ok", 0, keep_alive=True), 0.1)
    recorder.answered(b"bad", Response(422, b"no", 0, keep_alive=True), 0.1)
    kept = {int(sample.request) for sample in recorder.samples}
    assert len(kept) == 10
    assert min(kept) < 500 < max(kept)
    assert (len(recorder.latencies_s), recorder.errors) == (1000, {"422": 1})


@contextlib.asynccontextmanager
async def _server(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives ``answer(body)`` and keeps the bodies; an empty answer ends the connection."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                received.append(body)
                said = answer(body)
                if not said:
                    break
                for part in (said[:20], said[20:]):  # in two pieces, as networks do
                    writer.write(part)
                    await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], received


def _echo(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _load(port: int, connections: int = 4, samples: int = 0) -> Load:
    return Load("127.0.0.1", port, "POST", "/predict/single", 0.3, connections, samples)


async def test_every_answer_belongs_to_its_request() -> None:
    """Against an echo, each sampled answer is the very request, no body is sent twice, and the counts agree."""
    bodies = [json.dumps(number).encode() for number in range(200_000)]
    async with _server(_echo) as (port, received):
        report = await run(_load(port, samples=50), bodies)
    assert len(report.samples) == 50
    assert all(sample.request == sample.response for sample in report.samples)
    assert len(set(received)) == len(received)
    assert report.times_sent == 1
    assert 0 <= len(received) - report.answers <= 4  # what was on its way at the end does not count
    assert report.per_second == report.answers / report.seconds
    assert 0 < report.p50_ms <= report.p95_ms <= report.p99_ms
    assert report.errors == {}


async def test_refusals_are_errors_and_not_answers() -> None:
    """A 503 counts under its status, and the report has no latency of an answer."""
    async with _server(lambda _: b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n") as (port, _):
        report = await run(_load(port), [b"1"])
    assert (report.answers, report.p99_ms, report.times_sent > 1) == (0, 0.0, True)
    assert report.errors["503"] > 0


async def test_a_lost_connection_is_counted_and_opened_again() -> None:
    """A server that hangs up now and then costs those requests; the others go on being answered."""
    async with _server(lambda body: b"" if body == b"7" else _echo(body)) as (port, _):
        report = await run(_load(port), [str(number).encode() for number in range(10)])
    assert report.errors[LOST] > 1
    assert report.answers > 9


async def test_nobody_listening_is_an_error_and_no_hang() -> None:
    """Against a closed port the run ends in time and says that nobody was reached."""
    async with _server(_echo) as (port, _):
        pass
    report = await run(_load(port, connections=1), [b"1"])
    assert (report.answers, set(report.errors)) == (0, {"not connected"})


async def test_the_command_sends_the_lines_of_its_input() -> None:
    """The process of its own, on uvloop, sends each line as a body and prints a report that is read again."""
    command = [sys.executable, "-m", "benchmarks.load", "POST", "/predict/single"]
    bodies = b"\n".join(b"%d" % number for number in range(100_000))
    async with _server(_echo) as (port, received):
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), "--seconds", "0.3", "--connections", "4", stdin=PIPE, stdout=PIPE, cwd=ROOT
        )
        printed, _ = await process.communicate(bodies)
        report = LoadReport.from_json(printed)
        assert report.answers > 4
        assert {int(body) for body in received} == set(range(len(received)))


def test_a_report_survives_its_json() -> None:
    """What the process prints is what the parent reads."""
    values = (
        '{"seconds":2.0,"answers":4,"errors":{},"p50_ms":1.0,"p95_ms":2.0,"p99_ms":3.0,'
        '"times_sent":1,"generator_cpu_s":0.5,"samples":[{"request":"a","response":"b"}]}'
    )
    report = LoadReport.from_json(values.encode())
    assert (report.per_second, report.samples[0].response) == (2.0, "b")
