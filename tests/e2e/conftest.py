"""A whole Riftline of its own: the real command starts it once a session, on free ports and in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import psutil
import pytest
import ray

from cluster import head
from pipelines.season import write_season
from stores.postgres import embedded
from stores.settings import PORT_VARIABLES, Settings
from tests.servers.cdn import SmallCdn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GAMES = 400  # enough for every tier of evidence, few enough to be trained on in seconds
COMMAND_TIMEOUT_S = 420.0
ORIGIN = "https://app.example"  # whose pages may ask
CDN_TOKEN = "not-for-the-log"  # noqa: S105  # of a CDN of the tests' own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of the session waits for the start, which is longer than a test may take by default."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.timeout(COMMAND_TIMEOUT_S + 60))


@dataclass(frozen=True, slots=True)
class Riftline:
    """A running Riftline and how to reach it."""

    settings: Settings
    env: dict[str, str]
    data: Path
    client: httpx.Client

    @property
    def base_url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.settings.cluster.http_port}"

    @property
    def database_url(self) -> str:
        """Where the embedded PostgreSQL listens."""
        url = embedded.running_url(self.settings.postgres.data_dir)
        assert url
        return url

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `riftline` command against this Riftline."""
        return run_command(self.env, *arguments)

    def processes(self, title: str) -> list[psutil.Process]:
        """The cluster's processes whose title holds this text."""
        return [one for one in head.processes(self.settings) if title in _command_line(one)]

    def ask(self, **changes: Any) -> httpx.Response:
        """Ask a valid question, changed as given."""
        return self.client.post("/predict/single", json=self.question(**changes))

    def question(self, **changes: Any) -> dict[str, Any]:
        """A valid question, changed as given; a change to None leaves the field out."""
        asked = {"player_names": [self.players()[0]["name"]], "prop_type": "kills", "prop_value": 3.5}
        asked |= {"map_range": [1, 2], **changes}
        return {name: value for name, value in asked.items() if value is not None}

    def players(self) -> list[dict[str, Any]]:
        """The players with most games."""
        found: list[dict[str, Any]] = self.client.get("/players", params={"limit": 200}).raise_for_status().json()
        return found


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return ""


class Traffic:
    """Asks one question after another from a thread of its own while the block runs, and remembers the outcomes."""

    def __init__(self, base_url: str, question: dict[str, Any]) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._base_url = base_url
        self._question = question
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: bool(self.answers or self.failures), "the first answer", 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self._base_url, timeout=30) as client:
            while not self._ended.wait(0.01):
                try:
                    answer = client.post("/predict/single", json=self._question)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.failures.append(f"{answer.status_code} {answer.text[:300]}")


def wait_until(condition: Callable[[], bool], what: str, within_s: float) -> None:
    """Wait for a condition; a broken connection counts as not yet."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if condition():
                return
        time.sleep(0.05)
    pytest.fail(f"waited {within_s:.0f} s in vain for {what}")


def run_command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `riftline` command of this environment."""
    program = Path(sys.executable).with_name("riftline")
    return subprocess.run(
        [program, *arguments], env=env, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )


def free_ports(count: int) -> list[int]:
    """Ports below 10000 that nobody listens on; Ray's workers take those above."""
    start = os.getpid() * 7
    candidates = (7000 + (start + step) % 2900 for step in range(2900))
    return [port for port, _ in zip((port for port in candidates if _is_free(port)), range(count), strict=False)]


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
        probe.bind(("0.0.0.0", port))  # noqa: S104  # HAProxy's statistics listen on every address
        return True
    return False


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A short-named folder: unix sockets allow 107 bytes of path."""
    folder = Path(tempfile.mkdtemp(prefix="re-", dir="/tmp"))
    folder.chmod(0o755)  # the database's own system user passes through
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def riftline(home: Path) -> Iterator[Riftline]:
    """A running Riftline with a small simulated season; afterwards none of its processes is left."""
    ray.shutdown()  # a cluster that other tests shared
    cdn_port, *free = free_ports(1 + len(PORT_VARIABLES))
    ports = {name: str(port) for name, port in zip(PORT_VARIABLES, free, strict=True)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RIFTLINE_", "RAY_"))}
    cdn = {"RIFTLINE_CDN_PURGE_URL": f"http://127.0.0.1:{cdn_port}/service/x/purge", "RIFTLINE_CDN_TOKEN": CDN_TOKEN}
    env = {**inherited, **ports, **cdn, "RIFTLINE_CORS_ORIGINS": ORIGIN, "RIFTLINE_HOME": str(home / "h")}
    settings = Settings.from_env(env)
    data = write_season(home / "season", games=GAMES).matches_folder
    try:
        done = run_command(env, "up", "--data", str(data))
        assert done.returncode == 0, f"`riftline up` failed:\n{done.stdout}\n{done.stderr}"
        with httpx.Client(base_url=f"http://127.0.0.1:{ports['RIFTLINE_HTTP_PORT']}", timeout=30) as client:
            yield Riftline(settings, env, data, client)
    finally:
        down = run_command(env, "down")
        left = head.processes(settings)
        for process in left:
            process.kill()
    assert down.returncode == 0, down.stderr
    assert not left, f"`riftline down` left {left}"
    assert embedded.running_url(settings.postgres.data_dir) is None


@pytest.fixture(scope="session")
def client(riftline: Riftline) -> httpx.Client:
    """A client of the running service."""
    return riftline.client


@pytest.fixture(scope="session")
def keys(riftline: Riftline) -> dict[str, str]:
    """Keys by their names, made by the command: of a bot, of a dashboard that only reads, and of an administrator."""
    made = {"bot": (), "dashboard": ("--scope", "read", "--expires", "90"), "root": ("--scope", "admin")}
    return {name: new_key(riftline, name, *options)["key"] for name, options in made.items()}


def new_key(riftline: Riftline, name: str, *options: str) -> dict[str, Any]:
    """A new key, as `riftline keys create` tells of it."""
    done = riftline.command("keys", "create", name, *options, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def cdn(riftline: Riftline) -> SmallCdn:
    """The CDN that the service was told of; it listens where a test says so."""
    return SmallCdn(riftline.env["RIFTLINE_CDN_PURGE_URL"])


@pytest.fixture
def traffic(riftline: Riftline) -> Callable[[], Traffic]:
    """Make a client that asks for as long as a block runs."""
    return lambda: Traffic(riftline.base_url, riftline.question())


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool], str, float], None]:
    """Wait for a condition, for at most so many seconds."""
    return wait_until
