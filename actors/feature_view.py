"""All shards' newest publications, joined in one replica for reading: names become entries, ids become features."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from actors.line_ups import LineUps
from actors.name_index import NameIndex
from actors.published import RecentMap, champion_key
from actors.usual_evidence import UsualEvidence
from stores.errors import ConflictError, InvalidError
from stores.features.tables import RECENT_MAPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from actors.published import (
        ChampionEntry,
        FeatureSource,
        PlayerEntry,
        PublishedShard,
        TeamEntry,
        TournamentEntry,
    )


class FeatureView:
    """Immutable: new publications make a new view, and a request reads one view from start to end.

    The arrays stay where the shards published them; only the indexes, what is usual, and who was asked about
    (`line_ups`), are built here. Raises
    ConflictError if the shards hold different lake snapshots (one is still reading; ask again).
    """

    def __init__(self, shards: Sequence[PublishedShard]) -> None:
        if not shards:
            raise InvalidError("a view needs at least one feature shard", "shards")
        self.source: FeatureSource = shards[0].source
        if any(shard.source != self.source for shard in shards):
            raise ConflictError("the feature shards hold different lake snapshots; one is still reading")
        self.players: NameIndex[PlayerEntry] = NameIndex("player", [e for s in shards for e in s.players])
        self.teams: NameIndex[TeamEntry] = NameIndex("team", [e for s in shards for e in s.teams])
        self.tournaments: NameIndex[TournamentEntry] = NameIndex(
            "tournament", [e for s in shards for e in s.tournaments]
        )
        self.champions: NameIndex[ChampionEntry] = NameIndex("champion", [e for s in shards for e in s.champions])
        self.line_ups = LineUps()
        self._player_rows = _rows((s.players, s.player_features) for s in shards)
        self._recent = {player.key: (s.recent_maps, at) for s in shards for at, player in enumerate(s.players)}
        self._team_rows = _rows((s.teams, s.team_features) for s in shards)
        self._contexts = _rows((s.tournaments, s.tournament_features) for s in shards)
        self._champion_rows = _rows((s.champions, s.champion_features) for s in shards)

    def player_features(self, player_id: str) -> NDArray[np.float64]:
        """PLAYER_FEATURES of a known player."""
        return self._player_rows[player_id]

    def recent_maps(self, player_id: str) -> tuple[RecentMap, ...]:
        """The last maps of a known player, the newest first; none where the snapshot was made without them."""
        table, at = self._recent[player_id]
        return tuple(map(RecentMap, *(table[name][at].as_py() or () for name in RECENT_MAPS)))

    @cached_property
    def usual(self) -> UsualEvidence:
        """What is usual; worked out where it is first asked for."""
        return UsualEvidence(self.players.entries, self._player_rows, self.tournaments.entries, self._contexts)

    def has_team(self, team_id: str) -> bool:
        """Whether the team's features are known; of a team whose every opponent was unknown, they are not."""
        return team_id in self._team_rows

    def team_features(self, team_id: str) -> NDArray[np.float64]:
        """TEAM_FEATURES of a known team."""
        return self._team_rows[team_id]

    def context(self, tournament: str) -> NDArray[np.float64]:
        """CONTEXT_FEATURES of a known tournament."""
        return self._contexts[tournament]

    def champion(self, name: str, position: int) -> NDArray[np.float64] | None:
        """CHAMPION_FEATURES of a champion, named as its entry is, in a role; None where nobody ever played it there."""
        return self._champion_rows.get(champion_key(name, position))


def _rows(
    parts: Iterable[tuple[Sequence[PlayerEntry | TeamEntry | TournamentEntry | ChampionEntry], NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    return {entry.key: row for entries, matrix in parts for entry, row in zip(entries, matrix, strict=True)}
