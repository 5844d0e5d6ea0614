"""Compaction, expiry and removal of orphans: rows stay as they are, and writers are never in the way."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import fs

from stores.domain.lake_commits import Step
from stores.domain.row_filters import Equals, OneOf
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.lake.catalog import IcebergLake
from stores.lake.compaction import packed
from stores.lake.warehouse import open_warehouse
from tests.contract.lake.work import (
    EVENTS,
    append_steps,
    at_once,
    maintain,
    numbers,
    plain_table,
    rows,
    step_rows,
)

if TYPE_CHECKING:
    from stores.domain.lake_commits import Commit
    from stores.settings import LakeSettings

pytestmark = pytest.mark.role("lake")

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def filled(lake: IcebergLake) -> IcebergLake:
    """Six appends of three rows: in each partition a few small files."""
    for index in range(6):
        lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1))
    return lake


def later() -> datetime:
    """A moment at which everything that was done is a day old."""
    return datetime.now(UTC) + DAY


def to_the_bit(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, every double by its bits."""
    bits = table["share"].combine_chunks().view(pa.int64())
    rows_of_bits: list[dict[str, Any]] = table.set_column(3, "share", bits).sort_by("number").to_pylist()
    return rows_of_bits


def data_files(lake: IcebergLake) -> int:
    """How many files hold the rows."""
    return len(list(plain_table(lake, EVENTS).scan().plan_files()))


def stored(settings: LakeSettings, lake: IcebergLake) -> tuple[fs.FileSystem, str, set[str]]:
    """The file system of the warehouse, the table's folder, and all files in it."""
    files, root = open_warehouse(settings.warehouse, settings.s3)
    folder = root + plain_table(lake, EVENTS).location().removeprefix(settings.warehouse)
    found = files.get_file_info(fs.FileSelector(folder, recursive=True))
    return files, folder, {info.path for info in found if info.type == fs.FileType.File}


def test_compaction_leaves_one_file_per_partition_and_every_bit(filled: IcebergLake) -> None:
    """Rows, nulls, doubles and positions stay; the snapshot before can still be read; a second run does nothing."""
    awkward = rows([100, 101, 102]).set_column(3, "share", pa.array([float("nan"), -0.0, 5e-324]))
    filled.append(EVENTS, awkward, Step("writer", 6, 7))
    before, snapshot_id, files = to_the_bit(filled.read(EVENTS)), filled.snapshot_id(EVENTS), data_files(filled)
    replaced = filled.compact(EVENTS)
    partitions = {(row["tournament"], row["date"].year) for row in before}
    assert 0 < replaced <= files
    assert data_files(filled) == len(partitions)
    assert to_the_bit(filled.read(EVENTS)) == to_the_bit(filled.read(EVENTS, snapshot_id=snapshot_id)) == before
    assert filled.compact(EVENTS) == 0
    assert filled.append(EVENTS, step_rows(5), Step("writer", 5, 6)).repeated
    assert filled.summary(EVENTS)["total-records"] == str(len(before))


def test_an_append_between_plan_and_commit_of_a_compaction_stays(
    filled: IcebergLake, settings: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compaction comes second, looks again and lands; nothing is lost or doubled."""
    load = filled._load  # noqa: SLF001  # the moment that matters lies inside
    appended: list[Commit] = []

    def overtaken(table: Any) -> Any:
        loaded = load(table)
        if len(appended) < 2:  # after the plan, and again after the look before the commit
            with closing(IcebergLake(settings)) as other:
                index = 6 + len(appended)
                appended.append(other.append(EVENTS, step_rows(index), Step("writer", index, index + 1)))
        return loaded

    monkeypatch.setattr(filled, "_load", overtaken)
    assert filled.compact(EVENTS) > 0
    assert len(appended) == 2
    assert numbers(filled.read(EVENTS)) == list(range(8 * 3))


def test_rows_that_are_removed_during_a_compaction_stay_removed(
    filled: IcebergLake, settings: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy of them is given up."""
    load = filled._load  # noqa: SLF001  # the moment that matters lies inside
    removed = [OneOf("tournament", ("LCK",))]

    def overtaken(table: Any) -> Any:
        loaded = load(table)
        if removed:
            with closing(IcebergLake(settings)) as other:
                other.delete(EVENTS, removed.pop())
        return loaded

    monkeypatch.setattr(filled, "_load", overtaken)
    with pytest.raises(ConflictError, match="rows were removed while they were compacted"):
        filled.compact(EVENTS)
    assert filled.read(EVENTS, where=Equals("tournament", "LCK")).num_rows == 0
    assert filled.read(EVENTS).num_rows == 12


def test_maintenance_beside_writers(lake: IcebergLake, settings: LakeSettings) -> None:
    """Two processes append while a third compacts, expires and removes orphans: none fails, every row is there once."""
    outcomes = at_once(_write_or_maintain, (settings, 0), (settings, 1), (settings, 2))
    assert sorted(outcomes, key=str) == [6, 6, "ok"], outcomes
    expected = sorted(number for writer in (1, 2) for index in range(6) for number in numbers(step_rows(index, writer)))
    assert numbers(lake.read(EVENTS)) == expected
    lake.compact(EVENTS)
    assert numbers(lake.read(EVENTS)) == expected


def _write_or_maintain(together: Any, settings: LakeSettings, which: int) -> object:
    if which:
        return append_steps(together, settings, which, 6)
    return maintain(together, settings, 5)


def test_expiry_keeps_what_is_new_or_referred_to(filled: IcebergLake) -> None:
    """By age, by count, and by name; what is forgotten is not found, and the rows of now stay."""
    ids = [snapshot.snapshot_id for snapshot in plain_table(filled, EVENTS).metadata.snapshots]
    assert filled.expire(EVENTS, now=datetime.now(UTC), keep_for=HOUR) == 0
    assert filled.expire(EVENTS, now=later(), keep_for=HOUR, keep_last=6) == 0
    assert filled.expire(EVENTS, now=later(), keep_for=HOUR, keep_last=2, keep={ids[1], 17}) == 3
    assert [snapshot.snapshot_id for snapshot in plain_table(filled, EVENTS).metadata.snapshots] == [ids[1], *ids[4:]]
    assert numbers(filled.read(EVENTS, snapshot_id=ids[1])) == list(range(6))
    with pytest.raises(NotFoundError, match="may have expired"):
        filled.read(EVENTS, snapshot_id=ids[0])
    assert numbers(filled.read(EVENTS)) == list(range(18))


@pytest.mark.parametrize("keep_last", [0, -1])
def test_the_newest_snapshot_cannot_be_forgotten(filled: IcebergLake, keep_last: int) -> None:
    """A table without its newest snapshot would be empty."""
    with pytest.raises(InvalidError, match="keep_last"):
        filled.expire(EVENTS, now=later(), keep_for=HOUR, keep_last=keep_last)


def test_orphans_go_and_everything_else_stays(filled: IcebergLake, settings: LakeSettings) -> None:
    """Old files that nothing refers to go, once; foreign files, and all that a snapshot needs, stay."""
    files, folder, before = stored(settings, filled)
    stray = {f"{folder}/data/tournament=LCK/stray.parquet", f"{folder}/metadata/stray-m0.avro"}
    foreign = (
        {f"{folder}/data/notes.txt"} if settings.warehouse.startswith("file") else set()
    )  # a catalog may forbid it
    for path in stray | foreign:
        with files.open_output_stream(path) as stream:
            stream.write(b"x")
    assert filled.remove_orphans(EVENTS, now=datetime.now(UTC), grace=HOUR) == 0
    removed = filled.remove_orphans(EVENTS, now=later(), grace=HOUR)
    left = stored(settings, filled)[2]
    assert stray.isdisjoint(left)
    assert foreign <= left
    assert removed == len(stray) + len(before - left)
    assert filled.remove_orphans(EVENTS, now=later(), grace=HOUR) == 0
    for snapshot in plain_table(filled, EVENTS).metadata.snapshots:
        filled.read(EVENTS, snapshot_id=snapshot.snapshot_id)
    assert numbers(filled.read(EVENTS)) == list(range(18))


def test_the_files_of_expired_snapshots_go_after_the_grace(filled: IcebergLake, settings: LakeSettings) -> None:
    """A reader of a snapshot that has just expired can finish; a day later its files are gone."""
    filled.compact(EVENTS)
    reader = plain_table(filled, EVENTS)
    ids = [snapshot.snapshot_id for snapshot in reader.metadata.snapshots]
    now = datetime.now(UTC)
    assert filled.expire(EVENTS, now=later(), keep_for=HOUR) == 6
    filled.remove_orphans(EVENTS, now=now + HOUR, grace=HOUR)
    assert reader.scan(snapshot_id=ids[0]).to_arrow().num_rows == 3
    assert filled.remove_orphans(EVENTS, now=later(), grace=HOUR) > 6
    with pytest.raises(FileNotFoundError):
        reader.scan(snapshot_id=ids[0]).to_arrow()
    assert numbers(filled.read(EVENTS)) == list(range(18))
    files = {path for path in stored(settings, filled)[2] if path.endswith(".parquet")}
    assert len(files) == data_files(filled)


def test_a_grace_too_short_for_a_commit_is_refused(filled: IcebergLake) -> None:
    """Else the files of an append under way could go."""
    with pytest.raises(InvalidError, match="give at least 1:00:00"):
        filled.remove_orphans(EVENTS, now=later(), grace=timedelta(minutes=59))


def test_packing_fills_groups_and_splits_none() -> None:
    """Every item is in one group, and no group is larger than allowed."""
    sizes = [5, 1, 9, 4, 4, 2, 10]
    groups = packed(sizes, int, 10)
    assert sorted(size for group in groups for size in group) == sorted(sizes)
    assert all(sum(group) <= 10 for group in groups)
    assert groups == [[1, 2, 4], [4, 5], [9], [10]]
