"""The processes of the running Riftline."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

from benchmarks import cpu
from cluster import head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stores.settings import Settings

REPLICA = "ServeReplica:riftline:"  # how Ray titles them
INGRESS_PORTS = range(30_000, 31_001)  # Serve's, where HAProxy asks replicas


def of_riftline(settings: Settings) -> frozenset[int]:
    """The cluster of this home, and its embedded PostgreSQL if it has one."""
    found = {process.pid for process in head.processes(settings)}
    pid_file = settings.postgres.data_dir / "postmaster.pid"
    if not settings.postgres.url and pid_file.exists():
        found |= cpu.family(psutil.Process(int(pid_file.read_text().split()[0])))
    return frozenset(found)


def replicas(settings: Settings) -> list[psutil.Process]:
    """The gateway's replicas that live."""
    found = []
    for process in head.processes(settings):
        with contextlib.suppress(psutil.Error):
            if REPLICA in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def serving(settings: Settings) -> list[psutil.Process]:
    """The replicas that listen for the ingress already, by process id; one that starts up does not."""
    found = []
    for process in replicas(settings):
        with contextlib.suppress(psutil.Error):
            listening = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            if any(one.laddr.port in INGRESS_PORTS for one in listening):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def resident_mb(of: Iterable[psutil.Process]) -> list[float]:
    """Resident memory of each that lives, in MB."""
    sizes = []
    for process in of:
        with contextlib.suppress(psutil.Error):
            sizes.append(round(process.memory_info().rss / 1e6, 1))
    return sizes
