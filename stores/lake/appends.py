"""Appending exactly once: the rows and the writer's new position become visible in one commit, or neither does.

The position of each writer is a property of the table, so it outlives every snapshot, and the compare-and-swap by which
the catalog takes a commit is made against the very metadata in which the position was read. Whatever became of an
earlier attempt (its answer was lost, a twin in another process made it) is therefore seen before the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import _check_pyarrow_schema_compatible, _dataframe_to_data_files

from stores.domain.checks import check_text
from stores.domain.lake_commits import Commit, Position, Step
from stores.errors import InvalidError
from stores.lake.commits import SettledConflictError, commit_once, retried
from stores.lake.tables import LakeTable, PartitionBy
from stores.lake.translation import Places, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

POSITION = "riftline.position."  # + writer: a property of the table
STEP = "riftline.step."  # + writer: in the summary of the snapshot
MAX_PROPERTY = 10_000  # every reader of the table reads them all
MAX_FOLDER_BYTES = 255  # of a partition's folder: ``column=value``, percent-encoded


class Append:
    """One append, tried until it is in the table, is seen to be there already, or the time is up.

    The data files are written once; what a failed attempt leaves behind is an orphan.
    """

    def __init__(
        self,
        declared: LakeTable,
        rows: pa.Table,
        steps: tuple[Step, ...],
        properties: Mapping[str, str],
        places: Places,
    ) -> None:
        """Raises InvalidError naming what does not fit the table."""
        _check_steps(steps, properties)
        self._declared = declared
        self._rows = fitting(declared, rows)
        self._steps = steps
        self._summary = {**properties, **{f"{STEP}{step.writer}": f"{step.start}-{step.end}" for step in steps}}
        self._places = places
        self._files: list[DataFile] | None = None

    def run(self, known: Table | None, load: Callable[[], Table], within_s: float) -> tuple[Commit, Table]:
        """What was done, and the table after it. ``known`` spares a look at the catalog and may be out of date."""
        candidates = [known] if known is not None and self._follows(known) else []

        def attempt() -> tuple[Commit, Table]:
            table = candidates.pop() if candidates else load()
            return self._done(table) or self._add(table), table

        return retried(attempt, within_s)

    def _add(self, table: Table) -> Commit:
        with translated(self._places, self._declared.identifier):
            if self._files is None:
                self._files = self._write(table)
            transaction = table.transaction()
            with transaction.update_snapshot(snapshot_properties=self._summary).fast_append() as append:
                for file in self._files:
                    append.append_data_file(file)
            snapshot_id = append.snapshot_id
            reached = {step.writer: {"end": step.end, "snapshot_id": snapshot_id} for step in self._steps}
            transaction.set_properties(
                {f"{POSITION}{writer}": orjson.dumps(position).decode() for writer, position in reached.items()}
            )
        commit_once(table, transaction, self._places)
        return Commit(snapshot_id, repeated=False)

    def _write(self, table: Table) -> list[DataFile]:
        try:
            _check_pyarrow_schema_compatible(table.schema(), provided_schema=self._rows.schema)
        except ValueError as error:
            raise InvalidError(
                f"{self._declared.identifier} is not yet as declared; call ensure first: {error}"
            ) from error
        return list(_dataframe_to_data_files(table.metadata, self._rows, table.io)) if self._rows.num_rows else []

    def _follows(self, table: Table) -> bool:
        positions = positions_of(table)
        return all(step.writer not in positions or positions[step.writer].end == step.start for step in self._steps)

    def _done(self, table: Table) -> Commit | None:
        """The earlier commit of these steps; None when they are the next ones. Raises PositionError for neither."""
        if self._follows(table):
            return None
        positions = positions_of(table)
        if all(step.writer in positions and positions[step.writer].end >= step.end for step in self._steps):
            first = self._steps[0]
            return Commit(_holder(table, first, positions[first.writer]), repeated=True)
        ends = {step.writer: positions[step.writer].end for step in self._steps if step.writer in positions}
        steps = ", ".join(f"{step.writer} from {step.start} to {step.end}" for step in self._steps)
        raise PositionError(
            f"{self._declared.identifier} is at {ends}, where {steps} does not follow; resume from there"
        )


class PositionError(SettledConflictError):
    """The steps do not begin where the table is: another incarnation of the writer went on meanwhile."""


def positions_of(table: Table) -> dict[str, Position]:
    """How far each writer is."""
    return {
        name.removeprefix(POSITION): Position(**orjson.loads(text))
        for name, text in table.properties.items()
        if name.startswith(POSITION)
    }


def fitting(declared: LakeTable, rows: pa.Table) -> pa.Table:
    """The rows with the declared columns, in order and of the declared types. Raises InvalidError naming the column."""
    for name in {*declared.schema.names} ^ {*rows.column_names}:
        known = name in declared.schema.names
        remedy = (
            f"needs the column {name}; give it, null where unknown" if known else f"has no column {name}; leave it out"
        )
        raise InvalidError(f"{declared.identifier} {remedy}", name)
    columns = []
    for field in declared.schema:
        try:
            column = rows[field.name].cast(field.type)
            column.validate(full=True)  # bytes that are not UTF-8 would be written as they are
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = f"{declared.identifier}.{field.name} cannot take these values: {error}"
            raise InvalidError(reason, field.name) from error
        columns.append(column)
    for name, by in declared.partitions:
        if by is PartitionBy.IDENTITY:
            _check_folders(declared, name, rows[name])
    return pa.Table.from_arrays(columns, schema=declared.schema)


def _check_folders(declared: LakeTable, column: str, values: Any) -> None:
    for value in pc.unique(values).to_pylist():
        if len(f"{column}={quote_plus(str(value))}") > MAX_FOLDER_BYTES:
            reason = f"{declared.identifier}.{column} names a folder, and {str(value)[:50]!r}… is too long for one"
            raise InvalidError(reason, column)


def _check_steps(steps: tuple[Step, ...], properties: Mapping[str, str]) -> None:
    if not steps:
        raise InvalidError("an append without a step could happen twice; give the writer's step", "steps")
    if len({step.writer for step in steps}) < len(steps):
        raise InvalidError("one append names a writer twice; join its steps", "steps")
    for name, value in properties.items():
        check_text(name, "properties (a key)", MAX_PROPERTY)
        check_text(value, f"properties.{name}", MAX_PROPERTY)


def _holder(table: Table, step: Step, last: Position) -> int:
    """The snapshot that added the step's rows; if it expired, the next one of the writer that is known."""
    for snapshot in table.metadata.snapshots:
        text = snapshot.summary.additional_properties.get(f"{STEP}{step.writer}") if snapshot.summary else None
        if text and int(text.partition("-")[2]) >= step.end:
            return int(snapshot.snapshot_id)
    return last.snapshot_id
