"""What a feature shard publishes: immutable, versioned arrays of the players, teams, leagues and champions it owns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stores.features.schema import POSITIONS

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


CONFIRMED_WITHIN_S = 5.0  # some looks of a shard: one that is late does not make the features doubtful


class PlayerEntry(NamedTuple):
    """Who a player is; ``position`` indexes POSITIONS."""

    player_id: str
    name: str
    position: int
    team_id: str | None
    team: str | None
    tournament: str
    games: int

    @property
    def key(self) -> str:
        """The id that a shard owns."""
        return self.player_id


class RecentMap(NamedTuple):
    """A map that a player played; its fields are RECENT_MAPS. None is unknown."""

    played_at: datetime
    opponent: str | None
    won: bool
    champion: str | None
    kills: int
    deaths: int
    assists: int


class TeamEntry(NamedTuple):
    """Who a team is."""

    team_id: str
    name: str
    tournament: str
    games: int

    @property
    def key(self) -> str:
        """The id that a shard owns."""
        return self.team_id


class TournamentEntry(NamedTuple):
    """Which league, on which patch."""

    name: str
    patch: str
    games: int

    @property
    def key(self) -> str:
        """The id that a shard owns."""
        return self.name


class ChampionEntry(NamedTuple):
    """A champion in a role; ``position`` indexes POSITIONS, ``games`` counts those of the role."""

    name: str
    position: int
    games: int

    @property
    def key(self) -> str:
        """The id of champion and role; a shard owns a champion in all its roles."""
        return champion_key(self.name, self.position)


def champion_key(champion: str, position: int) -> str:
    """The id of a champion in a role, such as ``Ahri|mid``."""
    return f"{champion}|{POSITIONS[position]}"


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Where features come from: the snapshot of gold.player_features, which names those of the other tables."""

    lake_snapshot_id: int
    feature_version: str
    as_of: datetime


@dataclass(frozen=True, slots=True, eq=False)
class PublishedShard:
    """One version of one shard. Row i of a matrix (float64) belongs to entry i; a reader must not write to them.

    ``recent_maps`` are the columns RECENT_MAPS; its row i belongs to player i.
    """

    shard: str
    source: FeatureSource
    players: tuple[PlayerEntry, ...]
    player_features: NDArray[np.float64]
    recent_maps: pa.Table
    teams: tuple[TeamEntry, ...]
    team_features: NDArray[np.float64]
    tournaments: tuple[TournamentEntry, ...]
    tournament_features: NDArray[np.float64]
    champions: tuple[ChampionEntry, ...]
    champion_features: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """A published version: ``content`` is what ``put`` returned for the PublishedShard (an object reference).

    ``age_s``: for so long the lake has not confirmed that it is the newest.
    """

    lake_snapshot_id: int
    content: Any
    age_s: float
