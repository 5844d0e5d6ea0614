"""One source → the rows of bronze, in a worker. Light to import: every worker that reads a file pays for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from pipelines.sources import display_name, read_source
from stores.errors import RiftlineError
from stores.lake.tables import MATCH_ROWS

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.sources import RawRow, RawSource

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


def read_into_rows(source: str, known: frozenset[str], now: datetime) -> tuple[FileReport, pa.Table]:
    """Read one source unless its sha256 is known. An unreadable one is reported with no rows, never raised."""
    nothing = MATCH_ROWS.schema.empty_table()
    try:
        raw = read_source(source)
        if raw.sha256 in known:
            return FileReport(raw.source, FileOutcome.KNOWN, raw.layout, raw.sha256), nothing
        rows = bronze_rows(raw, now)
    except (RiftlineError, OSError) as error:
        return FileReport(display_name(source), FileOutcome.FAILED, error=str(error)), nothing
    except Exception as error:  # noqa: BLE001 — a reader's own fault must not take the other files down
        said = f"{type(error).__name__}: {error}"
        return FileReport(display_name(source), FileOutcome.FAILED, error=said), nothing
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
