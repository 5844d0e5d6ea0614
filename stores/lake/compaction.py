"""Fewer, larger files: the small ones of a partition are written again as one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from pyiceberg.exceptions import ValidationException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files

from stores.lake.commits import SettledConflictError, commit_once, retried
from stores.lake.translation import Places, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table

T = TypeVar("T")

MAX_BIN_BYTES = 128 * 1024**2  # of Parquet; a bin is decoded in memory, to several times that
SMALL = 0.5  # of the target: a larger file is left alone


def compact(load: Callable[[], Table], target_bytes: int, places: Places, within_s: float) -> int:
    """See `Lake.compact`."""
    table = load()
    subject = ".".join(table.name())
    with translated(places, subject):
        bins = _bins(table, min(target_bytes, MAX_BIN_BYTES))
        written = [file for one in bins for file in _rewritten(table, one)]
    replaced = [task.file for one in bins for task in one]
    tried: list[int] = []

    def attempt() -> int:
        fresh = load()
        if not any(fresh.snapshot_by_id(snapshot_id) for snapshot_id in tried):
            with translated(places, subject):
                transaction, snapshot_id = _replacement(fresh, replaced, written)
            tried.append(snapshot_id)
            commit_once(fresh, transaction, places)
        return len(replaced)

    return retried(attempt, within_s) if replaced else 0


def _replacement(table: Table, replaced: Iterable[DataFile], written: Iterable[DataFile]) -> tuple[Any, int]:
    transaction = table.transaction()
    try:
        with transaction.update_snapshot().overwrite() as overwrite:
            for file in replaced:
                overwrite.delete_data_file(file)
            for file in written:
                overwrite.append_data_file(file)
    except ValidationException as error:  # another attempt would miss them too
        name = ".".join(table.name())
        raise SettledConflictError(f"{name}: rows were removed while they were compacted; try again later") from error
    return transaction, overwrite.snapshot_id


def _bins(table: Table, target_bytes: int) -> list[list[FileScanTask]]:
    """What to join: small files of one partition, at least two, together no larger than the target."""
    partitions: dict[Any, list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.spec_id == table.spec().spec_id and task.file.file_size_in_bytes < target_bytes * SMALL:
            partitions[task.file.partition].append(task)
    bins = [one for tasks in partitions.values() for one in packed(tasks, _size, target_bytes)]
    return [one for one in bins if len(one) > 1]


def _size(task: FileScanTask) -> int:
    return int(task.file.file_size_in_bytes)


def packed(items: Iterable[T], size: Callable[[T], int], most: int) -> list[list[T]]:
    """The items in groups of at most ``most`` together, smallest first; none is larger than that."""
    groups: list[list[T]] = []
    room = 0
    for item in sorted(items, key=size):
        if not groups or size(item) > room:
            groups.append([])
            room = most
        groups[-1].append(item)
        room -= size(item)
    return groups


def _rewritten(table: Table, tasks: list[FileScanTask]) -> list[DataFile]:
    rows = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue()).to_table(tasks)
    as_one_file = {**table.properties, "write.target-file-size-bytes": str(2**62)}  # it counts bytes in memory
    metadata = table.metadata.model_copy(update={"properties": as_one_file})
    return list(_dataframe_to_data_files(metadata, rows, table.io))
