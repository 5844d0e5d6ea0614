"""Makes the actor that watches the model by itself: its name, lifetime and restarts, and the process of each pass."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import TYPE_CHECKING, Any

import psutil
import ray

from actors.names import NAMESPACE
from cluster import head
from cluster.doctor import PACKAGES
from stores.clock import utc_now
from stores.code_version import code_version
from stores.errors import TransientError
from stores.postgres import embedded
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from training.watch_schedule import WatchSchedule, WatchTrail

if TYPE_CHECKING:
    from datetime import datetime

    from stores.settings import Settings
    from training.watch_schedule import Verdict

PREFIX = "model-watcher-"
MOST_WAIT_S = 300.0  # a clock that was set, or a pass by hand, is noticed within this time
DATABASE_PAUSE_S = 30.0  # between attempts while PostgreSQL is away

_log = logging.getLogger(__name__)


class ModelWatcher:
    """Watches the model once a day, for as long as the cluster lives.

    Guarantee: it remembers nothing, so that a restarted one goes on where PostgreSQL says that the last one was. The
    watch and the training run in a process of their own, which dies with this one and gives its memory back.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = ray.get_runtime_context().gcs_address
        Thread(target=self._watch, name="watch", daemon=True).start()

    def pid(self) -> int:
        """The process of this actor; answers once it lives."""
        return os.getpid()

    def _watch(self) -> None:
        while True:
            try:
                due = asyncio.run(self._step())
            except Exception:  # noqa: BLE001 — the database, mostly; a thread that ended would be missed by nobody
                _log.exception("the schedule of the watch is not known")
                time.sleep(DATABASE_PAUSE_S)
            else:
                time.sleep(min(max((due - utc_now()).total_seconds(), 0.0), MOST_WAIT_S))

    async def _step(self) -> datetime:
        url = running_database(self._settings)
        pool = await open_pool(url, 1)
        try:
            registry, trail = PostgresModelRegistry(pool), WatchTrail(PostgresAuditLog(pool))
            return await WatchSchedule(
                self._settings.watch, registry, trail, lambda: pass_in_a_process(self._settings, url, self._address)
            ).step()
        finally:
            await pool.close()


def running_database(settings: Settings) -> str:
    """The URL of PostgreSQL. Raises TransientError while the embedded server, which is not started here, is away."""
    url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    if not url:
        raise TransientError("PostgreSQL is not running; start it with `riftline up`")
    return url


def pass_in_a_process(settings: Settings, database_url: str, address: str) -> Verdict:
    """Run a pass as a driver of the cluster at ``address``. Raises what it raises, TransientError when it was killed.

    A driver and no task: Ray frees what a dead driver had reserved, but not what a dead task of a detached actor had.
    """
    fresh = multiprocessing.get_context("spawn")  # a fork would share this process's connections
    with ProcessPoolExecutor(1, mp_context=fresh, initializer=_end_with_parent) as process:
        try:
            return process.submit(_verdict, settings, database_url, address).result()
        except BrokenProcessPool as error:
            raise TransientError("the process of the watch was killed; see Ray's logs of the node") from error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 — this is a child

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _verdict(settings: Settings, database_url: str, address: str) -> Verdict:
    from cluster.connection import connected  # noqa: PLC0415 — these load what the actor itself does not need
    from training.watch_pass import run_pass  # noqa: PLC0415

    with connected(settings, address):
        return run_pass(settings, database_url, utc_now()).verdict


def start_watcher(settings: Settings) -> None:
    """Start the watcher unless it lives, and end those of other settings or older code; switched off, end all.

    It outlives this driver and is restarted when it dies.
    """
    wanted = _name(settings)
    for one in ray.util.list_named_actors(all_namespaces=True):
        ours = one["namespace"] == NAMESPACE and one["name"].startswith(PREFIX)
        if ours and (one["name"] != wanted or not settings.watch.enabled):
            ray.kill(ray.get_actor(one["name"], namespace=NAMESPACE))
    if settings.watch.enabled:
        actor: Any = ray.remote(ModelWatcher)
        actor.options(
            name=wanted,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
        ).remote(settings)


def is_watching(settings: Settings) -> bool:
    """Whether a watcher's process lives in this home's cluster on this machine."""
    for process in head.processes(settings):
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            if f"ray::{ModelWatcher.__name__}" in " ".join(process.cmdline()):
                return True
    return False


def _name(settings: Settings) -> str:
    """Settings and code are part of it: whoever changes them gets another actor. No password is in a `repr`."""
    return PREFIX + hashlib.sha256(f"{code_version(PACKAGES)} {settings}".encode()).hexdigest()[:16]
