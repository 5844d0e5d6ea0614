"""A played game, as the feature history takes it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class PlayedBy:
    """One player's part. ``position`` indexes POSITIONS; NaN where the source lacks the number."""

    player_id: str
    position: int
    champion: str
    kills: int
    deaths: int
    assists: int
    damage_share: float
    vision_score: float


@dataclass(frozen=True, slots=True)
class PlayedTeam:
    """One team's part; ``team_id`` is None where the source does not know the team."""

    team_id: str | None
    won: bool
    kills: int
    players: Sequence[PlayedBy]


@dataclass(frozen=True, slots=True)
class PlayedGame:
    """One game. Times are microseconds since the epoch, UTC; it is known from ``ended_us`` on, which lies after
    ``started_us``. An unknown patch is empty, as is an unknown champion.
    """

    match_id: str
    league: str
    patch: str
    started_us: int
    ended_us: int
    teams: tuple[PlayedTeam, PlayedTeam]  # one has won, the other has not

    @property
    def minutes(self) -> float:
        """The length in minutes."""
        return (self.ended_us - self.started_us) / 60e6
