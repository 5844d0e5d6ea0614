"""A table follows its declaration: what is added, widened and renamed, and what is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from stores.domain.lake_commits import Step
from stores.domain.row_filters import Equals
from stores.errors import InvalidError
from stores.lake.catalog import IcebergLake
from stores.lake.tables import LakeTable, Layer, PartitionBy
from tests.contract.lake.work import at_once, ensure, plain_table

if TYPE_CHECKING:
    from stores.settings import LakeSettings

pytestmark = pytest.mark.role("lake")

OLD = LakeTable(
    Layer.SILVER,
    "grown",
    pa.schema(
        [
            ("league", pa.string()),
            ("kills", pa.int32()),
            ("share", pa.float32()),
            ("kda", pa.decimal128(5, 2)),
            ("champions", pa.list_(pa.string())),
        ]
    ),
    partitions=(("league", PartitionBy.IDENTITY),),
)
NEW = replace(
    OLD,
    schema=pa.schema(
        [
            ("side", pa.string()),
            ("kda", pa.decimal128(9, 2)),
            ("share", pa.float64()),
            ("kills_made", pa.int64()),
            ("champions", pa.list_(pa.string())),
            ("tournament", pa.string()),
        ]
    ),
    partitions=(("tournament", PartitionBy.IDENTITY),),
    renamed=(("league", "tournament"), ("kills", "kills_made")),
    target_file_bytes=1234567,
)
OLD_ROW = {"league": "LCK", "kills": 7, "share": 0.25, "kda": Decimal("3.50"), "champions": ["Ahri", None]}
NEW_ROW = {
    "side": "Blue",
    "kda": Decimal("1234567.25"),
    "share": 1 / 3,
    "kills_made": 2**40,
    "champions": [],
    "tournament": "LEC",
}
OLD_ROW_NOW = {
    "side": None,
    "kda": Decimal("3.50"),
    "share": 0.25,
    "kills_made": 7,
    "champions": ["Ahri", None],
    "tournament": "LCK",
}


def _row(table: LakeTable, row: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([row], schema=table.schema)


@pytest.fixture
def grown(lake: IcebergLake) -> IcebergLake:
    """A table that was made as it was declared before, filled, evolved, and filled again."""
    lake.ensure((OLD,))
    lake.append(OLD, _row(OLD, OLD_ROW), Step("writer", 0, 1))
    lake.ensure((NEW,))
    lake.append(NEW, _row(NEW, NEW_ROW), Step("writer", 1, 2))
    return lake


def test_old_and_new_rows_are_read_together(grown: IcebergLake) -> None:
    """Added columns are null in old rows, widened and renamed ones hold the old values, in the declared order."""
    read = grown.read(NEW)
    assert read.schema == NEW.schema
    assert read.sort_by("kills_made").to_pylist() == [OLD_ROW_NOW, NEW_ROW]
    assert grown.values(NEW, "tournament") == {"LCK", "LEC"}


def test_an_old_snapshot_is_read_under_the_new_names(grown: IcebergLake) -> None:
    """What a released model was trained on stays readable, also by columns and filters that were named otherwise."""
    first = grown.append(OLD, _row(OLD, OLD_ROW), Step("writer", 0, 1)).snapshot_id
    assert grown.read(NEW, snapshot_id=first).to_pylist() == [OLD_ROW_NOW]
    found = grown.read(NEW, snapshot_id=first, columns=["kills_made"], where=Equals("tournament", "LCK"))
    assert found.to_pylist() == [{"kills_made": 7}]
    assert grown.read(NEW, snapshot_id=first, where=Equals("side", "Blue")).num_rows == 0


def test_what_is_as_declared_is_left_alone(grown: IcebergLake) -> None:
    """The same declaration again makes no commit."""
    before = plain_table(grown, NEW).metadata_location
    grown.ensure((NEW,))
    assert plain_table(grown, NEW).metadata_location == before
    assert plain_table(grown, NEW).properties["write.target-file-size-bytes"] == "1234567"


def test_compaction_brings_old_files_to_the_new_columns(grown: IcebergLake) -> None:
    """Files of both shapes in one partition become one; every value stays."""
    again = {**NEW_ROW, "tournament": "LCK"}
    grown.append(NEW, _row(NEW, again), Step("writer", 2, 3))
    assert grown.compact(NEW) == 2
    assert grown.read(NEW, where=Equals("tournament", "LCK")).sort_by("kills_made").to_pylist() == [OLD_ROW_NOW, again]


REFUSED = {
    "another kind": (("kills", pa.bool_()), "kills"),
    "another type": (("kills", pa.string()), "kills"),
    "int to double": (("kills", pa.float64()), "kills"),
    "scale": (("kda", pa.decimal128(9, 3)), "kda"),
    "less precise": (("kda", pa.decimal128(4, 2)), "kda"),
    "list of another type": (("champions", pa.list_(pa.int64())), "champions"),
    "no longer a list": (("champions", pa.string()), "champions"),
}


def test_a_change_that_needs_a_rewrite_is_refused(lake: IcebergLake) -> None:
    """Table and column are named, and the table stays as it was."""
    lake.ensure((OLD,))
    for (name, kind), column in REFUSED.values():
        schema = OLD.schema.set(OLD.schema.get_field_index(name), pa.field(name, kind))
        with pytest.raises(InvalidError, match=rf"silver\.grown\.{column} is .* cannot become") as refused:
            lake.ensure((replace(OLD, schema=schema.append(pa.field("added", pa.string()))),))
        assert refused.value.field == column
    assert lake.read(OLD).num_rows == 0
    assert "added" not in plain_table(lake, OLD).schema().column_names


def test_dropped_required_and_repartitioned_columns_are_refused(lake: IcebergLake) -> None:
    """A forgotten column may be a rename that was not declared; other partitions would need new files."""
    lake.ensure((OLD,))
    without = replace(OLD, schema=OLD.schema.remove(1))
    with pytest.raises(InvalidError, match=r"silver\.grown has a column kills that is not declared"):
        lake.ensure((without,))
    required = replace(OLD, schema=OLD.schema.append(pa.field("side", pa.string(), nullable=False)))
    with pytest.raises(InvalidError, match=r"silver\.grown\.side cannot become required"):
        lake.ensure((required,))
    with pytest.raises(InvalidError, match=r"silver\.grown is partitioned by"):
        lake.ensure((replace(OLD, partitions=()),))


def test_rows_of_a_newer_declaration_wait_for_ensure(lake: IcebergLake) -> None:
    """No column is dropped in silence, neither written nor read."""
    lake.ensure((OLD,))
    newer = replace(OLD, schema=OLD.schema.append(pa.field("side", pa.string())))
    with pytest.raises(InvalidError, match="call ensure first"):
        lake.append(newer, _row(newer, {**OLD_ROW, "side": "Red"}), Step("writer", 0, 1))
    with pytest.raises(InvalidError, match=r"no column side; if it is new, call ensure first"):
        lake.read(newer)


def test_many_processes_evolve_at_once(lake: IcebergLake, settings: LakeSettings) -> None:
    """Three processes of a new version start beside each other: none fails, and the columns are there once."""
    lake.ensure((OLD,))
    lake.append(OLD, _row(OLD, OLD_ROW), Step("writer", 0, 1))
    assert at_once(ensure, *[(settings, (NEW,))] * 3) == ["ok"] * 3
    with closing(IcebergLake(settings)) as other:
        assert other.read(NEW).to_pylist() == [OLD_ROW_NOW]
