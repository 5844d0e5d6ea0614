"""The rows that a feature shard owns, as one snapshot of the lake has them, and the publication made from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.published import (
    ChampionEntry,
    FeatureSource,
    PlayerEntry,
    PublishedShard,
    TeamEntry,
    TournamentEntry,
)
from stores.domain.row_filters import Equals
from stores.errors import NotFoundError
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    FEATURE_VERSION,
    PLAYER_FEATURES,
    POSITION_INDEX,
    TEAM_FEATURES,
)
from stores.features.tables import (
    AS_OF,
    CHAMPION_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT,
    FEATURES,
    PLAYER_SNAPSHOTS,
    RECENT_MAPS,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stores.lake.tables import LakeTable
    from stores.roles.lake import Lake

_NEWEST = Equals("series_id", None)


@dataclass(frozen=True, slots=True, eq=False)
class ShardTables:
    """Rows of the gold tables, all as of one snapshot, in the order of their keys."""

    source: FeatureSource
    players: pa.Table
    teams: pa.Table
    tournaments: pa.Table
    champions: pa.Table


def read_tables(lake: Lake, snapshot_id: int, owns: Callable[[str], bool]) -> ShardTables:
    """The newest features as of a snapshot of gold.player_features, restricted to the keys that are owned.

    Raises NotFoundError if the snapshot is gone, or was made by code with other features.
    """
    summary = lake.summary(PLAYER_SNAPSHOTS, snapshot_id)
    if summary.get(FEATURES) != FEATURE_VERSION:
        raise NotFoundError(
            f"the lake's features are {summary.get(FEATURES)}, this code reads {FEATURE_VERSION}; run `riftline ingest`"
        )
    return ShardTables(
        FeatureSource(snapshot_id, summary[FEATURES], datetime.fromisoformat(summary[AS_OF])),
        _owned(lake, PLAYER_SNAPSHOTS, snapshot_id, "player_id", owns),
        _owned(lake, TEAM_SNAPSHOTS, int(summary[TEAMS_SNAPSHOT]), "team_id", owns),
        _owned(lake, TOURNAMENT_SNAPSHOTS, int(summary[TOURNAMENTS_SNAPSHOT]), "tournament", owns),
        _owned(lake, CHAMPION_SNAPSHOTS, int(summary[CHAMPIONS_SNAPSHOT]), "champion", owns),
    )


def read_features(lake: Lake, snapshot_id: int, name: str, owns: Callable[[str], bool]) -> PublishedShard:
    """What a shard of this name publishes from a snapshot of the lake. Raises as `read_tables` does."""
    return published(name, read_tables(lake, snapshot_id, owns))


def published(name: str, tables: ShardTables) -> PublishedShard:
    """The rows as a reader wants them: entries, and matrices of their features."""
    players, teams, tournaments, champions = tables.players, tables.teams, tables.tournaments, tables.champions
    return PublishedShard(
        shard=name,
        source=tables.source,
        players=_player_entries(players),
        player_features=_matrix(players, PLAYER_FEATURES),
        recent_maps=players.select(list(RECENT_MAPS)).combine_chunks(),
        teams=tuple(
            TeamEntry(row["team_id"], row["team_name"], row["tournament"], int(row["games_known"]))
            for row in teams.to_pylist()
        ),
        team_features=_matrix(teams, TEAM_FEATURES),
        tournaments=tuple(
            TournamentEntry(row["tournament"], row["patch_version"], int(row["league_games_known"]))
            for row in tournaments.to_pylist()
        ),
        tournament_features=_matrix(tournaments, CONTEXT_FEATURES),
        champions=tuple(
            ChampionEntry(row["champion"], POSITION_INDEX[row["position"]], int(row["champion_games"]))
            for row in champions.to_pylist()
        ),
        champion_features=_matrix(champions, CHAMPION_FEATURES),
    )


def _player_entries(players: pa.Table) -> tuple[PlayerEntry, ...]:
    return tuple(
        PlayerEntry(
            row["player_id"],
            row["player_name"],
            POSITION_INDEX[row["position_primary"]],
            row["team_id"],
            row["team_current"],
            row["tournament"],
            int(row["games_known"]),
        )
        for row in players.to_pylist()
    )


def _owned(lake: Lake, table: LakeTable, snapshot_id: int, key: str, owns: Callable[[str], bool]) -> pa.Table:
    rows = lake.read(table, where=_NEWEST, snapshot_id=snapshot_id).sort_by(key)
    return rows.filter(pa.array([owns(value) for value in rows[key].to_pylist()], pa.bool_()))


def _matrix(rows: pa.Table, features: Sequence[str]) -> NDArray[np.float64]:
    if not rows.num_rows:
        return np.empty((0, len(features)))
    return np.column_stack([rows[name].to_numpy(zero_copy_only=False) for name in features])
