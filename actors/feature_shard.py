"""A feature shard: the owner of its share of the newest feature snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
from actors.ring import HashRing
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
from stores.lake.catalog import IcebergLake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stores.lake.tables import LakeTable
    from stores.roles.lake import Lake
    from stores.settings import LakeSettings

_NEWEST = Equals("series_id", None)


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """A published version: ``content`` is what ``put`` returned for the PublishedShard (an object reference)."""

    lake_snapshot_id: int
    content: Any


class FeatureShard:
    """Owns the keys that the ring gives it, and publishes them as one immutable object per version.

    Guarantee: a publication holds one lake snapshot, never a mix. Nothing is written here, so a crash loses nothing: a
    restarted shard reads the same snapshot from the lake again. Readers keep the version that they hold meanwhile.
    """

    def __init__(self, name: str, shards: Sequence[str], lake: LakeSettings, put: Callable[[object], Any]) -> None:
        self.name = name
        self._ring = HashRing(shards)
        self._lake = IcebergLake(lake)
        self._put = put
        self._current: Publication | None = None

    def newer_than(self, known_snapshot_id: int | None) -> Publication | None:
        """The newest publication, or None if the reader has it already.

        Raises NotFoundError while the lake holds no features that this code can read.
        """
        snapshot_id = self._lake.snapshot_id(PLAYER_SNAPSHOTS)
        if snapshot_id is None:
            raise NotFoundError("the lake holds no features yet; run `riftline ingest`")
        if self._current is None or self._current.lake_snapshot_id != snapshot_id:
            self._current = Publication(snapshot_id, self._put(self._build(snapshot_id)))
        return None if self._current.lake_snapshot_id == known_snapshot_id else self._current

    def _build(self, snapshot_id: int) -> PublishedShard:
        return read_features(self._lake, snapshot_id, self.name, lambda key: self._ring.owner(key) == self.name)


def read_features(lake: Lake, snapshot_id: int, name: str, owns: Callable[[str], bool]) -> PublishedShard:
    """The newest features as of a snapshot of gold.player_features, restricted to the keys that are owned.

    Raises NotFoundError if the snapshot is gone, or was made by code with other features.
    """
    summary = lake.summary(PLAYER_SNAPSHOTS, snapshot_id)
    if summary.get(FEATURES) != FEATURE_VERSION:
        raise NotFoundError(
            f"the lake's features are {summary.get(FEATURES)}, this code reads {FEATURE_VERSION}; run `riftline ingest`"
        )
    players = _owned(lake, PLAYER_SNAPSHOTS, snapshot_id, "player_id", owns)
    teams = _owned(lake, TEAM_SNAPSHOTS, int(summary[TEAMS_SNAPSHOT]), "team_id", owns)
    tournaments = _owned(lake, TOURNAMENT_SNAPSHOTS, int(summary[TOURNAMENTS_SNAPSHOT]), "tournament", owns)
    champions = _owned(lake, CHAMPION_SNAPSHOTS, int(summary[CHAMPIONS_SNAPSHOT]), "champion", owns)
    return PublishedShard(
        shard=name,
        source=FeatureSource(snapshot_id, summary[FEATURES], datetime.fromisoformat(summary[AS_OF])),
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
