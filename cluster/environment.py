"""The environment of every process of a local cluster. Set before Ray is imported, since Ray reads it at import."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stores.settings import Settings

MARK = "RIFTLINE_CLUSTER"  # inherited by every process that the cluster starts, and so the way to find them all


def cluster_mark(settings: Settings) -> str:
    """What marks the processes of this home's cluster."""
    return hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]


def cluster_environment(settings: Settings) -> dict[str, str]:
    """The variables that Ray and Serve need on top of the caller's own."""
    return {
        "RIFTLINE_HOME": str(settings.home),
        # a replica that starts finds its machine code instead of compiling for six seconds
        "RIFTLINE_KERNELS_DIR": str(
            Path(os.environ.get("RIFTLINE_KERNELS_DIR") or settings.home / "kernels").expanduser().absolute()
        ),
        "RAY_AUTH_MODE": "token",
        # Ray would run its workers, the gateway among them, at nice 15: any other program would delay every answer
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "SPT_NOENV": "1",  # Ray renames its processes, which would otherwise overwrite their environment and our mark
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_preload_python_modules": "serve_apps.app",  # a replica that takes over finds its imports done
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(settings.cluster.fallback_http_port),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(settings.cluster.fallback_grpc_port),
        **_haproxy_environment(settings),
    }


def _haproxy_environment(settings: Settings) -> dict[str, str]:
    # unix sockets allow 107 bytes of path, so HAProxy's files cannot lie in a deep checkout
    haproxy = Path(tempfile.gettempdir()) / f"riftline-{cluster_mark(settings)}"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # on a busy machine HAProxy's manager takes longer than the 5 s
        # A replica may die with requests in it: another one answers them. Answers are the same whoever gives them, so a
        # POST may be asked again; a batch above 15 kB is not (it does not fit HAProxy's buffer). 500 is what Serve's
        # own proxy says then, which takes the requests while no replica serves.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout 500",
        "RAY_SERVE_HAPROXY_RETRIES": "5",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "10",  # above the slowest batch; without it a hung replica is waited for
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_RISE": "1",
        # a dead replica is known at once by its connections; a check that is late must not take a busy one away
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "3",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FASTINTER": "1s",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "2s",  # also how long a busy event loop may take to answer the check
        # of HAProxy's 40 us a request these save half, and 25 us of Python that parsed a metrics datagram for each
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_LOG_TARGET": "127.0.0.1:514 sample 1:10000",
        # Serve has no setting that makes HAProxy name the client; what stands here ends up in its section of defaults
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "leastconn\n    option forwardfor",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(settings.cluster.haproxy_metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(settings.cluster.haproxy_stats_port),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
    }


def marked_environment(settings: Settings) -> dict[str, str]:
    """The environment of the head: all that it starts inherits the mark, a driver and the database do not bear it."""
    # a submitted job says `python`, and means the one that has Riftline
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **cluster_environment(settings), "PATH": path, MARK: cluster_mark(settings)}


def enter(settings: Settings) -> None:
    """Give this process the cluster's environment. Call it before anything imports Ray."""
    os.environ.update(cluster_environment(settings))
