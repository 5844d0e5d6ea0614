"""Which snapshot was the newest at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.errors import NotFoundError

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata


def snapshot_at(metadata: TableMetadata, moment_ms: int, identifier: str) -> int | None:
    """The snapshot that was the newest then, None when the table was empty.

    Raises NotFoundError where that may be one that expired: pyiceberg leaves no gap in the log where it forgets a
    snapshot and would give the one before, but their sequence numbers count every snapshot that ever was.
    """
    numbers = {snapshot.snapshot_id: snapshot.sequence_number or 0 for snapshot in metadata.snapshots}
    earlier = [entry.snapshot_id for entry in metadata.snapshot_log if entry.timestamp_ms <= moment_ms]
    later = [entry.snapshot_id for entry in metadata.snapshot_log if entry.timestamp_ms > moment_ms]
    found = earlier[-1] if earlier else None
    if later:
        first = numbers[found] + 1 if found is not None else 1
        if not set(range(first, numbers[later[0]])) <= set(numbers.values()):
            raise NotFoundError(f"{identifier} had a snapshot around that moment which has expired")
    return found
