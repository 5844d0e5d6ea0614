"""What runs, what the lake holds, and which model answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from cluster import head
from cluster.database import released_model
from cluster.watcher import is_watching
from stores.domain.models import MODEL_NAME
from stores.errors import NotFoundError, RiftlineError
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import IcebergLake
from stores.postgres import embedded
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from training.watch_schedule import WatchTrail, next_pass_at, since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.settings import Settings


def read_status(settings: Settings) -> dict[str, Any]:
    """The state of every part; never raises for a part that is down."""
    database_url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    return {
        "cluster": "running" if head.is_running(settings) else "stopped",
        "postgres": "running" if database_url else "stopped",
        "service": _service(settings),
        "model": _model(database_url),
        "watch": _watch(settings, database_url),
        "lake": _lake(settings),
    }


def _service(settings: Settings) -> str:
    try:
        answer = httpx.get(f"{settings.cluster.base_url}/ready", timeout=5)
        return str(answer.json()["status"])
    except (httpx.HTTPError, ValueError, KeyError):
        return "stopped"


def _model(database_url: str | None) -> str | None:
    if database_url is None:
        return None
    try:
        record = released_model(database_url)
    except RiftlineError as error:
        return f"unknown: {error}"
    return record.model_version if record else None


def _watch(settings: Settings, database_url: str | None) -> dict[str, Any]:
    """Whether the model is watched, how the last pass ended, and when (null: at once) the next one is."""
    found: dict[str, Any] = {"state": "off"}
    if settings.watch.enabled:
        found["state"] = "running" if is_watching(settings) else "stopped"
    if database_url is None:
        return found
    try:
        return found | asyncio.run(_passes(settings, database_url))
    except RiftlineError as error:
        return found | {"verdict": f"unknown: {error}"}


async def _passes(settings: Settings, database_url: str) -> dict[str, Any]:
    pool = await open_pool(database_url, 1)
    try:
        passes = await WatchTrail(PostgresAuditLog(pool)).last()
        champion = await PostgresModelRegistry(pool).production(MODEL_NAME)
    finally:
        await pool.close()
    found: dict[str, Any] = {"next": next_pass_at(passes, since(champion), settings.watch)}
    if passes:
        last = passes[0]
        found |= {"last": last.ended_at, "success": last.success, "verdict": last.verdict}
    return found


def watch_line(watch: Mapping[str, Any]) -> str:
    """The watch in one line."""
    parts = [str(watch["state"])]
    if watch["state"] == "running" and "next" in watch:
        parts.append(f"next {watch['next']:%Y-%m-%d %H:%M} UTC" if watch["next"] else "next at once")
    if "verdict" in watch:
        failed = "" if watch.get("success", True) else "failed: "
        when = f"last {watch['last']:%Y-%m-%d %H:%M} UTC: " if "last" in watch else ""
        parts.append(f"{when}{failed}{watch['verdict']}")
    return "; ".join(parts)


def _lake(settings: Settings) -> dict[str, Any]:
    if not settings.home.exists():
        return {}
    lake = IcebergLake(settings.lake)
    tables: dict[str, Any] = {}
    for table in ALL_TABLES:
        try:
            rows = int(lake.summary(table).get("total-records", 0))
            tables[table.identifier] = {"rows": rows, "snapshot": lake.snapshot_id(table)}
        except NotFoundError:
            tables[table.identifier] = {"rows": 0, "snapshot": None}
    return tables
