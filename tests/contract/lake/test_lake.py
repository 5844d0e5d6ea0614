"""Reading and replacing over every catalog and warehouse, beside other clients of the same lake."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitStateUnknownException
from sqlalchemy.exc import OperationalError

from stores.domain.lake_commits import Step
from stores.domain.row_filters import Equals, OneOf
from stores.errors import ConflictError, InvalidError, NotFoundError, OutcomeUnknownError
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import IcebergLake
from stores.lake.tables import MATCH_RESULTS, MATCH_ROWS, PLAYER_PERFORMANCE, QUARANTINE
from tests.contract.lake.work import EVENTS, at_once, ensure, plain_table, step_rows
from tests.contract.lake.work import numbers as event_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyiceberg.catalog import Catalog

    from stores.settings import LakeSettings

pytestmark = pytest.mark.role("lake")

SILVER_TABLES = (MATCH_ROWS, MATCH_RESULTS, PLAYER_PERFORMANCE)
INGESTED = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def lake(settings: LakeSettings) -> Iterator[IcebergLake]:
    """An open lake with the raw rows' table."""
    with closing(IcebergLake(settings)) as opened:
        opened.ensure((MATCH_ROWS,))
        yield opened


def another_client(lake: IcebergLake) -> Catalog:
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


def append(lake: IcebergLake, rows: pa.Table, properties: Mapping[str, str] | None = None) -> int:
    """Add rows by another client; the new snapshot."""
    another_client(lake).load_table(MATCH_ROWS.identifier).append(rows, snapshot_properties=dict(properties or {}))
    snapshot_id = lake.snapshot_id(MATCH_ROWS)
    assert snapshot_id is not None
    return snapshot_id


def numbers(rows: pa.Table) -> list[tuple[str, int]]:
    """Which rows these are, in order."""
    return sorted(zip(rows["source_sha256"].to_pylist(), rows["row_number"].to_pylist(), strict=True))


def test_ensure_makes_what_is_missing_and_leaves_what_is_there(lake: IcebergLake) -> None:
    """Once or twice, the tables are there, and rows survive."""
    append(lake, raw(("one", 1, None)))
    lake.ensure(ALL_TABLES)
    lake.ensure(ALL_TABLES)
    assert all(another_client(lake).table_exists(table.identifier) for table in ALL_TABLES)
    assert lake.read(MATCH_ROWS).num_rows == 1


def test_ensure_is_safe_from_many_processes_at_once(settings: LakeSettings) -> None:
    """A new home is opened by three processes at the same moment; none fails and each table is there once."""
    assert at_once(ensure, *[(settings, SILVER_TABLES)] * 3) == ["ok"] * 3
    with closing(IcebergLake(settings)) as lake:
        assert {name for layer in ("bronze", "silver") for name in another_client(lake).list_tables(layer)} == {
            tuple(table.identifier.split(".")) for table in SILVER_TABLES
        }
        assert lake.snapshot_id(PLAYER_PERFORMANCE) is None


def test_tables_are_made_as_declared(lake: IcebergLake) -> None:
    """Columns, partitions with their transforms, and file sizes, of every table of the lake."""
    lake.ensure(ALL_TABLES)
    for table in ALL_TABLES:
        made = plain_table(lake, table)
        assert [field.name for field in made.schema().fields] == list(table.schema.names)
        name_of = {field.field_id: field.name for field in made.schema().fields}
        spec = tuple((name_of[field.source_id], str(field.transform)) for field in made.spec().fields)
        assert spec == tuple((column, str(by)) for column, by in table.partitions)
        assert made.properties["write.target-file-size-bytes"] == str(table.target_file_bytes)
        assert made.properties["write.parquet.compression-codec"] == "snappy"
        empty = lake.read(table)
        assert empty.schema == table.schema
        assert empty.num_rows == 0


def test_rows_come_back_as_they_were(lake: IcebergLake) -> None:
    """Types and values, the microsecond and the null included."""
    rows = raw(("one", 1, None), ("two", 2, "torn"))
    append(lake, rows)
    assert lake.read(MATCH_ROWS).sort_by("row_number") == rows


def test_a_snapshot_is_read_as_it_was(lake: IcebergLake) -> None:
    """Later rows do not show in an older snapshot, even when all rows are gone since."""
    first = append(lake, raw(("one", 1, None)))
    second = append(lake, raw(("two", 1, None)))
    lake.clear(MATCH_ROWS, {})
    assert numbers(lake.read(MATCH_ROWS, snapshot_id=first)) == [("one", 1)]
    assert numbers(lake.read(MATCH_ROWS, snapshot_id=second)) == [("one", 1), ("two", 1)]
    assert lake.read(MATCH_ROWS).num_rows == 0


def test_an_unknown_snapshot_is_not_found(lake: IcebergLake) -> None:
    """Neither rows nor properties of another snapshot are given in its place."""
    append(lake, raw(("one", 1, None)))
    with pytest.raises(NotFoundError, match=r"bronze\.match_rows has no snapshot 17"):
        lake.read(MATCH_ROWS, snapshot_id=17)
    with pytest.raises(NotFoundError, match="has no snapshot 17"):
        lake.summary(MATCH_ROWS, 17)


def test_filters(lake: IcebergLake) -> None:
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


def test_columns_come_in_the_tables_order(lake: IcebergLake) -> None:
    """Only what is asked for, typed as declared."""
    append(lake, raw(("one", 1, None)))
    read = lake.read(MATCH_ROWS, columns=["row_number", "source"])
    assert read.schema == pa.schema([MATCH_ROWS.schema.field("source"), MATCH_ROWS.schema.field("row_number")])


def test_values_of_a_partition(lake: IcebergLake) -> None:
    """Each value that has rows now, from metadata."""
    assert lake.values(MATCH_ROWS, "source_sha256") == frozenset()
    append(lake, raw(("one", 1, None), ("one", 2, None)))
    append(lake, raw(("two", 1, None)))
    assert lake.values(MATCH_ROWS, "source_sha256") == {"one", "two"}
    lake.clear(MATCH_ROWS, {})
    assert lake.values(MATCH_ROWS, "source_sha256") == frozenset()


def test_the_summary_is_what_was_committed(lake: IcebergLake) -> None:
    """Properties travel with their snapshot; an empty table has none."""
    assert lake.summary(MATCH_ROWS) == {}
    first = append(lake, raw(("one", 1, None)), {"riftline.note": "first"})
    append(lake, raw(("two", 1, None)), {"riftline.note": "second"})
    assert lake.summary(MATCH_ROWS)["riftline.note"] == "second"
    assert lake.summary(MATCH_ROWS)["total-records"] == "2"
    assert lake.summary(MATCH_ROWS, first)["riftline.note"] == "first"


@pytest.mark.parametrize("filled", [True, False])
def test_clear_is_a_snapshot_with_properties(lake: IcebergLake, filled: bool) -> None:
    """Clearing tells what it was made from, also when there was nothing to clear."""
    if filled:
        append(lake, raw(("one", 1, None)))
    before = lake.snapshot_id(MATCH_ROWS)
    lake.clear(MATCH_ROWS, {"riftline.note": "cleared"})
    assert lake.snapshot_id(MATCH_ROWS) not in {None, before}
    assert lake.summary(MATCH_ROWS)["riftline.note"] == "cleared"
    assert lake.read(MATCH_ROWS).num_rows == 0


def test_a_missing_table_says_what_to_do(lake: IcebergLake) -> None:
    """Every call on it names the table and the remedy."""
    for call in (lake.read, lake.snapshot_id, lake.summary):
        with pytest.raises(NotFoundError, match=r"the lake has no table silver\.quarantine; run `riftline ingest`"):
            call(QUARANTINE)


def test_who_commits_second_is_told(lake: IcebergLake) -> None:
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
def test_a_commit_without_an_answer_may_have_happened(lake: IcebergLake, broken: Exception) -> None:
    """The caller is told to look before he tries again."""
    with pytest.raises(OutcomeUnknownError, match=r"bronze\.match_rows"), lake.committing(MATCH_ROWS):
        raise broken


def test_a_moment_is_found(lake: IcebergLake) -> None:
    """The snapshot that was the newest at any moment, also between two commits; None before the first."""
    lake.ensure((EVENTS,))
    began = datetime.now(UTC)
    assert lake.snapshot_at(EVENTS, began) is None
    done = [lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1)) for index in range(4)]
    log = plain_table(lake, EVENTS).metadata.snapshot_log
    times = [datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC) for entry in log]
    assert lake.snapshot_at(EVENTS, began - timedelta(days=1)) is None
    for index in range(4):
        assert lake.snapshot_at(EVENTS, times[index]) == done[index].snapshot_id
        assert (
            lake.snapshot_at(EVENTS, times[index] - timedelta(milliseconds=1))
            == lake.snapshot_at(EVENTS, times[index - 1])
            or index == 0
        )
    second = lake.snapshot_at(EVENTS, times[1])
    assert event_numbers(lake.read(EVENTS, snapshot_id=second)) == list(range(6))
    assert lake.snapshot_at(EVENTS, datetime.now(UTC) + timedelta(days=1)) == done[3].snapshot_id


def test_a_moment_whose_snapshot_expired_is_not_found(lake: IcebergLake) -> None:
    """Never the snapshot before or after it in its place."""
    lake.ensure((EVENTS,))
    done = [lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1)) for index in range(4)]
    log = plain_table(lake, EVENTS).metadata.snapshot_log
    times = [datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC) for entry in log]
    later = datetime.now(UTC) + timedelta(days=1)
    assert lake.expire(EVENTS, now=later, keep_for=timedelta(hours=1), keep={done[1].snapshot_id}) == 2
    for gone in (0, 2):
        with pytest.raises(NotFoundError, match="which has expired"):
            lake.snapshot_at(EVENTS, times[gone])
    assert lake.snapshot_at(EVENTS, times[3]) == done[3].snapshot_id
    with pytest.raises(InvalidError, match="has no zone"):
        lake.snapshot_at(EVENTS, datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_address_names_both_places_and_no_secret(lake: IcebergLake, settings: LakeSettings) -> None:
    """It answers, and says where it is."""
    lake.ping()
    assert lake.address.startswith("Iceberg at ")
    assert settings.warehouse in lake.address
    assert "s3cret" not in lake.address
    assert repr(settings).count("s3cret") == 0


def test_an_unknown_column_is_named(lake: IcebergLake) -> None:
    """In what is read and in a filter, before anything is read."""
    for asked in ({"columns": ["x' OR 1=1"]}, {"where": Equals("x' OR 1=1", "y")}):
        with pytest.raises(InvalidError) as refused:
            lake.read(MATCH_ROWS, **asked)
        assert refused.value.field == "x' OR 1=1"


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 70_000])
def test_a_filter_holds_what_a_column_can(text: str) -> None:
    """What no server takes is refused before one is asked."""
    for make in (lambda: Equals("source", text), lambda: OneOf("source", ("a", text))):
        with pytest.raises(InvalidError, match="source"):
            make()
