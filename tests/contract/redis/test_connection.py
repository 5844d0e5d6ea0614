"""The connection: typed errors within the deadline, no password in them, and no need to be opened again."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from redis.exceptions import ConnectionError as LostError

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, OverloadedError, TransientError
from stores.redis_store.connection import DEADLINE_S, address_of, open_redis
from tests.servers.process import free_port
from tests.servers.redis import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stores.redis_store.connection import RedisConnection
    from tests.servers.redis import RedisServer

pytestmark = pytest.mark.role("connection")

SLACK_S = 1.0  # of a machine that is busy with other tests


async def test_the_server_says_whether_it_is_a_cluster(connection: RedisConnection, implementation: str) -> None:
    """One URL of one node is enough; every node that has slots answers a ping."""
    assert connection.is_cluster == (implementation == "cluster")
    await connection.ping()


async def test_a_closed_connection_says_so(server: Any) -> None:
    """Closing waits for the calls under way, may be done twice, and later calls are told."""
    connection = await open_redis(server.url)
    await connection.run(lambda redis: redis.delete("list"))
    waiting = asyncio.ensure_future(connection.run(lambda redis: redis.blpop(["list"], timeout=0.5)))
    await connection.run(lambda redis: redis.get("x"))  # the other is under way
    closing = asyncio.ensure_future(connection.close())
    assert await waiting is None
    await closing
    await connection.close()
    with pytest.raises(TransientError, match="closed"):
        await connection.ping()


async def test_too_many_callers_are_told(server: Any) -> None:
    """When every connection is taken for as long as the deadline, a caller hears that it is too much."""
    connection = await open_redis(server.url, size=2, deadline_s=0.5)
    await connection.run(lambda redis: redis.delete("list"))
    taken = [
        asyncio.ensure_future(connection.run(lambda redis: redis.blpop(["list"], timeout=1), deadline_s=5))
        for _ in range(2)
    ]
    await asyncio.sleep(0)  # lets both take theirs
    with pytest.raises(OverloadedError, match="all 2 connections"):
        await connection.ping()
    await asyncio.gather(*taken)
    await connection.ping()
    await connection.close()


async def test_a_thousand_callers_share_the_connections(connection: RedisConnection) -> None:
    """Far more callers than connections are all served."""

    async def write_and_read(key: str) -> bytes:
        await connection.run(lambda redis: redis.set(key, key))
        return bytes(await connection.run(lambda redis: redis.get(key)))

    values = await asyncio.gather(*(write_and_read(f"k{index}") for index in range(1000)))
    assert values == [f"k{index}".encode() for index in range(1000)]


async def test_only_what_may_be_repeated_is(connection: RedisConnection) -> None:
    """A broken connection is tried again for a repeatable call; another call is made once, its outcome unknown."""
    calls = 0

    async def break_off(_: Any) -> None:
        nonlocal calls
        calls += 1
        raise LostError("Connection closed by server.")

    with pytest.raises(OutcomeUnknownError):
        await connection.run(break_off, repeatable=False)
    assert calls == 1
    with pytest.raises(TransientError):
        await connection.run(break_off)
    assert calls > 2


async def test_a_key_of_another_type_is_a_conflict(connection: RedisConnection) -> None:
    """What something else wrote in our place is a conflict, in which no value is quoted."""
    await connection.run(lambda redis: redis.set("x", "secret"))
    with pytest.raises(ConflictError, match="another type") as raised:
        await connection.run(lambda redis: redis.lpush("x", "secret"))
    assert "secret" not in str(raised.value)


async def test_a_paused_server_ends_calls_within_the_deadline(server: Any, connection: RedisConnection) -> None:
    """Servers that keep their sockets and say nothing: typed errors in time, for many callers too, then all is well."""
    await connection.ping()
    server.pause()
    try:
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(connection.run(lambda redis: redis.get("x")) for _ in range(8)),
            connection.run(lambda redis: redis.incr("x"), repeatable=False),
            return_exceptions=True,
        )
        took_s = time.monotonic() - began
    finally:
        server.resume()
    assert [type(outcome) for outcome in outcomes] == [*[TransientError] * 8, OutcomeUnknownError]
    assert took_s < DEADLINE_S + SLACK_S
    assert all(connection.address in str(outcome) for outcome in outcomes)
    await connection.ping()


async def test_a_paused_server_cannot_be_opened(server: Any) -> None:
    """Opening ends within its deadline, too."""
    url = server.url
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(TransientError, match="no answer"):
            await open_redis(url, deadline_s=0.5)
        assert time.monotonic() - began < 0.5 + SLACK_S
    finally:
        server.resume()


@pytest.mark.parametrize("implementation", ["embedded", "redis-7"], indirect=True, scope="session")
async def test_a_killed_server_loses_nothing_acknowledged(implementation: str, make_server: Callable[..., Any]) -> None:
    """Killed five times in the middle of writes: typed errors, no reopening, and every acknowledged write is there."""
    server = make_server(implementation)
    server.start()
    connection = await open_redis(server.url)
    acknowledged: set[int] = set()
    stop, progress = asyncio.Event(), asyncio.Condition()

    async def add(number: int) -> None:
        await connection.run(lambda redis: redis.sadd("numbers", number), repeatable=False)

    async def write(first: int) -> None:
        number = first
        while not stop.is_set():
            try:
                await add(number)
                async with progress:
                    acknowledged.add(number)
                    progress.notify()
            except (TransientError, OutcomeUnknownError):
                await asyncio.sleep(0.01)
            number += 8

    writers = [asyncio.ensure_future(write(first)) for first in range(8)]
    for _ in range(5):
        wanted = len(acknowledged) + 100
        async with asyncio.timeout(20), progress:
            await progress.wait_for(lambda: len(acknowledged) >= wanted)  # noqa: B023  # awaited here
        await asyncio.to_thread(server.restart)
    stop.set()
    await asyncio.gather(*writers)
    kept = {int(member) for member in await connection.run(lambda redis: redis.smembers("numbers"))}
    assert acknowledged <= kept
    await connection.close()
    server.stop()


async def test_a_refused_connection_is_transient() -> None:
    """Nothing was sent, so nothing can have happened, whether the call may be repeated or not."""
    url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{free_port()}/0"
    with pytest.raises(TransientError, match=r"127\.0\.0\.1") as raised:
        await open_redis(url)
    assert PASSWORD not in repr(raised.value)


async def test_a_server_that_is_gone_refuses_in_no_time(make_server: Callable[..., Any]) -> None:
    """After a kill, calls fail at once rather than at the deadline, as nothing sent."""
    server = make_server("redis-7")
    server.start()
    connection = await open_redis(server.url)
    server.kill()
    began = time.monotonic()
    with pytest.raises(TransientError):
        await connection.ping()
    with pytest.raises(TransientError):
        await connection.run(lambda redis: redis.incr("x"), repeatable=False)
    assert time.monotonic() - began < 1.0
    await connection.close()


@pytest.fixture
def guarded(make_server: Callable[..., Any]) -> Iterator[tuple[RedisServer, Path]]:
    """A server that asks for a password, on its port and on a socket file."""
    with tempfile.TemporaryDirectory(prefix="rift-", dir="/tmp") as folder:  # short: a socket's path ends at 107 bytes
        server = make_server("redis-7", "--unixsocket", f"{folder}/redis.sock", password=PASSWORD)
        server.start()
        yield server, Path(folder) / "redis.sock"
        server.stop()


async def test_a_wrong_password_is_told_without_it(guarded: tuple[RedisServer, Path]) -> None:
    """The right password opens, also with characters that mean something in a URL; a wrong one is never quoted."""
    server, socket = guarded
    for scheme, place in (("redis", server.url.removeprefix("redis://")), ("unix", str(socket))):
        connection = await open_redis(f"{scheme}://:{quote(PASSWORD, safe='')}@{place}")
        assert PASSWORD not in connection.address
        await connection.ping()
        await connection.close()
        for login in (":wr0ng-s3cret@", "someone:wr0ng-s3cret@", ""):
            with pytest.raises(InvalidError) as raised:
                await open_redis(f"{scheme}://{login}{place}")
            assert raised.value.field == "RIFTLINE_REDIS_URL"
            assert "wr0ng-s3cret" not in repr(raised.value)


async def test_a_rotated_password_is_an_outage(guarded: tuple[RedisServer, Path]) -> None:
    """A password that becomes wrong in the life of a connection is no fault of the callers: transient, without it."""
    server, socket = guarded
    password = quote(PASSWORD, safe="")
    over_port = await open_redis(f"redis://:{password}@{server.url.removeprefix('redis://')}")
    over_socket = await open_redis(f"unix://:{password}@{socket}")
    with closing(server.client()) as admin:
        admin.config_set("requirepass", "rotated")
        admin.execute_command("CLIENT KILL TYPE normal SKIPME yes")
    for connection in (over_port, over_socket):
        with pytest.raises(TransientError) as raised:
            await connection.ping()
        assert PASSWORD not in repr(raised.value)
        await connection.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:6379",
        "redis://127.0.0.1:port/0",
        "redis://127.0.0.1:6379/zero",
        "redis://:p@ss@127.0.0.1:6379",
        "redis://:p#ss@127.0.0.1:6379",
    ],
)
async def test_a_wrong_url_is_told_without_it(url: str) -> None:
    """What is no URL of Redis is refused with the form it should have, and nothing of it."""
    with pytest.raises(InvalidError, match="RIFTLINE_REDIS_URL is not a Redis URL") as raised:
        await open_redis(url)
    assert "ss@" not in repr(raised.value)


async def test_a_database_that_is_not_there_is_told(server: Any) -> None:
    """A number beyond the server's databases, or any but 0 of a cluster, is a mistake in the URL."""
    url = server.url
    with pytest.raises(InvalidError) as raised:
        await open_redis(f"{url}?db=99" if url.startswith("unix:") else url.replace("/0", "/99"))
    assert raised.value.field == "RIFTLINE_REDIS_URL"


def test_an_address_holds_no_login() -> None:
    """What is shown of a URL names the host and the database alone."""
    assert address_of("redis://user:secret@redis.example:6380/2") == "Redis at redis.example:6380/2"
    assert address_of("rediss://:secret@redis.example") == "Redis at redis.example:6379"
    assert address_of("unix:///tmp/a%20b/redis.sock") == "Redis at /tmp/a b/redis.sock"
