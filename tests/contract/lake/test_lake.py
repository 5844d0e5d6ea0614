"""The lake over a real catalog: a SQLite file and a folder."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitStateUnknownException
from sqlalchemy.exc import OperationalError

from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    TransientError,
)
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import Equals, Lake, OneOf
from stores.lake.tables import MATCH_RESULTS, MATCH_ROWS, PLAYER_PERFORMANCE, QUARANTINE, LakeTable
from stores.settings import LakeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SILVER_TABLES = (MATCH_ROWS, MATCH_RESULTS, PLAYER_PERFORMANCE)
INGESTED = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> LakeSettings:
    """A catalog and a warehouse in folders that do not exist, under a name that a URI would write otherwise."""
    home = tmp_path / "a home 100%"
    return LakeSettings(f"sqlite:///{home}/lake/catalog.db", f"file://{home}/lake/warehouse")


@pytest.fixture
def lake(settings: LakeSettings) -> Lake:
    """An open lake with the raw rows' table."""
    opened = Lake(settings)
    opened.ensure((MATCH_ROWS,))
    return opened


def another_client(lake: Lake) -> Catalog:
    """The same catalog as any other engine opens it."""
    return load_catalog(**lake.catalog_kwargs)


def raw(*rows: tuple[str, int, str | None]) -> pa.Table:
    """Raw rows of source hash, number and damage."""
    return pa.Table.from_pylist(
        [
            {
                "source": f"{sha}.csv",
                "source_sha256": sha,
                "layout": "wide",
                "row_number": number,
                "payload": '{"a": 1}',
                "damage": damage,
                "ingested_at": INGESTED,
            }
            for sha, number, damage in rows
        ],
        schema=MATCH_ROWS.schema,
    )


def append(lake: Lake, rows: pa.Table, properties: Mapping[str, str] | None = None) -> int:
    """Add rows by another client; the new snapshot."""
    another_client(lake).load_table(MATCH_ROWS.identifier).append(rows, snapshot_properties=dict(properties or {}))
    snapshot_id = lake.snapshot_id(MATCH_ROWS)
    assert snapshot_id is not None
    return snapshot_id


def numbers(rows: pa.Table) -> list[tuple[str, int]]:
    """Which rows these are, in order."""
    return sorted(zip(rows["source_sha256"].to_pylist(), rows["row_number"].to_pylist(), strict=True))


def test_ensure_makes_what_is_missing_and_leaves_what_is_there(lake: Lake) -> None:
    """Once or twice, the tables are there, and rows survive."""
    append(lake, raw(("one", 1, None)))
    lake.ensure(ALL_TABLES)
    lake.ensure(ALL_TABLES)
    assert all(another_client(lake).table_exists(table.identifier) for table in ALL_TABLES)
    assert lake.read(MATCH_ROWS).num_rows == 1


def _open_and_ensure(settings: LakeSettings, together: Any, outcomes: Any) -> None:
    """What each process of the next test does."""
    together.wait()
    try:
        Lake(settings).ensure(SILVER_TABLES)
    except BaseException as error:  # noqa: BLE001 — the test tells
        outcomes.put(repr(error))
    else:
        outcomes.put("ok")


def test_ensure_is_safe_from_many_processes_at_once(settings: LakeSettings) -> None:
    """A new home is opened by six processes at the same moment; none fails and each table is there once."""
    fork = multiprocessing.get_context("fork")
    together, outcomes = fork.Barrier(6), fork.Queue()
    processes = [fork.Process(target=_open_and_ensure, args=(settings, together, outcomes)) for _ in range(6)]
    for process in processes:
        process.start()
    assert [outcomes.get(timeout=120) for _ in processes] == ["ok"] * 6
    for process in processes:
        process.join(timeout=30)
    lake = Lake(settings)
    assert {name for layer in ("bronze", "silver") for name in another_client(lake).list_tables(layer)} == {
        tuple(table.identifier.split(".")) for table in SILVER_TABLES
    }
    assert lake.snapshot_id(PLAYER_PERFORMANCE) is None


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.identifier)
def test_tables_are_made_as_declared(lake: Lake, table: LakeTable) -> None:
    """Columns, partitions with their transforms, and file sizes."""
    lake.ensure((table,))
    made = another_client(lake).load_table(table.identifier)
    assert [field.name for field in made.schema().fields] == list(table.schema.names)
    name_of = {field.field_id: field.name for field in made.schema().fields}
    spec = tuple((name_of[field.source_id], str(field.transform)) for field in made.spec().fields)
    assert spec == tuple((column, str(by)) for column, by in table.partitions)
    assert made.properties["write.target-file-size-bytes"] == str(table.target_file_bytes)
    assert made.properties["write.parquet.compression-codec"] == "snappy"
    empty = lake.read(table)
    assert empty.schema == table.schema
    assert empty.num_rows == 0


def test_rows_come_back_as_they_were(lake: Lake) -> None:
    """Types and values, the microsecond and the null included."""
    rows = raw(("one", 1, None), ("two", 2, "torn"))
    append(lake, rows)
    assert lake.read(MATCH_ROWS).sort_by("row_number") == rows


def test_a_snapshot_is_read_as_it_was(lake: Lake) -> None:
    """Later rows do not show in an older snapshot, even when all rows are gone since."""
    first = append(lake, raw(("one", 1, None)))
    second = append(lake, raw(("two", 1, None)))
    lake.clear(MATCH_ROWS, {})
    assert numbers(lake.read(MATCH_ROWS, snapshot_id=first)) == [("one", 1)]
    assert numbers(lake.read(MATCH_ROWS, snapshot_id=second)) == [("one", 1), ("two", 1)]
    assert lake.read(MATCH_ROWS).num_rows == 0


def test_an_unknown_snapshot_is_not_found(lake: Lake) -> None:
    """Neither rows nor properties of another snapshot are given in its place."""
    append(lake, raw(("one", 1, None)))
    with pytest.raises(NotFoundError, match=r"bronze\.match_rows has no snapshot 17"):
        lake.read(MATCH_ROWS, snapshot_id=17)
    with pytest.raises(NotFoundError, match="has no snapshot 17"):
        lake.summary(MATCH_ROWS, 17)


def test_filters(lake: Lake) -> None:
    """By value, by null and by a set of values, also on a column that is not read."""
    append(lake, raw(("one", 1, None), ("two", 1, "torn"), ("three", 1, None), ("three", 2, "torn")))

    def found(where: Equals | OneOf | None) -> list[tuple[str, int]]:
        return numbers(lake.read(MATCH_ROWS, columns=("source_sha256", "row_number"), where=where))

    assert found(None) == [("one", 1), ("three", 1), ("three", 2), ("two", 1)]
    assert found(Equals("damage", "torn")) == [("three", 2), ("two", 1)]
    assert found(Equals("damage", None)) == [("one", 1), ("three", 1)]
    assert found(OneOf("source_sha256", ("one", "two", "nine"))) == [("one", 1), ("two", 1)]
    assert found(OneOf("source_sha256", ("two",))) == [("two", 1)]
    assert found(OneOf("source_sha256", ())) == []
    assert found(Equals("source_sha256", "a'b\"c")) == []


def test_columns_come_in_the_tables_order(lake: Lake) -> None:
    """Only what is asked for, typed as declared."""
    append(lake, raw(("one", 1, None)))
    read = lake.read(MATCH_ROWS, columns=["row_number", "source"])
    assert read.schema == pa.schema([MATCH_ROWS.schema.field("source"), MATCH_ROWS.schema.field("row_number")])


def test_values_of_a_partition(lake: Lake) -> None:
    """Each value that has rows now, from metadata."""
    assert lake.values(MATCH_ROWS, "source_sha256") == frozenset()
    append(lake, raw(("one", 1, None), ("one", 2, None)))
    append(lake, raw(("two", 1, None)))
    assert lake.values(MATCH_ROWS, "source_sha256") == {"one", "two"}
    lake.clear(MATCH_ROWS, {})
    assert lake.values(MATCH_ROWS, "source_sha256") == frozenset()


def test_the_summary_is_what_was_committed(lake: Lake) -> None:
    """Properties travel with their snapshot; an empty table has none."""
    assert lake.summary(MATCH_ROWS) == {}
    first = append(lake, raw(("one", 1, None)), {"riftline.note": "first"})
    append(lake, raw(("two", 1, None)), {"riftline.note": "second"})
    assert lake.summary(MATCH_ROWS)["riftline.note"] == "second"
    assert lake.summary(MATCH_ROWS)["total-records"] == "2"
    assert lake.summary(MATCH_ROWS, first)["riftline.note"] == "first"


@pytest.mark.parametrize("filled", [True, False])
def test_clear_is_a_snapshot_with_properties(lake: Lake, filled: bool) -> None:
    """Clearing tells what it was made from, also when there was nothing to clear."""
    if filled:
        append(lake, raw(("one", 1, None)))
    before = lake.snapshot_id(MATCH_ROWS)
    lake.clear(MATCH_ROWS, {"riftline.note": "cleared"})
    assert lake.snapshot_id(MATCH_ROWS) not in {None, before}
    assert lake.summary(MATCH_ROWS)["riftline.note"] == "cleared"
    assert lake.read(MATCH_ROWS).num_rows == 0


def test_a_missing_table_says_what_to_do(lake: Lake) -> None:
    """Every call on it names the table and the remedy."""
    for call in (lake.read, lake.snapshot_id, lake.summary):
        with pytest.raises(NotFoundError, match=r"the lake has no table silver\.quarantine; run `riftline ingest`"):
            call(QUARANTINE)


def test_who_commits_second_is_told(lake: Lake) -> None:
    """An overwrite of what another writer has changed in between is refused, and changes nothing."""
    append(lake, raw(("one", 1, None)))
    stale = another_client(lake).load_table(MATCH_ROWS.identifier)
    transaction = stale.transaction()
    transaction.overwrite(raw(("mine", 1, None)))
    lake.clear(MATCH_ROWS, {"riftline.note": "theirs"})
    with pytest.raises(ConflictError, match="changed by another writer"), lake.committing(MATCH_ROWS):
        transaction.commit_transaction()
    assert lake.read(MATCH_ROWS).num_rows == 0
    assert lake.summary(MATCH_ROWS)["riftline.note"] == "theirs"


@pytest.mark.parametrize(
    "broken", [CommitStateUnknownException("504"), OperationalError("UPDATE", None, Exception("connection lost"))]
)
def test_a_commit_without_an_answer_may_have_happened(lake: Lake, broken: Exception) -> None:
    """The caller is told to look before he tries again."""
    with pytest.raises(OutcomeUnknownError, match=r"bronze\.match_rows"), lake.committing(MATCH_ROWS):
        raise broken


def test_a_catalog_that_does_not_open_is_transient(tmp_path: Path) -> None:
    """A database that refuses says where it should be."""
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(TransientError, match=f"{tmp_path}/catalog.db does not answer"):
        Lake(LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}"))


def test_a_catalog_that_breaks_while_open_is_transient(lake: Lake, settings: LakeSettings) -> None:
    """A lake that was open says so too, and works again when the catalog is back."""
    with closing(sqlite3.connect(settings.catalog_uri.removeprefix("sqlite:///"))) as database:
        database.execute("ALTER TABLE iceberg_tables RENAME TO away")
        with pytest.raises(TransientError, match="does not answer"):
            lake.read(MATCH_ROWS)
        database.execute("ALTER TABLE away RENAME TO iceberg_tables")
    assert lake.read(MATCH_ROWS).num_rows == 0


@pytest.mark.parametrize("below", ["catalog", "warehouse"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, below: str) -> None:
    """A file where the home should be is no folder, and the variable to change is named."""
    (tmp_path / below).write_text("a file")
    with pytest.raises(InvalidError, match=f"{tmp_path}/{below}") as refused:
        Lake(LakeSettings(f"sqlite:///{tmp_path}/catalog/x/catalog.db", f"file://{tmp_path}/warehouse/x"))
    assert refused.value.field == "RIFTLINE_HOME"


def test_a_catalog_address_that_is_none_is_named() -> None:
    """The variable is named, and the text, which may hold a password, is not repeated."""
    with pytest.raises(InvalidError) as refused:
        Lake(LakeSettings("user:hunter2 at db", "file:///tmp"))
    assert refused.value.field == "RIFTLINE_CATALOG_URI"
    assert "hunter2" not in str(refused.value)


def test_a_relative_catalog_lies_under_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQLAlchemy reads it: three slashes are relative, and the folder is made there."""
    monkeypatch.chdir(tmp_path)
    Lake(LakeSettings("sqlite:///deep/catalog.db", f"file://{tmp_path}/warehouse")).ensure((QUARANTINE,))
    assert (tmp_path / "deep" / "catalog.db").is_file()
