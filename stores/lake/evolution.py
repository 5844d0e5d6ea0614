"""Bringing a table to its declaration: made when it is missing, evolved when it was made by an older version.

Every change is of metadata alone: no file is rewritten, and old snapshots stay readable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.transforms import IdentityTransform, MonthTransform, Transform, YearTransform
from pyiceberg.types import DecimalType, DoubleType, FloatType, IntegerType, LongType

from stores.errors import InvalidError
from stores.lake.tables import LakeTable, PartitionBy

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType

_TRANSFORMS: dict[PartitionBy, Transform[Any, Any]] = {
    PartitionBy.IDENTITY: IdentityTransform(),
    PartitionBy.YEAR: YearTransform(),
    PartitionBy.MONTH: MonthTransform(),
}
_ATTEMPTS = 10  # against processes that bring the same table to the same declaration


def bring_to(catalog: Catalog, declared: LakeTable) -> None:
    """Make the table or evolve it. Safe from many processes at once.

    Raises InvalidError naming table and column for a change that Iceberg cannot make without a rewrite, and for a
    column that is not declared: that one is a rename which was not declared, or of a newer version.
    """
    for attempt in range(_ATTEMPTS):
        try:
            table = catalog.load_table(declared.identifier)
        except NoSuchTableError:
            if _made(catalog, declared):
                return
            continue
        try:
            _evolve(table, declared)
        except CommitFailedException:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _made(catalog: Catalog, declared: LakeTable) -> bool:
    try:
        with (
            catalog.create_table_transaction(
                declared.identifier, declared.schema, properties=_properties(declared)
            ) as creation,
            creation.update_spec() as spec,
        ):
            for column, by in declared.partitions:
                name = column if by is PartitionBy.IDENTITY else f"{column}_{by}"
                spec.add_field(column, _TRANSFORMS[by], name)
    except (TableAlreadyExistsError, CommitFailedException):
        return False
    except ValueError:  # a REST catalog may hand out the table that another process has just made, with its partitions
        if catalog.table_exists(declared.identifier):
            return False
        raise
    return True


def _properties(declared: LakeTable) -> dict[str, str]:
    return {
        "write.parquet.compression-codec": "snappy",
        "write.target-file-size-bytes": str(declared.target_file_bytes),
        "write.metadata.delete-after-commit.enabled": "true",  # else each commit leaves a file that grows with history
        "write.metadata.previous-versions-max": "100",
    }


def _evolve(table: Table, declared: LakeTable) -> None:
    wanted = _iceberg_schema(declared)
    renames = _renames(table.schema(), declared)
    present = {renames.get(field.name, field.name): field for field in table.schema().fields}
    _check_declared(present, wanted, declared)
    _check_partitions(table, renames, declared)
    outdated = {name: value for name, value in _properties(declared).items() if table.properties.get(name) != value}
    with table.transaction() as transaction:
        if outdated:
            transaction.set_properties(outdated)
        with transaction.update_schema() as update:
            for field in wanted.fields:
                old = present.get(field.name)
                if old is None:
                    update.add_column(field.name, field.field_type)
                    continue
                _check_widening(old.field_type, field.field_type, declared, field.name)
                if not _alike(old.field_type, field.field_type):
                    update.update_column(old.name, field_type=field.field_type)
                if old.required:
                    update.make_column_optional(old.name)
            for former, name in renames.items():
                update.rename_column(former, name)


def _iceberg_schema(declared: LakeTable) -> Schema:
    return Catalog._convert_schema_if_needed(declared.schema)  # noqa: SLF001  # as pyiceberg makes a table of it


def _renames(schema: Schema, declared: LakeTable) -> dict[str, str]:
    """The declared renames that this table has still before it."""
    names = set(schema.column_names)
    return {former: name for former, name in declared.renamed if former in names and name not in names}


def _check_declared(present: dict[str, Any], wanted: Schema, declared: LakeTable) -> None:
    names = {field.name for field in wanted.fields}
    for name in present:
        if name not in names:
            raise InvalidError(
                f"{declared.identifier} has a column {name} that is not declared; declare it, or name it as renamed",
                name,
            )
    for field in wanted.fields:
        if field.required and not (field.name in present and present[field.name].required):
            raise InvalidError(
                f"{declared.identifier}.{field.name} cannot become required; declare it nullable", field.name
            )


def _check_partitions(table: Table, renames: dict[str, str], declared: LakeTable) -> None:
    columns = {field.field_id: renames.get(field.name, field.name) for field in table.schema().fields}
    spec = tuple((columns[field.source_id], str(field.transform)) for field in table.spec().fields)
    if spec != tuple((column, str(by)) for column, by in declared.partitions):
        raise InvalidError(
            f"{declared.identifier} is partitioned by {spec}; that cannot change without a rewrite", "partitions"
        )


def _check_widening(old: IcebergType, new: IcebergType, declared: LakeTable, column: str) -> None:
    if not (_alike(old, new) or _wider(old, new)):
        raise InvalidError(
            f"{declared.identifier}.{column} is {old} and cannot become {new} without a rewrite; add a new column",
            column,
        )


def _wider(old: IcebergType, new: IcebergType) -> bool:
    """Whether every value of the old type is one of the new, by Iceberg's rules; pyiceberg itself allows more."""
    match old, new:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return old.scale == new.scale and old.precision < new.precision
    return False


def _alike(old: IcebergType, new: IcebergType) -> bool:
    return str(old) == str(new)  # without the ids inside a list, which are the table's own
