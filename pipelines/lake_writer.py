"""Ray Data jobs that replace a lake table in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray.data
from ray.data import SaveMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from stores.lake.tables import LakeTable
    from stores.roles.lake import Lake

WRITE_TASKS = 4  # of rows sorted by partition, so that few partitions are split over two files


def overwrite(lake: Lake, table: LakeTable, rows: pa.Table, properties: Mapping[str, str]) -> int:
    """Replace all rows of a table and return the new snapshot's id. A reader sees the old rows or the new ones.

    Raises ConflictError if another writer was first; then nothing was changed.
    """
    if not rows.num_rows:
        lake.clear(table, properties)
    else:
        ordered = rows.cast(table.schema)
        if table.partitions:
            ordered = ordered.sort_by([(column, "ascending") for column, _ in table.partitions])
        size = -(-ordered.num_rows // WRITE_TASKS)
        slices = [ordered.slice(start, size) for start in range(0, ordered.num_rows, size)]
        with lake.committing(table):
            ray.data.from_arrow(slices).write_iceberg(
                table.identifier,
                catalog_kwargs=lake.catalog_kwargs,
                mode=SaveMode.OVERWRITE,
                snapshot_properties=dict(properties),
            )
    snapshot_id = lake.snapshot_id(table)
    assert snapshot_id is not None  # noqa: S101 — it was just committed
    return snapshot_id
