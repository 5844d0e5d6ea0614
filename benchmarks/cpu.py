"""Where the processor's time goes during a round, by kind of process; the neighbours' share says how noisy it was."""

from __future__ import annotations

import contextlib

import psutil

Usage = dict[tuple[int, str], float]

GATEWAY, HAPROXY, POSTGRES, RAY, PEER, NEIGHBOURS = "gateway", "haproxy", "postgres", "ray", "peer", "neighbours"


def cpu_now(ours: frozenset[int], peers: frozenset[int]) -> Usage:
    """Seconds of every process so far. ``ours`` are Riftline's, ``peers`` the peers'; all else are neighbours."""
    usage: Usage = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            kind = PEER if process.pid in peers else _kind(process) if process.pid in ours else NEIGHBOURS
            usage[process.pid, kind] = times.user + times.system
    return usage


def spent(before: Usage, after: Usage) -> dict[str, float]:
    """Seconds spent between two readings by kind; what a process did that ended between them is not seen."""
    total: dict[str, float] = {}
    for key, seconds in after.items():
        total[key[1]] = total.get(key[1], 0.0) + seconds - before.get(key, 0.0)
    return {kind: seconds for kind, seconds in total.items() if seconds > 0}


def family(root: psutil.Process) -> frozenset[int]:
    """A process and all that it started."""
    return frozenset({root.pid, *(child.pid for child in root.children(recursive=True))})


def _kind(process: psutil.Process) -> str:
    words = f"{process.name()} {' '.join(process.cmdline()[:1])}"
    named = {"ServeReplica:benchmark-peer": PEER, "ServeReplica": GATEWAY, "haproxy": HAPROXY, "postgres": POSTGRES}
    return next((kind for text, kind in named.items() if text in words), RAY)
