"""The actor that watches the model, on a real cluster and database: it comes back by itself and ends when told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import ray

from actors.names import NAMESPACE
from cluster.watcher import PREFIX, start_watcher
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.pool import open_pool
from stores.settings import Settings
from training.watch_schedule import WatchTrail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.watch_schedule import WatchPass

pytestmark = pytest.mark.usefixtures("ray_cluster")
PATIENCE_S = 120.0  # a new process imports everything


def _passes(database: str) -> tuple[WatchPass, ...]:
    async def read() -> tuple[WatchPass, ...]:
        pool = await open_pool(database, 1)
        try:
            return await WatchTrail(PostgresAuditLog(pool)).last()
        finally:
            await pool.close()

    return asyncio.run(read())


def _names() -> list[str]:
    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["name"].startswith(PREFIX)]


def _watcher() -> Any:
    (name,) = _names()
    return ray.get_actor(name, namespace=NAMESPACE)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def _settings(database: str, home: Path, **changes: str) -> Settings:
    env = {"RIFTLINE_HOME": str(home), "RIFTLINE_DATABASE_URL": database, "RIFTLINE_WATCH_EVERY_S": "1"}
    return Settings.from_env(env | changes)


def test_a_killed_watcher_goes_on_and_one_of_other_settings_takes_its_place(database: str, tmp_path: Path) -> None:
    """Its passes fail, for want of a model, and go on failing in the next process; switched off, none is left."""
    settings = _settings(database, tmp_path)
    start_watcher(settings)
    start_watcher(settings)
    before = ray.get(_watcher().pid.remote())
    _wait(lambda: len(_passes(database)) > 0, "the first pass")
    os.kill(before, signal.SIGKILL)
    _wait(lambda: ray.get(_watcher().pid.remote()) != before, "another process")
    known = len(_passes(database))
    _wait(lambda: len(_passes(database)) > known, "a pass after the kill")
    assert {one.success for one in _passes(database)} == {False}
    assert all("riftline train" in one.verdict for one in _passes(database))
    (ours,) = _names()
    start_watcher(_settings(database, tmp_path, RIFTLINE_WATCH_EVERY_S="86400"))
    _wait(lambda: len(_names()) == 1 and ours not in _names(), "the old watcher's end")
    start_watcher(_settings(database, tmp_path, RIFTLINE_WATCH="off"))
    _wait(lambda: not _names(), "the last watcher's end")
