"""What runs, what the lake holds, and which model answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from cluster import head
from cluster.database import released_model
from stores.errors import NotFoundError, RiftlineError
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import IcebergLake
from stores.postgres import embedded

if TYPE_CHECKING:
    from stores.settings import Settings


def read_status(settings: Settings) -> dict[str, Any]:
    """The state of every part; never raises for a part that is down."""
    database_url = settings.postgres.url or embedded.running_url(settings.postgres.data_dir)
    return {
        "cluster": "running" if head.is_running(settings) else "stopped",
        "postgres": "running" if database_url else "stopped",
        "service": _service(settings),
        "model": _model(database_url),
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
