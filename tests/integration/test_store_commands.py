"""`riftline stores`: what was in the stores before a backup is there after the whole home was lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pytest

from stores.clock import utc_now
from stores.domain.analytics import UserEvent
from stores.domain.lake_commits import Step
from stores.domain.prediction_id import new_prediction_id
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from stores.features.tables import ALL_TABLES
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.lake.tables import QUARANTINE
from stores.open_stores import opened_analytics, opened_event_log, opened_postgres
from stores.postgres import embedded as postgres
from stores.postgres.predictions import PostgresPredictions
from stores.redis_store import embedded as redis
from stores.settings import Settings
from tests.examples import a_prediction
from tests.faults.event_log_target import event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., subprocess.CompletedProcess[str]]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
PREDICTIONS = [new_prediction_id(utc_now()) for _ in range(50)]
EVENTS = [new_prediction_id(utc_now()) for _ in range(50)]


@pytest.fixture
def home() -> Iterator[Path]:
    """A short folder; the embedded servers below it are stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    yield folder / "home"
    postgres.stop(folder / "home" / "postgres")
    redis.stop(folder / "home" / "redis")
    shutil.rmtree(folder)


@pytest.fixture
def stores(home: Path) -> Command:
    """Run `riftline stores` over the home."""
    program = str(Path(sys.executable).parent / "riftline")

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "RIFTLINE_HOME": str(home), **variables}
        command = [program, "stores", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)

    return run


def _settings(home: Path) -> Settings:
    return Settings.from_env({"RIFTLINE_HOME": str(home)})


async def _fill(settings: Settings) -> None:
    """Write into every store what only it holds."""
    async with opened_postgres(settings.postgres) as pool:
        predictions = PostgresPredictions(pool)
        for prediction_id in PREDICTIONS:
            await predictions.record(a_prediction(prediction_id=prediction_id))
    async with opened_event_log(settings) as log:
        await log.publish("player-performance", [event_of(event_id) for event_id in EVENTS])
    async with opened_analytics(settings) as analytics:
        await analytics.record_events([_user_event(number) for number in range(50)])
        await analytics.flush(60)
        await analytics.record_events([_user_event(number) for number in range(50, 60)])  # waits in the journal


async def _content(settings: Settings) -> dict[str, Any]:
    """What the stores hold."""
    async with opened_postgres(settings.postgres) as pool, pool.transaction() as connection:
        rows = await connection.fetch("SELECT prediction_id FROM prediction_requests ORDER BY prediction_id")
    async with opened_event_log(settings) as log:
        consumer = await log.consumer("reader", ["player-performance"])
        records: list[Any] = []
        while len(records) < len(EVENTS):
            records += (await consumer.poll(100, 5.0)).records
        await consumer.close()
    async with opened_analytics(settings) as analytics:
        await analytics.flush(60)
        activity = await analytics.user_activity(NOON, NOON.replace(hour=13))
    codec = EventCodec(SchemaRegistry())
    return {
        "predictions": [row["prediction_id"] for row in rows],
        "events": sorted(codec.decode(record).event_id for record in records),
        "activity": sum(hour.event_count for hour in activity),
    }


def _fill_lake(settings: Settings) -> tuple[pa.Table, Any]:
    lake = IcebergLake(settings.lake)
    rows = pa.table({name: pa.nulls(3, kind) for name, kind in zip(*_columns(), strict=True)})
    for number in range(3):
        lake.append(QUARANTINE, rows, Step("test", number, number + 1))
    artifact = WarehouseArtifacts(settings.lake.warehouse).save("v1", {"model.ubj": b"trees"})
    return lake.read(QUARANTINE), artifact


def _columns() -> tuple[list[str], list[pa.DataType]]:
    return QUARANTINE.schema.names, QUARANTINE.schema.types


def _user_event(number: int) -> UserEvent:
    return UserEvent(
        event_id=UUID(int=number),
        event_time=NOON,
        session_id="s",
        event_type="page_view",
        event_category="navigation",
        event_action="open",
    )


def test_everything_comes_back_after_the_home_is_lost(home: Path, stores: Command, tmp_path: Path) -> None:
    """PostgreSQL, the event log, delivered and waiting analytics, tables and artefacts: all of it, once."""
    assert stores("migrate").returncode == 0
    settings = _settings(home)
    asyncio.run(_fill(settings))
    rows, artifact = _fill_lake(settings)
    saved = stores("backup", str(tmp_path / "backup"))
    assert saved.returncode == 0, saved.stderr
    refused = stores("restore", str(tmp_path / "backup"))
    assert refused.returncode == 1
    assert "move it away" in refused.stderr.replace("\n", " ")
    postgres.stop(settings.postgres.data_dir)
    redis.stop(settings.redis.data_dir)
    shutil.rmtree(home)
    restored = stores("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    assert asyncio.run(_content(settings)) == {
        "predictions": sorted(PREDICTIONS),
        "events": sorted(EVENTS),
        "activity": 60,
    }
    lake = IcebergLake(settings.lake)
    assert lake.read(QUARANTINE).equals(rows)
    assert lake.positions(QUARANTINE)["test"].end == 3
    files = WarehouseArtifacts(settings.lake.warehouse).load(artifact.path, artifact.checksum)
    assert files == {"model.ubj": b"trees"}
    assert stores("check").returncode == 0
    again = stores("backup", str(tmp_path / "backup"), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["stores"]["lake"] == restored_tables(restored.stdout)


def test_a_backup_that_fails_leaves_the_earlier_one(home: Path, stores: Command, tmp_path: Path) -> None:
    """A store that is down, a full disk: what was whole stays whole, and is restored."""
    folder = tmp_path / "backup"
    assert stores("migrate").returncode == 0
    assert stores("backup", str(folder), "--continuous").returncode == 0
    redis.stop(home / "redis")
    failed = stores("backup", str(folder))
    assert failed.returncode == 3
    assert "does not run" in failed.stderr.replace("\n", " ")
    postgres.stop(home / "postgres")
    shutil.rmtree(home)
    assert stores("restore", str(folder)).returncode == 0
    shutil.rmtree(next(folder.glob("generation-*")) / "lake")
    damaged = stores("restore", str(folder))
    assert damaged.returncode == 2  # before what the stores hold is looked at
    assert "missing from the backup" in damaged.stderr.replace("\n", " ")


def test_a_backup_of_another_place_changes_nothing(home: Path, stores: Command, tmp_path: Path) -> None:
    """What does not fit is found before the first store is restored."""
    folder = tmp_path / "backup"
    assert stores("migrate").returncode == 0
    assert stores("backup", str(folder)).returncode == 0
    elsewhere = home.parent / "elsewhere"
    refused = stores("restore", str(folder), RIFTLINE_HOME=str(elsewhere))
    assert refused.returncode == 2
    assert "RIFTLINE_WAREHOUSE" in refused.stderr
    assert not (elsewhere / "postgres").exists()
    late = stores("restore", str(folder), "--until", "2026-04-01 12:30:00", RIFTLINE_HOME=str(elsewhere))
    assert late.returncode == 2
    assert "no archived log" in late.stderr.replace("\n", " ")


def restored_tables(printed: str) -> str:
    """The words that `restore` printed of the lake."""
    (line,) = [line for line in printed.splitlines() if "lake" in line]
    return line.split("│")[2].strip()


def test_check_names_a_file_that_the_lake_misses(home: Path, stores: Command) -> None:
    """A data file that was deleted behind the lake's back is found before someone reads it."""
    assert stores("migrate").returncode == 0
    settings = _settings(home)
    _fill_lake(settings)
    lost = next((home / "lake" / "warehouse").rglob("*.parquet"))
    lost.unlink()
    found = stores("check", "--json")
    assert found.returncode == 3
    assert [lost.name in problem["problem"] for problem in json.loads(found.stdout)] == [True]


def test_check_names_what_was_set_aside_and_migrate_sends_it_again(home: Path, stores: Command) -> None:
    """A journal's file that the server refused is no secret of the disk."""
    assert stores("migrate").returncode == 0
    slot = home / "spill" / "00"
    slot.mkdir(parents=True)
    (slot / "0001-user_events.refused").write_bytes(b"")
    found = stores("check", "--json")
    assert found.returncode == 3
    assert ["0001-user_events.refused" in problem["problem"] for problem in json.loads(found.stdout)] == [True]
    assert "sent again" in stores("migrate").stdout


def test_status_tells_what_is_stopped_and_never_a_password(home: Path, stores: Command) -> None:
    """Nothing is started or made by asking; servers by URL that do not answer are named with their address."""
    stopped = stores("status", "--json")
    assert stopped.returncode == 3
    assert {one["name"]: one["healthy"] for one in json.loads(stopped.stdout)} == {
        "postgres": False,
        "redis": False,
        "clickhouse": True,
        "time-series": True,
        "event-log": True,
        "lake": True,
    }
    assert not home.exists()
    away = stores(
        "status",
        "--json",
        RIFTLINE_DATABASE_URL="postgresql://me:pa55word@127.0.0.1:1/riftline",
        RIFTLINE_REDIS_URL="redis://me:pa55word@127.0.0.1:1/0",
        RIFTLINE_CLICKHOUSE_URL="http://me:pa55word@127.0.0.1:1/riftline",
        RIFTLINE_INFLUX_URL="http://127.0.0.1:1",
        RIFTLINE_INFLUX_TOKEN="pa55word",  # noqa: S106  # that it is not shown is the test
        RIFTLINE_KAFKA_SERVERS="127.0.0.1:1",
        RIFTLINE_CATALOG_URI="postgresql://me:pa55word@127.0.0.1:1/lake",
    )
    assert away.returncode == 3
    assert "pa55word" not in away.stdout + away.stderr
    found = json.loads(away.stdout)
    assert not any(one["healthy"] for one in found)
    assert all("127.0.0.1:1" in one["address"] + one["detail"] for one in found)


def test_a_folder_that_is_no_backup_is_refused(stores: Command, tmp_path: Path) -> None:
    """A backup never mixes with other files, and only a whole one is restored."""
    (tmp_path / "other.txt").write_text("mine")
    mixed = stores("backup", str(tmp_path))
    assert mixed.returncode == 2
    assert "other files" in mixed.stderr.replace("\n", " ")
    mixed = stores("restore", str(tmp_path))
    assert mixed.returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    partial = stores("restore", str(empty))
    assert partial.returncode == 2
    assert "no whole backup" in partial.stderr.replace("\n", " ")
    (empty / "riftline-backup.json").write_text("{}")
    torn = stores("restore", str(empty))
    assert torn.returncode == 2
    assert "damaged" in torn.stderr


def test_maintain_tells_what_it_did_and_changes_nothing_the_second_time(stores: Command) -> None:
    """A fresh home has nothing to roll up or to expire."""
    assert stores("migrate").returncode == 0
    first, second = (json.loads(stores("maintain", "--json").stdout) for _ in range(2))
    assert "0 partitions dropped" in first["postgres"]
    assert first["lake"] == second["lake"]
    assert len(first["lake"]) == len(ALL_TABLES)
