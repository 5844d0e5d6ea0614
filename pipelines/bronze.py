"""Files → bronze: every row as received, once. A file that cannot be read as a whole changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
import ray.data

from pipelines.reading import FileOutcome, FileReport, read_into_rows
from pipelines.season.export import is_simulated
from stores.domain.row_filters import OneOf
from stores.lake.tables import MATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from stores.roles.lake import Lake


def add_to_bronze(
    lake: Lake, sources: Sequence[str], now: datetime, progress: Callable[[int, int], None]
) -> list[FileReport]:
    """Append what is new of these sources in one commit. The sha256 of a file tells whether it is known.

    ``progress`` hears how many files are read. A failed file is reported, never raised; the others go on.
    """
    known = lake.values(MATCH_ROWS, "source_sha256")
    read: Any = ray.remote(num_returns=2, max_retries=2)(read_into_rows)
    pending: dict[Any, Any] = {}
    for source in sources:
        report, rows = read.remote(source, known, now)
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


def forget_simulated(lake: Lake) -> None:
    """Remove the rows of simulated seasons, in one commit."""
    sources = set(lake.read(MATCH_ROWS, columns=("source",))["source"].to_pylist())
    simulated = tuple(sorted(source for source in sources if is_simulated(source)))
    if simulated:
        lake.delete(MATCH_ROWS, OneOf("source", simulated))


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
