"""The Iceberg lake over any catalog and warehouse that the settings name."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pyiceberg import expressions
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io.pyarrow import ArrowScan
from sqlalchemy.exc import IntegrityError

from stores.domain.checks import check_aware, check_number
from stores.domain.row_filters import Equals, OneOf, RowFilter
from stores.errors import InvalidError, NotFoundError
from stores.lake import compaction, expiry, history
from stores.lake.appends import Append, positions_of
from stores.lake.commits import retried
from stores.lake.connection import catalog_properties, make_local_folders, open_catalog, places_of
from stores.lake.evolution import bring_to
from stores.lake.translation import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import Table

    from stores.domain.lake_commits import Commit, Position, Step
    from stores.lake.tables import LakeTable
    from stores.settings import LakeSettings

RETRY_WITHIN_S = 20.0  # a server that was restarted is back by then
LEAST_GRACE = timedelta(hours=1)  # far longer than any commit takes


class IcebergLake:
    """The role `Lake` over pyiceberg. The only place, with its neighbours in this folder, that imports it."""

    def __init__(self, settings: LakeSettings, *, retry_within_s: float = RETRY_WITHIN_S) -> None:
        """Open the catalog, and make it if it is new.

        Raises TransientError while its server is down and InvalidError where it can never be.
        """
        make_local_folders(settings)
        self.warehouse = settings.warehouse
        self.catalog_kwargs: dict[str, str] = catalog_properties(settings)
        self._places = places_of(settings)
        self._retry_within_s = retry_within_s
        self._last: dict[str, Table] = {}  # as our own last append left it
        # pyiceberg warns of every delete that matches no row, which is what a first overwrite is
        logging.getLogger("pyiceberg").setLevel(logging.ERROR)
        self._catalog = open_catalog(self.catalog_kwargs, self._places)

    @property
    def address(self) -> str:
        """Where catalog and warehouse are, for people. No user, no password."""
        return f"Iceberg at {self._places.catalog}, warehouse {self._places.warehouse}"

    def ping(self) -> None:
        """Ask the catalog for nothing. Raises TransientError while it does not answer."""
        with translated(self._places, "the lake"):
            self._catalog.list_namespaces()

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        self._last.clear()
        self._catalog.close()

    def ensure(self, tables: Sequence[LakeTable]) -> None:
        """See `Lake.ensure`."""
        for table in tables:
            self._last.pop(table.identifier, None)
            retried(lambda table=table: self._ensure(table), self._retry_within_s)  # type: ignore[misc]

    def _ensure(self, table: LakeTable) -> None:
        with translated(self._places, table.identifier):
            with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):  # the second: at the same moment
                self._catalog.create_namespace(str(table.layer))
            bring_to(self._catalog, table)

    def append(
        self, table: LakeTable, rows: pa.Table, *steps: Step, properties: Mapping[str, str] | None = None
    ) -> Commit:
        """See `Lake.append`."""
        append = Append(table, rows, steps, properties or {}, self._places)
        known = self._last.pop(table.identifier, None)  # taken out: another thread must not build on it too
        done, after = append.run(known, lambda: self._load(table), self._retry_within_s)
        self._last[table.identifier] = after
        return done

    def positions(self, table: LakeTable) -> Mapping[str, Position]:
        """How far each writer is."""
        return positions_of(self._load(table))

    def snapshot_id(self, table: LakeTable) -> int | None:
        """The newest snapshot of a table, None while it is empty."""
        snapshot = self._load(table).current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def snapshot_at(self, table: LakeTable, moment: datetime) -> int | None:
        """The snapshot that was the newest at a moment."""
        check_aware(moment, "moment")
        loaded = self._load(table)
        return history.snapshot_at(loaded.metadata, int(moment.timestamp() * 1000), table.identifier)

    def summary(self, table: LakeTable, snapshot_id: int | None = None) -> Mapping[str, str]:
        """The properties that a snapshot (by default the newest) was committed with; empty while the table is empty."""
        loaded = self._load(table)
        _check_snapshot(loaded, table, snapshot_id)
        snapshot = loaded.current_snapshot() if snapshot_id is None else loaded.snapshot_by_id(snapshot_id)
        return dict(snapshot.summary.additional_properties) if snapshot and snapshot.summary else {}

    def read(
        self,
        table: LakeTable,
        *,
        columns: Sequence[str] | None = None,
        where: RowFilter = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """See `Lake.read`."""
        loaded = self._load(table)
        _check_snapshot(loaded, table, snapshot_id)
        wanted = pa.schema([field for field in table.schema if columns is None or field.name in columns])
        asked = {*wanted.names, *(columns or ()), *([where.column] if where else ())}
        for name in sorted(asked - set(loaded.schema().column_names)):
            raise InvalidError(f"{table.identifier} has no column {name}; if it is new, call ensure first", name)
        with translated(self._places, table.identifier):
            scan = loaded.scan(row_filter=_expression(where), snapshot_id=snapshot_id)
            projection = loaded.schema().select(*wanted.names)  # the present one: a snapshot's own has the old names
            rows = ArrowScan(loaded.metadata, loaded.io, projection, scan.row_filter).to_table(scan.plan_files())
        return rows.select(wanted.names).cast(wanted)

    def values(self, table: LakeTable, column: str) -> frozenset[str]:
        """The values of an identity partition column, read from metadata alone."""
        loaded = self._load(table)
        if loaded.current_snapshot() is None:
            return frozenset()
        source = loaded.schema().find_field(column).field_id
        name = next(field.name for field in loaded.spec().fields if field.source_id == source)
        with translated(self._places, table.identifier):
            return frozenset(one["partition"][name] for one in loaded.inspect.partitions().to_pylist())

    def clear(self, table: LakeTable, properties: Mapping[str, str]) -> None:
        """Remove all rows in one commit."""
        with self.committing(table):
            self._load(table).overwrite(table.schema.empty_table(), snapshot_properties=dict(properties))

    def delete(self, table: LakeTable, where: OneOf) -> None:
        """Remove the matching rows in one commit."""
        with self.committing(table):
            self._load(table).delete(_expression(where))

    @contextlib.contextmanager
    def committing(self, table: LakeTable) -> Iterator[None]:
        """Around a commit by another library. See `Lake.committing`."""
        with translated(self._places, table.identifier, committing=True):
            yield

    def compact(self, table: LakeTable) -> int:
        """Write the small files of each partition again as few; how many were replaced."""
        return compaction.compact(
            lambda: self._load(table), table.target_file_bytes, self._places, self._retry_within_s
        )

    def expire(
        self, table: LakeTable, *, now: datetime, keep_for: timedelta, keep_last: int = 1, keep: Collection[int] = ()
    ) -> int:
        """Forget snapshots older than ``keep_for``, but never the newest ``keep_last``; how many were forgotten."""
        check_aware(now, "now")
        check_number(keep_last, "keep_last", 1, 2**31)
        check_number(keep_for.total_seconds(), "keep_for", 0, 2**31)

        def attempt() -> int:
            return expiry.expire(self._load(table), now - keep_for, keep_last, keep, self._places)

        return retried(attempt, self._retry_within_s)

    def remove_orphans(self, table: LakeTable, *, now: datetime, grace: timedelta) -> int:
        """Delete the table's files that no snapshot refers to; how many."""
        check_aware(now, "now")
        if grace < LEAST_GRACE:
            raise InvalidError(
                f"grace is {grace}; give at least {LEAST_GRACE}, so that no commit under way is hit", "grace"
            )
        return expiry.remove_orphans(lambda: self._load(table), now - grace, self._places)

    def _load(self, table: LakeTable) -> Table:
        with translated(self._places, table.identifier):
            return self._catalog.load_table(table.identifier)


def _check_snapshot(loaded: Table, table: LakeTable, snapshot_id: int | None) -> None:
    if snapshot_id is not None and loaded.snapshot_by_id(snapshot_id) is None:
        raise NotFoundError(f"{table.identifier} has no snapshot {snapshot_id}; it may have expired")


def _expression(where: RowFilter) -> BooleanExpression:
    build: Any = expressions  # their constructors take more than their types say
    match where:
        case Equals(column, None):
            kept = build.IsNull(column)
        case Equals(column, value):
            kept = build.EqualTo(column, value)
        case OneOf(column, values):
            kept = build.In(column, values)
        case _:
            kept = build.AlwaysTrue()
    return cast("BooleanExpression", kept)
