"""The open-loop generator keeps its schedule whatever the server does: real sockets, a tiny server, no Riftline."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.http_connection import LOST, NOT_CONNECTED, Response
from benchmarks.open_load import Due, Ledger, OpenLoad, OpenReport, run, schedule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[int], Awaitable[bytes]]

ROOT = Path(__file__).parents[2]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@given(st.floats(1, 5000), st.floats(0.1, 2), st.integers(0, 9))
def test_the_schedule_rises_within_its_time_and_is_repeatable(rate: float, seconds: float, seed: int) -> None:
    """Moments rise, lie within the time, are the same again for the same seed."""
    moments = schedule(rate, seconds, seed)
    assert moments == sorted(moments) == schedule(rate, seconds, seed)
    assert all(0 <= moment < seconds for moment in moments)


def test_the_schedule_is_a_poisson_process() -> None:
    """Of 200,000 arrivals the number, the mean gap and the share of gaps above it are as they must be."""
    moments = schedule(10_000, 20, 1)
    gaps = np.diff(moments)
    assert len(moments) == pytest.approx(200_000, abs=5 * 200_000**0.5)
    assert gaps.mean() == pytest.approx(1e-4, rel=0.02)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert schedule(10_000, 20, 2) != moments


def test_latency_counts_from_the_moment_due_and_from_the_moment_written() -> None:
    """Due at 1 s, written at 3 s, answered at 4 s: 3 s and 1 s. What was refused has no latency, but is counted."""
    ledger = Ledger(5)
    ledger.told(Due(b"a", 1.0), Response(200, b"said", 0, keep_alive=True), 3.0, 4.0)
    ledger.told(Due(b"b", 1.0), Response(503, b"", 0, keep_alive=True), 3.0, 4.0)
    ledger.told(Due(b"c", 1.0), Response(429, b"", 0, keep_alive=True, says_when_to_retry=True), 3.0, 4.0)
    ledger.told(Due(b"d", 1.0), LOST, 3.0, 4.0)
    assert (ledger.from_due_s, ledger.from_written_s) == ([3.0], [1.0])
    assert ledger.outcomes == {"200": 1, "503": 1, "429": 1, LOST: 1}
    assert ledger.refused_without_retry_after == 1
    assert [sample.request for sample in ledger.samples.kept] == ["a"]


@contextlib.asynccontextmanager
async def _server(answer: Answer) -> AsyncIterator[tuple[int, list[int]]]:
    """A server whose n-th request gets ``await answer(n)``, an empty one ends the connection; also: who connected."""
    connected: list[int] = []
    asked = iter(range(10**9))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(len(connected))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                said = await answer(next(asked))
                if not said:
                    break
                writer.write(said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], connected


def _load(port: int, rate: float, connections: int = 8) -> OpenLoad:
    return OpenLoad("127.0.0.1", port, "POST", "/predict/single", 0.4, connections, rate=rate)


async def _at_once(_: int) -> bytes:
    return OK


async def test_everything_due_is_sent_and_answered() -> None:
    """Against a fast server all that was due is answered, over few connections; the last ones may come too late."""
    async with _server(_at_once) as (port, connected):
        report = await run(_load(port, 200), [b"1", b"2"])
    assert report.due == len(schedule(200, 0.4, 0)) == report.answers + report.unsent
    assert set(report.failures) <= {"unsent"}
    assert report.answers > 0
    assert 1 <= len(connected) <= report.connections <= 8
    assert report.from_written.max_ms <= report.from_due.max_ms
    assert report.per_second == report.answers / 0.4


async def test_a_server_that_stalls_makes_all_that_was_due_meanwhile_late() -> None:
    """One connection whose first answer waits for the end of the schedule: every other one is late, none is left out.

    A closed loop would have seen one slow answer; here no request could be sent, and that is told.
    """
    released = asyncio.Event()

    async def stall(number: int) -> bytes:
        if number == 0:
            await released.wait()
        return OK

    async with _server(stall) as (port, _):
        running = asyncio.create_task(run(_load(port, 200, connections=1), [b"1"]))
        await asyncio.wait([running], timeout=0.5)  # the schedule is over
        released.set()
        report = await running
    assert (report.answers, report.unanswered) == (1, 0)
    assert report.failures == {"unsent": report.due - 1}
    assert report.from_due.max_ms >= 300
    assert report.connections == 1


async def test_refusals_and_lost_connections_are_counted_and_sending_goes_on() -> None:
    """Every third request is refused without a word when to come back, every seventh loses its connection."""
    given: Counter[str] = Counter()

    async def moody(number: int) -> bytes:
        kind = LOST if number % 7 == 6 else "200" if number % 3 else "503"
        given[kind] += 1
        return {LOST: b"", "200": OK, "503": b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n"}[kind]

    async with _server(moody) as (port, _):
        report = await run(_load(port, 200), [b"1"])
    assert report.outcomes == given
    assert given.keys() == {"200", "503", LOST}
    assert sum(given.values()) == report.due - report.unsent  # at the end some may wait for a connection
    assert report.refused_without_retry_after == report.outcomes["503"]


async def test_nobody_listening_is_counted_and_no_hang() -> None:
    """Against a closed port every request fails, in time, even if many are due at once."""
    async with _server(_at_once) as (port, _):
        pass
    report = await run(_load(port, 500, connections=2), [b"1"])
    assert sum(report.failures.values()) == report.due
    assert report.outcomes.keys() == {NOT_CONNECTED}
    assert set(report.failures) <= {NOT_CONNECTED, "unsent"}


async def test_the_command_prints_a_report_that_is_read_again() -> None:
    """The process of its own, on uvloop, sends at its rate and prints what the parent reads."""
    command = [sys.executable, "-m", "benchmarks.open_load", "POST", "/predict/single", "--rate", "200"]
    async with _server(_at_once) as (port, _):
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), "--seconds", "0.4", "--samples", "3", stdin=PIPE, stdout=PIPE, cwd=ROOT
        )
        printed, _ = await process.communicate(b"1\n2\n3")
    report = OpenReport.from_json(printed)
    assert report.due == len(schedule(200, 0.4, 0)) == report.answers + report.unsent
    assert len(report.samples) == 3
    assert OpenReport.from_json(orjson.dumps(asdict(report))) == report
