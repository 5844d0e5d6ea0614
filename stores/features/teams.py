"""What is remembered of one team, one league and one patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.features.decay import DecayedMeans
from stores.features.schema import (
    LINEUP_FACTORS,
    PLAYER_STATS,
    POSITIONS,
    RATINGS,
    ROLE_STATS,
    TEAM_HALF_LIVES,
    TEAM_STATS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stores.features.games import PlayedBy, PlayedGame, PlayedTeam

START_ELO = 1500.0
ELO_STEP = 28.0  # points for a sure loss that is won; near 24 to 32 the log loss of results on 2025 hardly moves
STRENGTHS = (3.0, 6.0)
LEAGUE_GAMES = 120.0  # half-life of a league's averages, in games (each gives two of everything): about one split
PATCH_PULL = 30.0  # games that the overall average weighs against those of a new patch
ROLE_PULL = 20.0

# Averages of top-league games 2016 to 2024, needed until the first games of a league are known.
_FIRST_TEAM = np.array([13.0, 13.0, 0.5, 32.0, 2.6, 2.7, 3.2, 4.0, 0.6, 5.4, 7.3, 6.2, 6.1, 9.6])
_AVERAGE_STATE = (1.0, 0.01, 1.0, 0.01, 1.0)  # TEAM_STATE of a team of which nothing is known
_FIRST_RATINGS = np.array([START_ELO, 0.0, 0.6, 0.0])
_FIRST_ROLE = np.array(
    [
        [2.6, 5.4, 2.7, 0.20, 0.41, 0.61, 13.0, 13.0, 32.0, 0.5, 0.23, 1.0],
        [2.7, 7.3, 2.8, 0.21, 0.56, 0.77, 13.0, 13.0, 32.0, 0.5, 0.16, 1.4],
        [3.2, 6.2, 2.4, 0.25, 0.48, 0.73, 13.0, 13.0, 32.0, 0.5, 0.25, 1.1],
        [4.0, 6.1, 2.3, 0.31, 0.47, 0.78, 13.0, 13.0, 32.0, 0.5, 0.27, 1.1],
        [0.6, 9.6, 2.8, 0.05, 0.74, 0.79, 13.0, 13.0, 32.0, 0.5, 0.08, 2.6],
    ]
)


def team_stats(game: PlayedGame, own: PlayedTeam, other: PlayedTeam) -> NDArray[np.float64]:
    """The stats of one team in one game, in the order of TEAM_STATS; a position that is missing counts as NaN."""
    allowed = np.full((2, len(POSITIONS)), np.nan)
    for player in other.players:
        allowed[:, player.position] = player.kills, player.assists
    return np.concatenate([[own.kills, other.kills, own.won, game.minutes], allowed.ravel()])


class TeamHistory:
    """Decayed means, Elo rating and last line-up of one team."""

    __slots__ = ("_means", "elo", "games", "league", "lineup")

    def __init__(self) -> None:
        self._means = DecayedMeans(TEAM_HALF_LIVES, len(TEAM_STATS))
        self.elo = START_ELO
        self.games = 0
        self.league = ""
        self.lineup: dict[int, str] = {}  # player ids by position, of the last game

    def observe(self, stats: NDArray[np.float64], league: str, players: Sequence[PlayedBy]) -> None:
        """Take in one game of this team."""
        self.lineup = {player.position: player.player_id for player in players}
        self._means.observe(stats)
        self.games += 1
        self.league = league

    def means(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """The decayed means of TEAM_FEATURES; ``prior`` is the league's average team, of shape [TEAM_STATS]."""
        return np.asarray(self._means.shrunk(prior, STRENGTHS).ravel())


def elo_gain(own: float, other: float, *, won: bool) -> float:
    """The points that the first team wins (or loses), after Elo (1978)."""
    expected = 1.0 / (1.0 + 10.0 ** ((other - own) / 400.0))
    return float(ELO_STEP * (float(won) - expected))


class LeagueHistory:
    """The average team and the average player of each role in one league."""

    __slots__ = ("_ratings", "_roles", "_teams", "games", "last_patch")

    def __init__(self) -> None:
        self._teams = DecayedMeans((LEAGUE_GAMES * 2,), len(TEAM_STATS))
        self._roles = [DecayedMeans((LEAGUE_GAMES * 2,), len(PLAYER_STATS)) for _ in POSITIONS]
        self._ratings = DecayedMeans((LEAGUE_GAMES * 2,), len(RATINGS))
        self.games = 0
        self.last_patch = ""

    def observe_game(self, game: PlayedGame) -> None:
        """Count one game and note its patch."""
        self.games += 1
        self.last_patch = game.patch

    def observe_team(self, stats: NDArray[np.float64], ratings: Sequence[float]) -> None:
        """Take in one team of a game, with its RATINGS before the game."""
        self._teams.observe(stats)
        self._ratings.observe(np.array(ratings))

    def observe_player(self, position: int, stats: NDArray[np.float64]) -> None:
        """Take in one player of a game."""
        self._roles[position].observe(stats)

    def average_team(self) -> NDArray[np.float64]:
        """The average team, of shape [TEAM_STATS]."""
        return np.asarray(self._teams.shrunk(_FIRST_TEAM, (ROLE_PULL,))[0])

    def average_player(self, position: int) -> NDArray[np.float64]:
        """The average player of a role, of shape [PLAYER_STATS]."""
        return np.asarray(self._roles[position].shrunk(_FIRST_ROLE[position], (ROLE_PULL,))[0])

    def snapshot(self) -> NDArray[np.float64]:
        """The league's part of CONTEXT_FEATURES."""
        team = self.average_team()
        ratings = self._ratings.shrunk(_FIRST_RATINGS, (ROLE_PULL,))[0]
        roles = [self.average_player(position)[: len(ROLE_STATS)] for position in range(len(POSITIONS))]
        state = [*_AVERAGE_STATE, *([1.0] * len(LINEUP_FACTORS))]
        return np.concatenate([*([team] * len(TEAM_HALF_LIVES)), state, ratings, [self.games], *roles])


class PatchHistory:
    """Plain averages of team kills and minutes on one patch."""

    __slots__ = ("games", "kills", "minutes")

    def __init__(self) -> None:
        self.games = 0
        self.kills = 0.0
        self.minutes = 0.0

    def observe(self, game: PlayedGame) -> None:
        """Take in one game on this patch."""
        self.games += 1
        self.kills += (game.teams[0].kills + game.teams[1].kills) / 2
        self.minutes += game.minutes

    def snapshot(self, overall: PatchHistory) -> NDArray[np.float64]:
        """The patch's part of CONTEXT_FEATURES, drawn to the average of all patches."""
        kills = overall.kills / overall.games if overall.games else _FIRST_TEAM[0]
        minutes = overall.minutes / overall.games if overall.games else _FIRST_TEAM[3]
        weight = self.games + PATCH_PULL
        return np.array(
            [(self.kills + PATCH_PULL * kills) / weight, (self.minutes + PATCH_PULL * minutes) / weight, self.games]
        )
