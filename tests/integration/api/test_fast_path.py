"""The socket of a replica: a question in one piece is answered at once, in parts by the app, and both answer alike."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import httpx
import pytest
import uvicorn

from serve_apps import fast_path, overload
from serve_apps.api import create_api
from serve_apps.overload import Crowd, LoopLag
from serve_apps.service import PredictionService
from stores.backoff import until_done
from tests.integration.api.conftest import ORIGIN, OneView, question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from serve_apps.api import ApiSettings
    from serve_apps.fast_path import FastPath
    from serve_apps.placement import Models
    from tests.integration.api.conftest import Api

ANEW = {"date", "x-request-id", "content-length"}  # of each answer
OWN = {"prediction_id", "processing_time_ms", "cache_hit"}
SINGLE = "/predict/single"


class Said(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    body: Any

    def alike(self) -> tuple[int, set[str], Any]:
        """What does not differ between two answers to the same question."""
        body = {name: value for name, value in self.body.items() if name not in OWN}
        return self.status, set(self.headers) - ANEW, body


class Replica:
    """The app behind a real socket, started as Serve does it: the app first, then the server."""

    def __init__(self, settings: ApiSettings, models: Models | None = None) -> None:
        self._app = create_api(settings, OneView(), models=models)
        self.server: uvicorn.Server | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        async with self._app.router.lifespan_context(self._app):
            config = uvicorn.Config(self._app, host="127.0.0.1", port=0, lifespan="off", log_config=None)
            self.server = uvicorn.Server(config)
            await self.server.serve()

    def stop(self) -> None:
        """Ask it to stop."""
        assert self.server is not None
        self.server.should_exit = True

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self.server is not None and self.server.should_exit

    @property
    def fast(self) -> FastPath:
        """What answers at once."""
        path: FastPath = self._app.state.fast_path
        return path

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.server is not None
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port


@contextmanager
def running(settings: ApiSettings, models: Models | None = None) -> Iterator[Replica]:
    """A started replica; at the end it is asked to stop and does."""
    replica = Replica(settings, models)
    replica.thread.start()
    try:
        asyncio.run(until_done(lambda: _started(replica), lambda _: True))
        yield replica
    finally:
        replica.stop()
        replica.thread.join(30)
        assert not replica.thread.is_alive()


async def _started(replica: Replica) -> None:
    assert replica.thread.is_alive()
    if replica.server is None or not replica.server.started:
        raise RuntimeError


@pytest.fixture(scope="module")
def replica(api: Api) -> Iterator[Replica]:
    """One replica for the module."""
    with running(api.settings) as started:
        yield started


def raw(body: Any, path: str = SINGLE, **headers: str) -> bytes:
    """A request as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": "riftline", "content-type": "application/json", "content-length": str(len(content)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + content


async def _connected(replica: Replica) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", replica.port)
    yield reader, writer
    writer.close()


async def _response(reader: asyncio.StreamReader) -> Said:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Said(int(head[0].split()[1]), headers, json.loads(body))


async def ask(replica: Replica, pieces: list[bytes]) -> Said:
    """The response to a request that comes in these pieces, each sent when the one before was."""
    async for reader, writer in _connected(replica):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(_response(reader), 20)
    raise AssertionError


def both(replica: Replica, request: bytes) -> tuple[Said, Said, int]:
    """What is said to the request in one piece, to its head and body apart, and how many were answered at once."""
    before = replica.fast.answered
    whole = asyncio.run(ask(replica, [request]))
    at_once = replica.fast.answered - before
    body_at = request.index(b"\r\n\r\n") + 4
    parted = asyncio.run(ask(replica, [request[: body_at - 2], request[body_at - 2 : -1], request[-1:]]))
    return whole, parted, at_once


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prop_value": 4.0, "prop_type": "assists", "map_range": [1, 3], "best_of": 5},
        {"opponent": "Gen.G", "tournament": "LCK", "match_date": "2026-06-02", "position_roles": ["mid"]},
        {"champions": ["Azir"], "map_range": [1, 1]},
        {"player_names": ["Nobody At All"]},
        {"opponent": "T1", "team": "T1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [SINGLE, "/v1/predict/single"])
def test_both_answer_alike(replica: Replica, path: str, changes: dict[str, Any]) -> None:
    """Status, the names of the headers and the whole answer but for its own id and time, right or refused."""
    whole, parted, at_once = both(replica, raw(question(**changes), path))
    assert whole.alike() == parted.alike()
    assert at_once == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (question(explain=True), {}, 200),
        (question(), {"origin": ORIGIN}, 200),
        (question(), {"idempotency_key": "k-1"}, 200),
        (question(), {"accept": "application/vnd.riftline.v9+json"}, 406),
        (question(), {"content_type": "text/plain"}, 415),
        (question(), {"authorization": "Bearer rl_no_such_key"}, 401),
        (question(prop_value=-1), {}, 422),
        (b"{", {}, 400),
        (b"", {}, 422),
    ],
    ids=str,
)
def test_what_is_not_plain_is_left_to_the_app(
    replica: Replica, body: Any, headers: dict[str, str], status: int
) -> None:
    """It is answered as ever, and not at once."""
    whole, parted, at_once = both(replica, raw(body, **headers))
    assert (whole.status, parted.status, at_once) == (status, status, 0)


def test_a_caller_is_known_by_the_key(api: Api, replica: Replica) -> None:
    """After the first look at a key its questions are answered at once, and its user reads them in the history."""
    request = raw(question(), authorization=api.user["Authorization"])
    asyncio.run(ask(replica, [request]))
    before = replica.fast.answered
    said = asyncio.run(ask(replica, [request]))
    assert replica.fast.answered == before + 1
    found = api.client.get(f"/predictions/{said.body['prediction_id']}", headers=api.user)
    assert found.status_code == 200
    assert found.json()["confidence"] == said.body["confidence"]


@pytest.mark.parametrize("agent", ["", "é" * 600, "tab\there", "\x80\xff"], ids=["empty", "long", "tab", "latin"])
def test_any_agent_is_answered(replica: Replica, agent: str) -> None:
    """Whatever the tables make of a client's name, its question is answered, by both ways."""
    request = raw(question()).replace(b"host: riftline", b"host: riftline\r\nuser-agent: " + agent.encode("latin-1"))
    whole, parted, _ = both(replica, request)
    assert (whole.status, parted.status) == (200, 200)


def test_answers_keep_their_order(replica: Replica) -> None:
    """Questions that come before the answers, together or mixed with others, are answered one after the other."""
    lines = [0.5, 1.5, 2.5, 3.5]

    async def all_at_once() -> list[float]:
        async for reader, writer in _connected(replica):
            for line in lines:
                writer.write(raw(question(prop_value=line)))
                await writer.drain()
                writer.write(raw(question(prop_value=line, explain=True)))
            said = [await asyncio.wait_for(_response(reader), 20) for _ in range(2 * len(lines))]
            return [one.body["confidence"] for one in said]
        raise AssertionError

    confidences = asyncio.run(all_at_once())
    expected = [
        httpx.post(f"http://127.0.0.1:{replica.port}{SINGLE}", json=question(prop_value=line)).json()["confidence"]
        for line in lines
    ]
    assert confidences == [one for one in expected for _ in range(2)]


def test_a_stopping_replica_answers_what_it_took(api: Api) -> None:
    """Questions under way when it is asked to stop get their answers, and then the connection is closed."""

    async def under_way(replica: Replica) -> list[BaseException | int]:
        async def one() -> int:
            async for reader, writer in _connected(replica):
                statuses = []
                for _ in range(200):
                    writer.write(raw(question()))
                    statuses.append((await _response(reader)).status)
                    if replica.stopping and reader.at_eof():
                        break
                return len(statuses)
            raise AssertionError

        asking = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0)
        replica.stop()
        done = await asyncio.gather(*asking, return_exceptions=True)
        return [one for one in done if isinstance(one, asyncio.IncompleteReadError) and one.partial]

    with running(api.settings) as replica:
        assert asyncio.run(under_way(replica)) == []


async def kept_calls(api: Api, agent: str) -> int:
    """How many calls of this agent are kept."""
    connection = await asyncpg.connect(api.settings.database_url)
    count: int = await connection.fetchval("SELECT count(*) FROM api_usage WHERE user_agent = $1", agent)
    await connection.close()
    return count


def test_what_is_answered_is_counted_while_it_runs(api: Api, replica: Replica) -> None:
    """Answers are counted together a moment later, each once."""
    for _ in range(3):
        asyncio.run(ask(replica, [raw(question(), user_agent="counted")]))

    async def counted() -> None:
        assert await kept_calls(api, "counted") == 3

    asyncio.run(until_done(counted, lambda _: True))
    asyncio.run(ask(replica, [raw(question(), user_agent="counted")]))

    async def counted_again() -> None:
        assert await kept_calls(api, "counted") == 4

    asyncio.run(until_done(counted_again, lambda _: True))


def test_a_stopping_replica_counts_what_it_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts wait for others; the last ones do not wait for ever, and each call is kept once."""
    monkeypatch.setattr(fast_path, "COUNTED_S", 3600.0)
    with running(api.settings) as replica:
        for _ in range(3):
            said = asyncio.run(ask(replica, [raw(question(), user_agent="the last")]))
            assert said.status == 200
        assert replica.fast.answered == 3
    assert asyncio.run(kept_calls(api, "the last")) == 3


@pytest.mark.parametrize(("bound", "value"), [("MOST_LAG_S", -1.0), ("MOST_ELSEWHERE", 0)])
def test_a_late_loop_sheds(replica: Replica, monkeypatch: pytest.MonkeyPatch, bound: str, value: float) -> None:
    """When the loop is too far behind, or too many wait for a model elsewhere, a question gets 503 with Retry-After
    before anything is spent on it. A browser's is left to the app, which alone knows who may read a refusal.
    """
    before = replica.fast.answered
    monkeypatch.setattr(fast_path, bound, value)
    said = asyncio.run(ask(replica, [raw(question(), x_request_id="mine")]))
    assert (said.status, said.headers["retry-after"], said.body["code"]) == (503, "1", "overloaded")
    assert said.headers["x-request-id"] == "mine"
    assert asyncio.run(ask(replica, [raw(question(), origin=ORIGIN)])).status == 200
    assert replica.fast.answered == before


def test_those_who_come_together_are_answered_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause one is answered at once, the next wait for one another; a replica that stops answers them too."""
    crowds: list[int] = []
    really = PredictionService.prepare

    def seen(service: PredictionService, asked: Sequence[Any]) -> Any:
        crowds.append(len(asked))
        return really(service, asked)

    monkeypatch.setattr(PredictionService, "prepare", seen)
    monkeypatch.setattr(fast_path, "TOGETHER_S", 2.0)

    async def crowd(replica: Replica) -> list[int]:
        alone = await ask(replica, [raw(question())])
        asking = [asyncio.create_task(ask(replica, [raw(question())])) for _ in range(8)]
        await asyncio.sleep(0.5)  # they are there
        replica.stop()
        return [one.status for one in (alone, *await asyncio.gather(*asking))]

    with running(api.settings) as replica:
        assert asyncio.run(crowd(replica)) == [200] * 9
    assert crowds == [1, 8]


def test_those_beyond_the_crowd_are_told_to_come_back(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many questions at once those that would wait too long get 503 with Retry-After, the others their answers."""
    monkeypatch.setattr(overload, "ALWAYS", 2)
    monkeypatch.setattr(overload, "MOST_WAIT_S", 0.0)

    async def crowd() -> list[Said]:
        await ask(replica, [raw(question())])  # after it a crowd may be of two
        return list(await asyncio.gather(*(ask(replica, [raw(question())]) for _ in range(40))))

    said = asyncio.run(crowd())
    refused = [one for one in said if one.status == 503]
    assert {one.status for one in said} == {200, 503}
    assert {(one.headers["retry-after"], one.body["code"]) for one in refused} == {("1", "overloaded")}


def test_a_crowd_is_as_large_as_it_is_quick() -> None:
    """As many as are answered in time; one slow crowd is a pause, two are slow."""
    crowd = Crowd()
    assert crowd.most == overload.ALWAYS
    for seconds, most in ((0.01, 300), (10.0, 300), (0.02, 150), (10.0, 150), (10.0, overload.ALWAYS)):
        crowd.answered(100, seconds)
        assert crowd.most == most


@pytest.mark.parametrize(("late_s", "seen_s"), [((0.3, 0.5), 0.3), ((0.5, 0.3), 0.3), ((0.5, 0.0), 0.0), ((0.5,), 0.0)])
async def test_the_lag_of_a_busy_loop_is_seen(late_s: tuple[float, ...], seen_s: float) -> None:
    """A loop that is held up again and again shows how long; one pause is not held against it."""
    moments: list[float] = []
    for late in late_s:
        due = (moments[-1] if moments else 0.0) + overload.TICK_S
        moments += [due - overload.TICK_S, due + late]
    ticks = iter(moments)
    lag = LoopLag(lambda: next(ticks))
    with pytest.raises(RuntimeError):  # the moments end
        await lag.keep()
    assert lag.seconds == pytest.approx(seen_s)
