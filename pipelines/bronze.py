"""Files → bronze: every row as received, once. A file that cannot be read as a whole changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import ray
import ray.data

from pipelines.sources import display_name, read_source
from stores.errors import RiftlineError
from stores.lake.tables import MATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pipelines.sources import RawRow, RawSource
    from stores.lake.catalog import Lake

_ROWS_PER_CHUNK = 4_000


class FileOutcome(StrEnum):
    """What became of one source."""

    INGESTED = "ingested"
    KNOWN = "already known"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One source: how many rows it holds, and why it failed if it did."""

    source: str
    outcome: FileOutcome
    layout: str = ""
    sha256: str = ""
    rows: int = 0
    error: str = ""


def add_to_bronze(
    lake: Lake, sources: Sequence[str], now: datetime, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[FileReport]:
    """Append what is new of these sources in one commit. The sha256 of a file tells whether it is known.

    ``progress`` hears how many files are read. A failed file is reported, never raised; the others go on.
    """
    known = lake.values(MATCH_ROWS, "source_sha256")
    pending: dict[Any, Any] = {}
    for source in sources:
        report, rows = _read.remote(source, known, now)
        pending[report] = rows
    waiting = list(pending)
    while waiting:
        _, waiting = ray.wait(waiting)
        progress(len(pending) - len(waiting), len(pending))
    reports, blocks = _once(list(zip(ray.get(list(pending)), pending.values(), strict=True)))
    if blocks:
        with lake.committing(MATCH_ROWS):
            ray.data.from_arrow_refs(blocks).write_iceberg(MATCH_ROWS.identifier, catalog_kwargs=lake.catalog_kwargs)
    return reports


def _once(read: list[tuple[FileReport, Any]]) -> tuple[list[FileReport], list[Any]]:
    """The same bytes under two names are one source."""
    reports, blocks, seen = [], [], set()
    for report, rows in read:
        if report.outcome is FileOutcome.INGESTED and report.sha256 not in seen:
            seen.add(report.sha256)
            blocks.append(rows)
            reports.append(report)
        elif report.outcome is FileOutcome.INGESTED:
            reports.append(FileReport(report.source, FileOutcome.KNOWN, report.layout, report.sha256, report.rows))
        else:
            reports.append(report)
    return reports, blocks


@ray.remote(num_returns=2, max_retries=2)
def _read(source: str, known: frozenset[str], now: datetime) -> tuple[FileReport, pa.Table]:
    nothing = MATCH_ROWS.schema.empty_table()
    try:
        raw = read_source(source)
        if raw.sha256 in known:
            return FileReport(raw.source, FileOutcome.KNOWN, raw.layout, raw.sha256), nothing
        rows = bronze_rows(raw, now)
    except (RiftlineError, OSError) as error:
        return FileReport(display_name(source), FileOutcome.FAILED, error=str(error)), nothing
    return FileReport(raw.source, FileOutcome.INGESTED, raw.layout, raw.sha256, rows.num_rows), rows


def bronze_rows(raw: RawSource, now: datetime) -> pa.Table:
    """A source in the schema of bronze.match_rows; the payloads are JSON objects."""
    chunks, pending = [], []
    for row in raw.rows:
        pending.append(row)
        if len(pending) == _ROWS_PER_CHUNK:
            chunks.append(_chunk(raw, pending, now))
            pending = []
    return pa.concat_tables([*chunks, _chunk(raw, pending, now)])


def _chunk(raw: RawSource, rows: list[RawRow], now: datetime) -> pa.Table:
    count = len(rows)
    return pa.table(
        [
            pa.array([raw.source] * count, pa.string()),
            pa.array([raw.sha256] * count, pa.string()),
            pa.array([str(raw.layout)] * count, pa.string()),
            pa.array([row.row_number for row in rows], pa.int64()),
            pa.array([orjson.dumps(row.payload).decode() for row in rows], pa.string()),
            pa.array([row.damage for row in rows], pa.string()),
            pa.array([now] * count, MATCH_ROWS.schema.field("ingested_at").type),
        ],
        schema=MATCH_ROWS.schema,
    )
