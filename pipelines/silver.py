"""Bronze → silver: every raw row is cleaned in parallel, then all are resolved together.

Silver is a pure function of one bronze snapshot, and is replaced as a whole: so the same file twice changes nothing, no
row is dropped in silence, and a correction of the rules reaches old rows too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import orjson
import polars as pl
import pyarrow as pa
import ray.data

from pipelines.candidates import CANDIDATE_SCHEMA, SOURCE_FIELDS
from pipelines.cleaning import RowRejected, clean_row
from pipelines.lake_writer import overwrite
from pipelines.layouts import Layout
from pipelines.resolve import Counts, Resolved, resolve, with_payload
from pipelines.silver_rows import to_arrow
from stores.lake.tables import MATCH_RESULTS, MATCH_ROWS, PLAYER_PERFORMANCE, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.roles.lake import Lake

PROCESSING_VERSION = "s1"  # raise it when a rule changes: silver is then made again from the same bronze
_BRONZE_SNAPSHOT = "riftline.match-rows-snapshot"
_VERSION = "riftline.processing-version"
_COUNTS = "riftline.counts"


@dataclass(frozen=True, slots=True)
class SilverReport:
    """Where every bronze row went. ``changed`` is false when silver was up to date."""

    changed: bool
    rejected: int
    counts: Counts

    @property
    def rows_in(self) -> int:
        """All bronze rows, those that cleaning rejected included."""
        return self.counts.rows_in + self.rejected


def refresh_silver(lake: Lake) -> SilverReport:
    """Make silver from the newest bronze, if it is not from it already.

    Raises InvariantError, and writes nothing, if a row was lost or counted twice.
    """
    bronze_snapshot = lake.snapshot_id(MATCH_ROWS)
    made_from = lake.summary(PLAYER_PERFORMANCE)
    if (made_from.get(_BRONZE_SNAPSHOT), made_from.get(_VERSION)) == (str(bronze_snapshot), PROCESSING_VERSION):
        return _report_of(made_from[_COUNTS])
    candidates, rejected = _cleaned(lake, bronze_snapshot)
    resolved = resolve(candidates, PROCESSING_VERSION)
    report = SilverReport(changed=True, rejected=rejected.height, counts=resolved.counts)
    properties = {
        _BRONZE_SNAPSHOT: str(bronze_snapshot),
        _VERSION: PROCESSING_VERSION,
        _COUNTS: orjson.dumps({"rejected": report.rejected, "counts": asdict(report.counts)}).decode(),
    }
    overwrite(lake, QUARANTINE, _quarantine(lake, resolved, rejected), properties)
    overwrite(lake, MATCH_RESULTS, to_arrow(resolved.matches, MATCH_RESULTS.schema), properties)
    # last, because its properties say what silver was made from
    overwrite(lake, PLAYER_PERFORMANCE, to_arrow(resolved.players, PLAYER_PERFORMANCE.schema), properties)
    return report


def _cleaned(lake: Lake, bronze_snapshot: int | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Candidates, and the rows that cleaning rejected with their reason."""
    if bronze_snapshot is None:
        return pl.DataFrame(schema=CANDIDATE_SCHEMA), pl.DataFrame(schema=_cleaned_schema())
    rows = ray.data.read_iceberg(
        table_identifier=MATCH_ROWS.identifier, catalog_kwargs=dict(lake.catalog_kwargs), snapshot_id=bronze_snapshot
    )
    cleaned = rows.map_batches(clean_batch, batch_format="pyarrow", batch_size=4_000, zero_copy_batch=True)
    frame = pl.DataFrame(pa.concat_tables(_tables(cleaned)))
    return (
        frame.filter(pl.col("reject_reason").is_null()).drop("reject_reason"),
        frame.filter(pl.col("reject_reason").is_not_null()),
    )


def _tables(dataset: ray.data.Dataset) -> Iterator[pa.Table]:
    schema = pl.DataFrame(schema=_cleaned_schema()).to_arrow().schema
    for batch in dataset.iter_batches(batch_format="pyarrow", batch_size=None):
        yield cast("pa.Table", batch).cast(schema)


def _cleaned_schema() -> dict[str, pl.DataType]:
    return {**CANDIDATE_SCHEMA, "reject_reason": pl.String()}


def clean_batch(rows: pa.Table) -> pa.Table:
    """Bronze rows as candidate rows; a rejected row keeps only its origin and ``reject_reason``."""
    cleaned = [
        {**{name: row[name] for name in SOURCE_FIELDS}, **_clean(row["layout"], row["payload"], row["damage"])}
        for row in rows.to_pylist()
    ]
    return pl.DataFrame(cleaned, schema=_cleaned_schema()).to_arrow()


def _clean(layout: str, payload: str, damage: str | None) -> dict[str, object]:
    if damage is not None:
        return {"reject_reason": damage}
    try:
        return clean_row(Layout(layout), orjson.loads(payload))
    except RowRejected as rejected:
        return {"reject_reason": str(rejected)}


def _quarantine(lake: Lake, resolved: Resolved, rejected: pl.DataFrame) -> pa.Table:
    judged = resolved.quarantined
    of_cleaning = rejected.select(
        *(pl.col(name) for name in ("source", "source_sha256", "row_number", "layout", "match_id")),
        pl.col("reject_reason").alias("reason"),
        pl.lit(None, pl.String).alias("payload"),
    ).select(judged.columns)
    all_rows = pl.concat([judged, of_cleaning])
    if all_rows.height:
        columns = ("source_sha256", "row_number", "payload")
        bronze = pl.DataFrame(lake.read(MATCH_ROWS, columns=columns))
        all_rows = with_payload(all_rows, bronze)
    return to_arrow(all_rows.sort("source_sha256", "row_number"), QUARANTINE.schema)


def _report_of(summary: str) -> SilverReport:
    values = orjson.loads(summary)
    return SilverReport(changed=False, rejected=values["rejected"], counts=Counts(**values["counts"]))
