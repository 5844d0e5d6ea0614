"""The lake's tables: names, columns and partitions. Source of the silver and gold columns: the schema seeds.

Columns beyond the seeds' serve the join of sources (ids, series, start time) and honest lineage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

STAMP = pa.timestamp("us", tz="UTC")


class Layer(StrEnum):
    """The medallion layers, one Iceberg namespace each."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class PartitionBy(StrEnum):
    """How a partition value is taken from its column."""

    IDENTITY = "identity"
    YEAR = "year"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class LakeTable:
    """One table. ``partitions`` pairs a column with its transform, in order.

    ``renamed`` pairs the former name of a column with its present one, for tables that were made before.
    """

    layer: Layer
    name: str
    schema: pa.Schema
    partitions: tuple[tuple[str, PartitionBy], ...] = ()
    target_file_bytes: int = 268435456
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def identifier(self) -> str:
        """The name in the catalog: ``layer.name``."""
        return f"{self.layer}.{self.name}"


MATCH_ROWS = LakeTable(
    Layer.BRONZE,
    "match_rows",
    pa.schema(
        [
            ("source", pa.string()),  # file name or URL as given, credentials removed
            ("source_sha256", pa.string()),
            ("layout", pa.string()),
            ("row_number", pa.int64()),  # counted from 1, the header left out
            ("payload", pa.string()),  # the row as received: a JSON object, values untouched
            ("damage", pa.string()),  # why the row could not be split into its columns, else null
            ("ingested_at", STAMP),
        ]
    ),
    partitions=(("source_sha256", PartitionBy.IDENTITY),),
)

MATCH_RESULTS = LakeTable(
    Layer.SILVER,
    "match_results",
    pa.schema(
        [
            ("match_id", pa.string()),
            ("series_id", pa.string()),
            ("tournament", pa.string()),
            ("date", pa.date32()),
            ("started_at", STAMP),
            ("game_number", pa.int32()),
            ("patch_version", pa.string()),
            ("duration_seconds", pa.int32()),
            ("side_known", pa.bool_()),  # false: the source names no side, blue is the team listed first
            ("blue_team", pa.string()),
            ("red_team", pa.string()),
            ("blue_team_id", pa.string()),
            ("red_team_id", pa.string()),
            ("winning_team", pa.string()),
            ("blue_kills", pa.int32()),
            ("red_kills", pa.int32()),
            ("blue_towers", pa.int32()),
            ("red_towers", pa.int32()),
            ("blue_dragons", pa.int32()),
            ("red_dragons", pa.int32()),
            ("blue_barons", pa.int32()),
            ("red_barons", pa.int32()),
            ("data_source", pa.string()),
            ("ingested_at", STAMP),
            ("processing_version", pa.string()),
        ]
    ),
    partitions=(("tournament", PartitionBy.IDENTITY), ("date", PartitionBy.YEAR)),
    target_file_bytes=536870912,
)

PLAYER_PERFORMANCE = LakeTable(
    Layer.SILVER,
    "player_performance",
    pa.schema(
        [
            ("player_id", pa.string()),
            ("match_id", pa.string()),
            ("series_id", pa.string()),
            ("tournament", pa.string()),
            ("date", pa.date32()),
            ("started_at", STAMP),
            ("game_number", pa.int32()),
            ("patch_version", pa.string()),
            ("duration_seconds", pa.int32()),
            ("player_name", pa.string()),
            ("team", pa.string()),
            ("team_id", pa.string()),
            ("opponent", pa.string()),
            ("opponent_id", pa.string()),
            ("side", pa.string()),  # Blue, Red, or null where the source does not say
            ("position", pa.string()),
            ("champion", pa.string()),
            ("won", pa.bool_()),
            ("kills", pa.int32()),
            ("deaths", pa.int32()),
            ("assists", pa.int32()),
            ("team_kills", pa.int32()),
            ("opponent_kills", pa.int32()),
            ("cs", pa.int32()),
            ("gold", pa.int32()),
            ("damage_to_champions", pa.int64()),
            ("damage_share", pa.float64()),
            ("vision_score", pa.int32()),
            ("cs_at_10", pa.int32()),
            ("gold_at_10", pa.int32()),
            ("xp_at_10", pa.int32()),
            ("cs_at_15", pa.int32()),
            ("gold_diff_at_15", pa.int32()),
            ("xp_diff_at_15", pa.int32()),
            ("kda", pa.decimal128(5, 2)),
            ("kill_participation", pa.decimal128(5, 4)),
            ("damage_per_minute", pa.decimal128(8, 2)),
            ("gold_per_minute", pa.decimal128(8, 2)),
            ("data_source", pa.string()),
            ("ingested_at", STAMP),
            ("processing_version", pa.string()),
        ]
    ),
    partitions=(
        ("tournament", PartitionBy.IDENTITY),
        ("position", PartitionBy.IDENTITY),
        ("date", PartitionBy.YEAR),
    ),
)

QUARANTINE = LakeTable(
    Layer.SILVER,
    "quarantine",
    pa.schema(
        [
            ("source", pa.string()),
            ("source_sha256", pa.string()),
            ("row_number", pa.int64()),
            ("layout", pa.string()),
            ("match_id", pa.string()),  # null when it could not be read
            ("reason", pa.string()),
            ("payload", pa.string()),
        ]
    ),
)
