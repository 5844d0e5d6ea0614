"""The local Ray head: start it, find its processes, stop them all."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cluster.environment import MARK, cluster_mark, marked_environment
from stores.errors import InvalidError, TransientError
from stores.settings import PORT_VARIABLES

if TYPE_CHECKING:
    from stores.settings import Settings

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 6.0  # some of Ray's workers wait for a raylet that is gone; nothing of theirs is worth waiting for


def head_address(settings: Settings) -> str:
    """Where drivers connect to."""
    return f"127.0.0.1:{settings.cluster.gcs_port}"


def processes(settings: Settings) -> list[psutil.Process]:
    """Every process of this home's cluster, found by the mark in its environment. The caller itself is left out."""
    mark = cluster_mark(settings)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def is_running(settings: Settings) -> bool:
    """Whether the head of this home's cluster lives."""
    return any("gcs_server" in process.name() for process in _alive(processes(settings)))


def start(settings: Settings) -> bool:
    """Start the head unless it runs; returns whether it was started. A half-dead head is cleared away first.

    Raises InvalidError naming the variable if a port is taken by another program, TransientError if Ray does not start.
    """
    if is_running(settings):
        return False
    stop(settings)
    _check_ports(settings)
    ours = settings.cluster
    environment = marked_environment(settings)
    _ensure_token(environment)
    Path(environment["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).parent.mkdir(mode=0o700, exist_ok=True)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"),
        *("--node-ip-address", "127.0.0.1", "--port", str(ours.gcs_port)),
        *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(ours.dashboard_port)),
        *("--num-cpus", str(max(ours.min_cpus, os.cpu_count() or 1))),
    ]
    done = subprocess.run(  # noqa: S603 — a fixed program with numbers from checked settings
        command, env=environment, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False
    )
    if done.returncode:
        stop(settings)
        raise TransientError(f"Ray did not start:\n{(done.stdout + done.stderr)[-2000:]}")
    return True


def stop(settings: Settings) -> int:
    """End every process of the cluster, at first kindly. Returns how many there were; none is left."""
    found = processes(settings)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(found, timeout=STOP_TIMEOUT_S)
    for process in [*stubborn, *processes(settings)]:  # a dying parent may have started another
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=STOP_TIMEOUT_S)
    shutil.rmtree(Path(tempfile.gettempdir()) / f"riftline-{cluster_mark(settings)}", ignore_errors=True)
    return len(found)


def _alive(found: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def wanted_ports(settings: Settings) -> dict[str, int]:
    """Every port that the cluster listens on, by the variable that changes it."""
    return {variable: getattr(settings.cluster, field) for variable, field in PORT_VARIABLES.items()}


def _check_ports(settings: Settings) -> None:
    for variable, port in wanted_ports(settings).items():
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise InvalidError(
                    f"port {port} is taken by another program; stop it or set {variable} to a free one", variable
                ) from None


def _ensure_token(environment: dict[str, str]) -> None:
    """Ray's API is open to whoever holds this token, and to nobody else."""
    if not (Path.home() / ".ray" / "auth_token").exists() and "RAY_AUTH_TOKEN" not in environment:
        command = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
        subprocess.run(command, env=environment, capture_output=True, timeout=START_TIMEOUT_S, check=True)  # noqa: S603
