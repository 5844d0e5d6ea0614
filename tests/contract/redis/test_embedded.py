"""The embedded server: one per folder, alive after its starter, whole after a kill, gone after a stop."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from stores.errors import InvalidError, TransientError
from stores.redis_store import embedded
from tests.servers.redis import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

START = """
import sys
from pathlib import Path
from stores.redis_store import embedded
print(embedded.start(Path(sys.argv[1])))
"""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server over a folder that does not exist yet, under a path with a blank; stopped and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    server = EmbeddedRedis(home / "re dis")
    yield server
    server.resume()
    server.stop()
    shutil.rmtree(home)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=10)


def test_start_is_idempotent_and_stop_too(server: EmbeddedRedis) -> None:
    """Started twice it is one server with one URL; stopped twice it is gone, with its socket."""
    assert embedded.running_url(server.folder) is None
    url = embedded.start(server.folder)
    assert embedded.start(server.folder) == url == embedded.running_url(server.folder)
    assert len(server.processes()) == 1
    server.stop()
    server.stop()
    assert embedded.running_url(server.folder) is None
    assert server.processes() == []
    assert not (server.folder / embedded.SOCKET).exists()


def test_many_processes_start_one_server(server: EmbeddedRedis) -> None:
    """Eight processes that start it at once get one server, and it outlives them all."""
    command = [sys.executable, "-c", START, str(server.folder)]
    with ThreadPoolExecutor(8) as threads:
        urls = set(threads.map(lambda _: subprocess.check_output(command, text=True, cwd=Path.cwd()), range(8)))
    assert len(urls) == 1
    assert len(server.processes()) == 1
    with closing(_client(urls.pop().strip())) as client:
        assert client.ping()


def test_data_survives_stop_and_kill(server: EmbeddedRedis) -> None:
    """What was written is there after a stop and after a kill -9, also when the log ends in the middle of a write."""
    for number, end in enumerate((server.stop, server.kill, server.kill)):
        with closing(_client(embedded.start(server.folder))) as client:
            assert client.llen("list") == number
            client.rpush("list", f"value {number}")
        end()
    (log,) = (server.folder / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$4\r\nli")
    with closing(_client(embedded.start(server.folder))) as client:
        assert client.lrange("list", 0, -1) == [b"value 0", b"value 1", b"value 2"]


def test_every_write_is_on_the_disk_when_acknowledged(server: EmbeddedRedis) -> None:
    """The server is set to flush before it answers: the embedded event log may lose nothing acknowledged."""
    with closing(_client(embedded.start(server.folder))) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "always"


def test_nobody_else_can_reach_it(server: EmbeddedRedis) -> None:
    """It listens on no port, and folder and socket are its user's alone."""
    with closing(_client(embedded.start(server.folder))) as client:
        assert client.config_get("port") == {"port": "0"}
    assert (server.folder.stat().st_mode & 0o777, (server.folder / embedded.SOCKET).stat().st_mode & 0o777) == (
        0o700,
        0o700,
    )


def test_a_long_path_gets_a_short_socket(server: EmbeddedRedis) -> None:
    """A folder whose path does not fit a socket has it elsewhere, closed to others; the stop removes it."""
    deep = EmbeddedRedis(server.folder / ("x" * 60) / ("y" * 60))
    try:
        url = embedded.start(deep.folder)
        with closing(_client(url)) as client:
            assert client.ping()
        socket_path = Path(url.removeprefix("unix://"))
        assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        deep.stop()
    assert not socket_path.parent.exists()


def test_a_stale_socket_is_no_server(server: EmbeddedRedis) -> None:
    """A socket file that a kill left behind does not pass for a server."""
    embedded.start(server.folder)
    server.kill()
    assert (server.folder / embedded.SOCKET).exists()
    assert embedded.running_url(server.folder) is None
    with closing(_client(embedded.start(server.folder))) as client:
        assert client.ping()


def test_a_log_that_is_no_log_is_told(server: EmbeddedRedis) -> None:
    """Data that cannot be read is an error with the end of the server's log, and is left as it is."""
    embedded.start(server.folder)
    server.stop()
    (manifest,) = (server.folder / "appendonlydir").glob("*.manifest")
    manifest.write_text("garbage")
    with pytest.raises(TransientError, match="did not start"):
        embedded.start(server.folder)
    assert manifest.read_text() == "garbage"


def test_a_foreign_socket_folder_is_refused(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in the place of the short socket folder could lead to someone else's server."""
    deep = server.folder / ("x" * 60) / ("y" * 60)
    temporary = server.folder.parent / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    short = embedded._socket_path(deep).parent  # noqa: SLF001
    short.symlink_to(server.folder.parent)
    with pytest.raises(InvalidError, match="belongs to someone else"):
        embedded.start(deep)
    with closing(socket.socket(socket.AF_UNIX)) as probe, pytest.raises(OSError, match="No such file"):
        probe.connect(str(short / embedded.SOCKET))
