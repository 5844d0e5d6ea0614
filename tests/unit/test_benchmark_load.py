"""The load generator counts what it is sent: real sockets, a tiny server, no Riftline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.http_connection import LOST, Requests, Response, parse_response
from benchmarks.load import Items, Load, LoadReport, Recorder, Samples, run

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


def test_a_refusal_says_when_to_retry_or_does_not() -> None:
    """The header is seen where there is one, in any case."""
    refusals = [b"HTTP/1.1 503 Full\r\n%sContent-Length: 0\r\n\r\n" % head for head in (b"", b"RETRY-AFTER: 1\r\n")]
    seen = [parse_response(refusal) for refusal in refusals]
    assert [one is not None and one.says_when_to_retry for one in seen] == [False, True]


def test_a_post_carries_its_item_and_a_get_asks_for_it() -> None:
    """The item is the body of the one, with its length, and the end of the path of the other."""
    post = Requests("POST", "/predict/single", "host", 80).of(b"{}")
    assert post.startswith(b"POST /predict/single HTTP/1.1\r\nHost: host:80\r\n")
    assert post.endswith(b"Content-Length: 2\r\n\r\n{}")
    get = Requests("GET", "/players/", "host", 80).of(b"x?y=1")
    assert get.startswith(b"GET /players/x?y=1 HTTP/1.1\r\n")
    assert get.endswith(b"\r\n\r\n")
    assert b"Content-" not in get


def test_items_repeat_only_when_all_were_sent() -> None:
    """Three items are handed out once each; the fourth is the first again."""
    items = Items([b"a", b"b", b"c"])
    assert [items.take() for _ in range(4)] == [b"a", b"b", b"c", b"a"]
    assert items.sent == 4


def test_the_sample_is_as_large_as_wanted_and_of_all_answers() -> None:
    """Of a thousand answers ten are kept, early and late ones."""
    samples = Samples(10)
    for number in range(1000):
        samples.offer(str(number).encode(), b"ok")
    kept = {int(sample.request) for sample in samples.kept}
    assert len(kept) == 10
    assert min(kept) < 500 < max(kept)


def test_outcomes_are_counted_and_only_answers_end_a_gap() -> None:
    """Answers at 1 and 4 s leave a gap of 3 s, whatever was refused or lost meanwhile; none until 9 s is one of 5."""
    recorder = Recorder(10, 0.0)
    answer, refusal = (Response(status, b"said", 0, keep_alive=True) for status in (200, 503))
    for at_s, outcome in ((1.0, answer), (2.0, refusal), (3.0, LOST), (4.0, answer)):
        recorder.told(b"asked", outcome, at_s - 0.25, at_s)
    assert recorder.latencies_s == [0.25, 0.25]
    assert recorder.errors == {"503": 1, LOST: 1}
    assert [len(recorder.samples.kept), recorder.worst_gap_s(5.0), recorder.worst_gap_s(9.0)] == [2, 3.0, 5.0]


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
    assert 0 <= report.sent - len(received) <= 4
    assert 0 <= len(received) - report.answers <= 4  # what was on its way at the end does not count
    assert report.per_second == report.answers / report.seconds
    latency = report.latency
    assert 0 < latency.p50_ms <= latency.p95_ms <= latency.p99_ms <= latency.max_ms
    assert 0 < report.worst_gap_s < report.seconds
    assert report.errors == {}


async def test_refusals_are_errors_and_not_answers() -> None:
    """A 503 counts under its status, and the report has no latency of an answer."""
    async with _server(lambda _: b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n") as (port, _):
        report = await run(_load(port), [b"1"])
    assert (report.answers, report.latency.max_ms, report.sent > 1) == (0, 0.0, True)
    assert report.worst_gap_s == pytest.approx(report.seconds, abs=1e-3)
    assert report.errors["503"] > 0


async def test_a_lost_connection_is_counted_and_opened_again() -> None:
    """A server that hangs up now and then costs those requests; the others go on being answered."""
    async with _server(lambda body: b"" if body == b"7" else _echo(body)) as (port, _):
        report = await run(_load(port), [str(number).encode() for number in range(10)])
    assert report.errors[LOST] > 1
    assert report.answers > 9


async def test_what_hangs_to_the_end_is_told() -> None:
    """Requests that are never answered are overdue when they have waited for more than a second, and not before."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        load = _load(server.sockets[0].getsockname()[1], connections=3)
        early, late = await asyncio.gather(run(load, [b"1"]), run(replace(load, seconds=1.5), [b"1"]))
    assert (early.overdue, early.errors, early.sent) == (0, {}, 3)
    assert (late.overdue, late.errors, late.answers) == (3, {}, 0)


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
        '{"seconds":2.0,"answers":4,"errors":{},"latency":{"p50_ms":1.0,"p95_ms":2.0,"p99_ms":3.0,"max_ms":4.0},'
        '"worst_gap_s":0.5,"overdue":0,"sent":5,"generator_cpu_s":0.5,"samples":[{"request":"a","response":"b"}]}'
    )
    report = LoadReport.from_json(values.encode())
    assert (report.per_second, report.latency.max_ms, report.samples[0].response) == (2.0, 4.0, "b")
