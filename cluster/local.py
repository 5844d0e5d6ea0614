"""A whole Riftline on this machine. Every step finds out what is there, so that `up` resumes where it was cut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from cluster import head
from cluster.connection import connected
from cluster.database import newest_model, released_model, start_database
from pipelines.ingest import ingest, refresh
from pipelines.season import write_season
from stores.clock import utc_now
from stores.errors import ConflictError
from stores.features.schema import FEATURE_VERSION
from stores.features.tables import ALL_TABLES, PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake
from stores.lake.tables import MATCH_ROWS
from stores.redis_store import embedded as embedded_redis
from training.retrain import retrain

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.ingest import IngestReport
    from stores.roles.lake import Lake
    from stores.settings import Settings


class Steps(Protocol):
    """Shows the steps of a long piece of work."""

    def begin(self, title: str) -> None:
        """A step begins, and the one before is done."""

    def detail(self, text: str, done: int = 0, of: int = 0) -> None:
        """What the step does now."""


def up(settings: Settings, data: str | None, steps: Steps) -> IngestReport | None:
    """Bring everything up: stores, cluster, data (the simulated season if the lake is empty), model, service.

    ``data`` is ingested whether or not the lake holds something; a known file changes nothing. Returns what came in.
    """
    from cluster import serving  # noqa: PLC0415 — Serve reads the environment when it is imported
    from cluster.shards import retire_other_shards, start_shards  # noqa: PLC0415
    from cluster.watcher import start_watcher  # noqa: PLC0415

    steps.begin("stores")
    database_url = start_database(settings)
    if not settings.redis.url:
        embedded_redis.start(settings.redis.data_dir)
    steps.begin("Ray cluster")
    head.start(settings)
    with connected(settings), ThreadPoolExecutor(1) as background:
        lake = IcebergLake(settings.lake)
        lake.ensure(ALL_TABLES)
        start_shards(settings)
        # Where nothing serves yet, the service comes up beside data and model and says meanwhile that it is not ready.
        # A service that answers is only replaced when what it will need is there.
        early = None if serving.is_ready(settings) else background.submit(serving.deploy, settings, database_url)
        steps.begin("data")
        report = bring_in(settings, lake, data, steps)
        if needs_model(lake, database_url):
            steps.begin("model")
            _train(settings, database_url, steps)
        steps.begin("service")
        if early:
            early.result()
        else:
            serving.deploy(settings, database_url)
        serving.wait_until_ready(settings)
        retire_other_shards(settings)
        start_watcher(settings)
    return report


def _train(settings: Settings, database_url: str, steps: Steps) -> None:
    try:
        done = retrain(settings, database_url, utc_now(), steps.detail)
    except ConflictError as error:  # the watcher's, or another command's: its version is released there
        steps.detail(str(error))
    else:
        if not done.released:
            steps.detail(f"the gates keep {done.record.model_version} back; see `riftline models list`")


def bring_in(settings: Settings, lake: Lake, data: str | None, steps: Steps) -> IngestReport | None:
    """Ingest match files. Without any, an empty lake gets the simulated season and any other is only refreshed.

    Refreshing mends an interrupted run, and applies code with other rules or features; it returns no report.
    """
    lake.ensure(ALL_TABLES)
    if data is None and lake.snapshot_id(MATCH_ROWS) is not None:
        refresh(lake, steps.detail)
        return None
    if data is None:
        steps.detail("simulating a season")
        data = str(simulated_season(settings))
    return ingest(lake, data, utc_now(), steps.detail)


def simulated_season(settings: Settings) -> Path:
    """The folder of the simulated season's match files; the same bytes each time."""
    return write_season(settings.home / "season").matches_folder


def needs_model(lake: Lake, database_url: str) -> bool:
    """Whether no released model can answer, or none was trained on the newest features."""
    champion = released_model(database_url)
    if champion is None or champion.feature_version != FEATURE_VERSION:
        return True
    newest = newest_model(database_url)
    return newest is None or newest.lake_snapshot_id != lake.snapshot_id(PLAYER_SNAPSHOTS)
