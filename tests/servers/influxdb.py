"""A real InfluxDB 2. No package index carries its binary, so it is built once from its Go module and kept."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

from tests.servers.process import CACHE, MissingServerError, ServerProcess, accepts, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = "2.7.12"
MODULE = f"github.com/influxdata/influxdb/v2@v{VERSION}"
PKG_CONFIG = "github.com/influxdata/pkg-config@v0.2.14"  # stands in for pkg-config and builds Flux's Rust library
TAGS = "sqlite_foreign_keys,sqlite_json"
BUILD_TIMEOUT_S = 1800
ORG, TOKEN = "riftline", "a-token-for-tests"  # of servers that live for minutes on 127.0.0.1

_log = logging.getLogger(__name__)


def program() -> Path:
    """Where the server's program is kept once it is built. Raises MissingServerError before that."""
    path = CACHE / f"influxd-{VERSION}" / "influxd"
    if not path.exists():
        raise MissingServerError(f"InfluxDB {VERSION} is not built; run `python -m tests.servers.influxdb` (minutes)")
    return path


def fetch() -> Path:
    """Build the server where that was not done yet: minutes, and about 3 GB for Go's caches. Safe from many at once.

    Raises MissingServerError where Go, cargo or a C compiler is missing or the build fails.
    """
    path = CACHE / f"influxd-{VERSION}" / "influxd"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _build(path)
    return path


def _build(path: Path) -> None:
    for tool in ("go", "cargo", "cc"):
        if shutil.which(tool) is None:
            raise MissingServerError(
                f"building InfluxDB {VERSION} needs {tool}; install Go 1.23, Rust and a C compiler"
            )
    env = {
        **os.environ,
        "GOBIN": str(path.parent),
        "PKG_CONFIG": str(path.parent / "pkg-config"),
        "RUSTUP_TOOLCHAIN": "stable",  # Flux pins a compiler of 2023 and calls every warning of a newer one an error
        "RUSTFLAGS": "--cap-lints=warn",
    }
    began = time.monotonic()
    _run(["go", "install", PKG_CONFIG], env)
    _log.info("fetching the sources of InfluxDB %s", VERSION)
    source = json.loads(_run(["go", "mod", "download", "-json", MODULE], env))["Dir"]
    _log.info("building InfluxDB %s", VERSION)
    draft = path.with_suffix(".draft")
    _run(["go", "build", "-C", source, "-p", "2", "-trimpath", "-tags", TAGS, "-o", str(draft), "./cmd/influxd"], env)
    draft.rename(path)  # a program with its name is a whole one
    _log.info("InfluxDB %s was built in %.0f s", VERSION, time.monotonic() - began)


def _run(command: list[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        raise MissingServerError(f"{' '.join(command)} failed:\n{done.stderr[-1500:]}")
    return done.stdout


class InfluxServer(ServerProcess):
    """InfluxDB on 127.0.0.1 with the organisation ``ORG`` and an all-access ``TOKEN``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            str(program()),
            f"--http-bind-address=127.0.0.1:{self.port}",
            f"--bolt-path={folder / 'influxd.bolt'}",
            f"--engine-path={folder / 'engine'}",
            "--reporting-disabled",
            "--log-level=error",
            "--storage-retention-check-interval=1s",  # a test waits for it
        ]
        super().__init__("InfluxDB", command, folder, lambda: accepts(self.port) and self._healthy())

    def start(self) -> None:
        """Start it; the first time also make the organisation and its token."""
        super().start()
        if json.loads(self._request("/api/v2/setup"))["allowed"]:
            login = {"username": "admin", "password": "a-password-for-tests"}
            self._request("/api/v2/setup", {**login, "org": ORG, "bucket": "unused", "token": TOKEN})

    def restart(self) -> None:
        """Kill it and start it again on the same port and data."""
        self.kill()
        self.start()

    def _healthy(self) -> bool:
        try:
            return bool(json.loads(self._request("/health"))["status"] == "pass")
        except (OSError, ValueError):
            return False

    def _request(self, path: str, body: Mapping[str, str] | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # our own server
            return bytes(answer.read())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fetch()
