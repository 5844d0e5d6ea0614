"""The gold tables: snapshots of players, teams, tournaments and champions as of the start of a series, and of now.

A row whose ``series_id`` is null is the newest snapshot, from which answers are served. The seeds give the averages as
DECIMAL; they are doubles here, because training and serving must see the same bits.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from stores.features.schema import CHAMPION_FEATURES, CONTEXT_FEATURES, PLAYER_FEATURES, TEAM_FEATURES
from stores.lake.tables import (
    MATCH_RESULTS,
    MATCH_ROWS,
    PLAYER_PERFORMANCE,
    QUARANTINE,
    STAMP,
    LakeTable,
    Layer,
    PartitionBy,
)


def _doubles(names: tuple[str, ...]) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


_AS_OF = [("series_id", pa.string()), ("as_of", STAMP), ("feature_date", pa.date32())]
_LINEAGE = [("feature_version", pa.string())]

# A player's last maps, the newest first: lists of one length, for they evolve where a list of structs would not. Null
# but in the newest snapshots: who trains needs none of it.
RECENT_MAPS: Final[dict[str, pa.DataType]] = {
    "recent_started_at": pa.list_(STAMP),
    "recent_opponents": pa.list_(pa.string()),
    "recent_won": pa.list_(pa.bool_()),
    "recent_champions": pa.list_(pa.string()),
    "recent_kills": pa.list_(pa.int32()),
    "recent_deaths": pa.list_(pa.int32()),
    "recent_assists": pa.list_(pa.int32()),
}

PLAYER_SNAPSHOTS = LakeTable(
    Layer.GOLD,
    "player_features",
    pa.schema(
        [
            ("player_id", pa.string()),
            *_AS_OF,
            ("player_name", pa.string()),
            ("position_primary", pa.string()),
            ("team_current", pa.string()),
            ("team_id", pa.string()),
            ("tournament", pa.string()),
            ("tournaments_played", pa.list_(pa.string())),
            ("champions_played", pa.list_(pa.string())),
            *_doubles(PLAYER_FEATURES),
            *RECENT_MAPS.items(),
            ("data_quality_score", pa.float64()),  # share of the player's stats that are known, 0 to 1
            *_LINEAGE,
        ]
    ),
    partitions=(("feature_date", PartitionBy.MONTH),),
    target_file_bytes=134217728,
)

TEAM_SNAPSHOTS = LakeTable(
    Layer.GOLD,
    "team_statistics",
    pa.schema(
        [
            ("team_id", pa.string()),
            *_AS_OF,
            ("team_name", pa.string()),
            ("tournament", pa.string()),
            *_doubles(TEAM_FEATURES),
            *_LINEAGE,
        ]
    ),
    partitions=(("feature_date", PartitionBy.MONTH),),
    target_file_bytes=134217728,
)

TOURNAMENT_SNAPSHOTS = LakeTable(
    Layer.GOLD,
    "tournament_summaries",
    pa.schema(
        [
            ("tournament", pa.string()),
            *_AS_OF,
            ("patch_version", pa.string()),
            *_doubles(CONTEXT_FEATURES),
            *_LINEAGE,
        ]
    ),
    partitions=(("feature_date", PartitionBy.MONTH),),
    target_file_bytes=134217728,
)

CHAMPION_SNAPSHOTS = LakeTable(
    Layer.GOLD,
    "champion_statistics",
    pa.schema(
        [
            ("champion", pa.string()),
            ("position", pa.string()),
            *_AS_OF,
            *_doubles(CHAMPION_FEATURES),
            *_LINEAGE,
        ]
    ),
    partitions=(("feature_date", PartitionBy.MONTH),),
    target_file_bytes=134217728,
)

ALL_TABLES = (
    MATCH_ROWS,
    MATCH_RESULTS,
    PLAYER_PERFORMANCE,
    QUARANTINE,
    PLAYER_SNAPSHOTS,
    TEAM_SNAPSHOTS,
    TOURNAMENT_SNAPSHOTS,
    CHAMPION_SNAPSHOTS,
)

# Properties of a commit to player_features. It is committed last and names the snapshots of the other tables, so
# that one snapshot id fixes every feature.
SILVER_SNAPSHOT = "riftline.player-performance-snapshot"
TEAMS_SNAPSHOT = "riftline.team-statistics-snapshot"
TOURNAMENTS_SNAPSHOT = "riftline.tournament-summaries-snapshot"
CHAMPIONS_SNAPSHOT = "riftline.champion-statistics-snapshot"
FEATURES = "riftline.feature-version"
AS_OF = "riftline.as-of"
