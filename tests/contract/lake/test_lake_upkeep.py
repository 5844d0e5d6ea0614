"""Upkeep of the whole lake: what a released model was trained on outlives every other snapshot of its age."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from stores import maintenance
from stores.domain.lake_commits import Step
from stores.domain.models import ModelRecord
from stores.errors import NotFoundError
from stores.features.tables import (
    ALL_TABLES,
    CHAMPION_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT,
    PLAYER_SNAPSHOTS,
    SILVER_SNAPSHOT,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.tables import MATCH_RESULTS, PLAYER_PERFORMANCE
from stores.maintenance import maintain_lake, snapshots_in_use
from stores.postgres.migrate import migrate
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from tests.contract.lake.conftest import fresh_database
from tests.contract.lake.work import EVENTS, numbers, plain_table, step_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stores.lake.catalog import IcebergLake
    from stores.lake.tables import LakeTable

pytestmark = pytest.mark.role("maintenance")

LONG_AFTER = timedelta(days=60)
NAMED = {
    SILVER_SNAPSHOT: PLAYER_PERFORMANCE,
    TEAMS_SNAPSHOT: TEAM_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT: TOURNAMENT_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT: CHAMPION_SNAPSHOTS,
}
FEATURE_TABLES = (*NAMED.values(), PLAYER_SNAPSHOTS)
RELEASED, DEPRECATED, UNREGISTERED = range(3)  # which build each model was trained on, or none
LAST = 2  # instead of ten: each commit to S3 takes its time
BUILDS = 3 + LAST


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last snapshots of each table stay by their number."""
    monkeypatch.setattr(maintenance, "LAST_SNAPSHOTS", LAST)


def long_after() -> datetime:
    """A moment at which all that was done is too old."""
    return datetime.now(UTC) + LONG_AFTER


@asynccontextmanager
async def registry_at(url: str) -> AsyncIterator[PostgresModelRegistry]:
    """The registry of a fresh database."""
    pool = await open_pool(fresh_database(url), 1)
    try:
        await migrate(pool)
        yield PostgresModelRegistry(pool)
    finally:
        await pool.close()


def model(version: str, snapshot_id: int) -> ModelRecord:
    """A model that was trained on a snapshot of the features."""
    return ModelRecord(
        model_name="player-props",
        model_version=version,
        framework="xgboost",
        algorithm="poisson",
        hyperparameters={},
        feature_schema={},
        feature_version="f1",
        training_metrics={},
        model_artifact_path="models",
        model_size_bytes=1,
        checksum="ab" * 32,
        lake_snapshot_id=snapshot_id,
        trained_at=datetime.now(UTC),
    )


def build(lake: IcebergLake, number: int) -> dict[str, int]:
    """Features as a pipeline makes them, and the snapshots of all tables: the players' names the others."""
    made = {name: _append(lake, table, number, {}) for name, table in NAMED.items()}
    newest = _append(lake, PLAYER_SNAPSHOTS, number, {name: str(snapshot_id) for name, snapshot_id in made.items()})
    return {**made, "players": newest}


def _append(lake: IcebergLake, table: LakeTable, number: int, properties: dict[str, str]) -> int:
    rows = pa.Table.from_pylist([{}], schema=table.schema)
    return lake.append(table, rows, Step("test", number, number + 1), properties=properties).snapshot_id


def read(lake: IcebergLake, made: dict[str, int]) -> list[int]:
    """How many rows each table has as of a build. Raises NotFoundError when one expired."""
    tables = {**NAMED, "players": PLAYER_SNAPSHOTS}
    return [lake.read(tables[name], snapshot_id=snapshot_id).num_rows for name, snapshot_id in made.items()]


async def test_what_a_model_was_trained_on_survives(lake: IcebergLake, postgres_url: str) -> None:
    """Of three old builds only that of the model in production is readable, in every table, its files with it."""
    lake.ensure(FEATURE_TABLES)
    builds = [build(lake, number) for number in range(BUILDS)]
    async with registry_at(postgres_url) as registry:
        for which in (DEPRECATED, RELEASED):
            await registry.register(model(f"v{which}", builds[which]["players"]))
            await registry.promote("player-props", f"v{which}")
        keep = await snapshots_in_use(registry, lake)
    assert keep == {*builds[RELEASED].values(), *builds[-1].values()}
    told = maintain_lake(lake, FEATURE_TABLES, keep, long_after())
    assert all("2 snapshots expired" in line for line in told), told
    for build_number in (RELEASED, *range(3, BUILDS)):
        assert read(lake, builds[build_number]) == [build_number + 1] * len(FEATURE_TABLES)
    for table in FEATURE_TABLES:
        for expired in (DEPRECATED, UNREGISTERED):
            name = next((name for name, one in NAMED.items() if one is table), "players")
            with pytest.raises(NotFoundError):
                lake.read(table, snapshot_id=builds[expired][name])


async def test_a_snapshot_that_is_gone_already_stops_nobody(lake: IcebergLake, postgres_url: str) -> None:
    """A model whose snapshot expired before anyone kept it, a lake without features, and an empty one are no errors."""
    async with registry_at(postgres_url) as registry:
        assert await snapshots_in_use(registry, lake) == frozenset()
        await registry.register(model("v1", 17))
        assert await snapshots_in_use(registry, lake) == {17}
        lake.ensure(FEATURE_TABLES)
        assert await snapshots_in_use(registry, lake) == {17}
        made = build(lake, 0)
        assert await snapshots_in_use(registry, lake) == {17, *made.values()}


def test_upkeep_leaves_rows_and_lineage_and_is_done_at_once(lake: IcebergLake) -> None:
    """Small files of bronze are joined; features keep the properties that name their sources; a second run is idle."""
    lake.ensure(FEATURE_TABLES)
    for index in range(4):
        lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1))
        build(lake, index)
    lineage = lake.summary(PLAYER_SNAPSHOTS)
    tables = (EVENTS, *FEATURE_TABLES)
    first = maintain_lake(lake, tables, (), long_after())
    assert first[0].startswith("bronze.events: ")
    assert not first[0].startswith("bronze.events: 0 files joined")
    assert numbers(lake.read(EVENTS)) == list(range(12))
    assert lake.summary(PLAYER_SNAPSHOTS) == lineage
    second = maintain_lake(lake, tables, (), long_after())
    idle = "0 files joined, 0 snapshots expired, 0 files removed"
    assert second == [f"{table.identifier}: {idle}" for table in tables]


def test_young_snapshots_and_files_stay(lake: IcebergLake) -> None:
    """Nothing of today expires, however many snapshots there are, and no file of today goes."""
    for index in range(LAST + 2):
        lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1))
    ids = [snapshot.snapshot_id for snapshot in plain_table(lake, EVENTS).metadata.snapshots]
    told = maintain_lake(lake, (EVENTS,), (), datetime.now(UTC))
    assert told[0].endswith("0 snapshots expired, 0 files removed")
    assert [lake.read(EVENTS, snapshot_id=one).num_rows for one in ids] == [3 * (n + 1) for n in range(len(ids))]


def test_a_table_that_was_not_made_is_passed_over(lake: IcebergLake) -> None:
    """On a lake where nothing was ingested yet, each table is named, and no error is raised."""
    told = maintain_lake(lake, ALL_TABLES, (), long_after())
    assert told == [f"{table.identifier}: not made yet" for table in ALL_TABLES]
    lake.ensure((MATCH_RESULTS,))
    assert "0 files joined" in maintain_lake(lake, (MATCH_RESULTS,), (), long_after())[0]
