"""Redis for the contract suites: the embedded server, Debian's Redis 7 and a cluster of six, empty in each test."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from stores.redis_store.connection import open_redis
from tests.servers.need import needed
from tests.servers.redis import EmbeddedRedis, RedisClusterServers, RedisServer, redis_7, valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stores.redis_store.connection import RedisConnection

IMPLEMENTATIONS = ("embedded", "redis-7", "cluster")


class Server(Protocol):
    """What a test does with a server of any implementation."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@pytest.fixture(scope="session")
def make_server() -> Iterator[Callable[..., Any]]:
    """Make a server of an implementation, not yet started; ended and removed with the session."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))  # short: a socket's path ends at 107 bytes
    servers: list[Server] = []

    def make(implementation: str, *options: str, password: str = "") -> Server:
        folder = home / f"{len(servers)}"
        with needed():
            server: Server
            match implementation:
                case "embedded":
                    server = EmbeddedRedis(folder)
                case "redis-7":
                    server = RedisServer(redis_7(), folder, *options, password=password)
                case _:
                    server = RedisClusterServers(valkey(), folder)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.resume()
        server.stop()
    shutil.rmtree(home)


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of the implementation."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(implementation: str, make_server: Callable[..., Any]) -> Any:
    """The session's server of this implementation."""
    server = make_server(implementation)
    server.start()
    return server


@pytest.fixture
async def connection(server: Any) -> AsyncIterator[RedisConnection]:
    """A connection to the session's server, which is empty."""
    connection = await open_redis(server.url)
    await connection.run(lambda redis: redis.flushall())
    yield connection
    await connection.close()


@pytest.fixture
def hostile_texts() -> list[str]:
    """Texts that try to leave their place in a key, a command or a script; all of them different names."""
    return [
        "a",
        "a:minute",
        "a}:minute",
        "{a}",
        "}{",
        "*",
        "a*",
        "a b",
        "a\tc",
        "a\r\nFLUSHALL\r\n",
        "*1\r\n$8\r\nFLUSHALL\r\n",
        "%7Ba%7D",
        "a%3Aminute",
        "'); redis.call('FLUSHALL') --",
        "..",
        "\x7f\x1b[2J",
        "페이커",
        "x" * 256,
    ]
