"""The Iceberg lake: tables, snapshots and reads. The only place that imports pyiceberg.

A write is one atomic snapshot; a reader sees the table before or after it, never between.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pyarrow as pa
from pyiceberg import expressions
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.transforms import IdentityTransform, MonthTransform, Transform, YearTransform
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from stores.errors import ConflictError, InvalidError, NotFoundError, OutcomeUnknownError, TransientError
from stores.lake.tables import LakeTable, PartitionBy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyiceberg.expressions import BooleanExpression

    from stores.settings import LakeSettings

CATALOG_NAME = "riftline"
_TRANSFORMS: dict[PartitionBy, Transform[Any, Any]] = {
    PartitionBy.IDENTITY: IdentityTransform(),
    PartitionBy.YEAR: YearTransform(),
    PartitionBy.MONTH: MonthTransform(),
}


@dataclass(frozen=True, slots=True)
class Equals:
    """Keep the rows whose column has this value; None keeps the null ones."""

    column: str
    value: str | None


@dataclass(frozen=True, slots=True)
class OneOf:
    """Keep the rows whose column has one of these values."""

    column: str
    values: tuple[str, ...]


RowFilter = Equals | OneOf | None


class Lake:
    """An open catalog. Safe to open in every process; holds no lock between calls."""

    def __init__(self, settings: LakeSettings) -> None:
        """Open the catalog, and make it if it is new.

        Raises TransientError while its database is down and InvalidError where it can never be.
        """
        _make_local_folders(settings)
        self.warehouse = settings.warehouse
        self.catalog_kwargs: dict[str, str] = {
            "name": CATALOG_NAME,
            "type": "sql",
            "uri": settings.catalog_uri,
            "warehouse": settings.warehouse,
        }
        # pyiceberg warns of every delete that matches no row, which is what a first overwrite is
        logging.getLogger("pyiceberg").setLevel(logging.ERROR)
        self._catalog = _open_catalog(self.catalog_kwargs)

    def ensure(self, tables: Sequence[LakeTable]) -> None:
        """Create what is missing of these tables. Safe to call from many processes."""
        for table in tables:
            with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):  # the second: at the same moment
                self._catalog.create_namespace(str(table.layer))
            if not self._catalog.table_exists(table.identifier):
                self._create(table)

    def _create(self, table: LakeTable) -> None:
        properties = {
            "write.parquet.compression-codec": "snappy",
            "write.target-file-size-bytes": str(table.target_file_bytes),
        }
        try:
            with (
                self._catalog.create_table_transaction(
                    table.identifier, table.schema, properties=properties
                ) as creation,
                creation.update_spec() as spec,
            ):
                for column, by in table.partitions:
                    name = column if by is PartitionBy.IDENTITY else f"{column}_{by}"
                    spec.add_field(column, _TRANSFORMS[by], name)
        except (TableAlreadyExistsError, CommitFailedException):
            if not self._catalog.table_exists(table.identifier):
                raise

    def snapshot_id(self, table: LakeTable) -> int | None:
        """The newest snapshot of a table, None while it is empty. Raises NotFoundError if the table is missing."""
        snapshot = self._load(table).current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def summary(self, table: LakeTable, snapshot_id: int | None = None) -> Mapping[str, str]:
        """The properties that a snapshot (by default the newest) was committed with; empty while the table is empty."""
        loaded = self._load(table)
        snapshot = loaded.current_snapshot() if snapshot_id is None else loaded.snapshot_by_id(snapshot_id)
        if snapshot is None and snapshot_id is not None:
            raise NotFoundError(f"{table.identifier} has no snapshot {snapshot_id}; it may have expired")
        return dict(snapshot.summary.additional_properties) if snapshot and snapshot.summary else {}

    def read(
        self,
        table: LakeTable,
        *,
        columns: Sequence[str] | None = None,
        where: RowFilter = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """The rows of a table as Arrow, as of a snapshot or of now. Raises NotFoundError for an unknown snapshot."""
        loaded = self._load(table)
        if snapshot_id is not None and loaded.snapshot_by_id(snapshot_id) is None:
            raise NotFoundError(f"{table.identifier} has no snapshot {snapshot_id}; it may have expired")
        scan = loaded.scan(
            row_filter=_expression(where),
            selected_fields=tuple(columns) if columns else ("*",),
            snapshot_id=snapshot_id,
        )
        found = scan.to_arrow()
        wanted = [field for field in table.schema if columns is None or field.name in columns]
        return found.select([field.name for field in wanted]).cast(pa.schema(wanted))

    def values(self, table: LakeTable, column: str) -> frozenset[str]:
        """The values of an identity partition column, read from metadata alone."""
        loaded = self._load(table)
        if loaded.current_snapshot() is None:
            return frozenset()
        return frozenset(one["partition"][column] for one in loaded.inspect.partitions().to_pylist())

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
        """Around a commit by another library.

        Raises ConflictError if another writer was first: then nothing was changed. Raises OutcomeUnknownError if the
        catalog did not answer: then the table's newest snapshot tells.
        """
        try:
            yield
        except (CommitFailedException, ValidationException) as error:
            raise ConflictError(f"{table.identifier} was changed by another writer; try again") from error
        except (CommitStateUnknownException, DBAPIError) as error:
            raise OutcomeUnknownError(f"it is unknown whether {table.identifier} was changed; look first") from error

    def _load(self, table: LakeTable) -> Any:
        try:
            return self._catalog.load_table(table.identifier)
        except NoSuchTableError as error:
            raise NotFoundError(f"the lake has no table {table.identifier}; run `riftline ingest` first") from error
        except DBAPIError as error:
            raise _down(self.catalog_kwargs["uri"]) from error


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


def _make_local_folders(settings: LakeSettings) -> None:
    catalog, warehouse = urlsplit(settings.catalog_uri), urlsplit(settings.warehouse)
    folders = []
    if catalog.scheme.partition("+")[0] == "sqlite":  # sqlite:///relative.db, sqlite:////absolute.db
        folders.append(Path(catalog.path.removeprefix("/")).parent)
    if warehouse.scheme == "file":
        folders.append(Path(warehouse.path))
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"the lake's folder {folder} cannot be made: {error.strerror}; choose another by RIFTLINE_HOME"
            raise InvalidError(reason, "RIFTLINE_HOME") from error


def _open_catalog(kwargs: Mapping[str, str]) -> Catalog:
    for pause_s in (0.05, 0.1, 0.2, 0.4):  # several processes may make the tables of a new catalog at once
        with contextlib.suppress(DBAPIError):
            return _load(kwargs)
        time.sleep(pause_s)
    try:
        return _load(kwargs)
    except DBAPIError as error:
        raise _down(kwargs["uri"]) from error


def _load(kwargs: Mapping[str, str]) -> Catalog:
    try:
        return load_catalog(**kwargs)
    except ArgumentError:  # its text may repeat the password
        raise InvalidError("RIFTLINE_CATALOG_URI is not a database URL", "RIFTLINE_CATALOG_URI") from None


def _down(uri: str) -> TransientError:
    where = urlsplit(uri)
    return TransientError(f"the lake catalog at {where.scheme}://{where.hostname or where.path} does not answer")
