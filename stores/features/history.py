"""All that is known up to a moment. Games go in when they end; snapshots come out as of any later moment.

Order is the whole contract: `observe` must see games by the time they ended, and a snapshot taken as of a moment holds
exactly the games that were observed before it. So a pre-match feature cannot see its own match.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from stores.features.champions import ChampionHistory
from stores.features.kill_model import KillModel
from stores.features.players import PlayerHistory, player_stats
from stores.features.schema import POSITIONS
from stores.features.teams import LeagueHistory, PatchHistory, TeamHistory, elo_gain, team_stats
from stores.features.win_ratings import WinRatings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stores.features.games import PlayedGame


class FeatureHistory:
    """The memory of players, teams, leagues and patches. Not safe for concurrent writers."""

    def __init__(self) -> None:
        self._players: defaultdict[str, PlayerHistory] = defaultdict(PlayerHistory)
        self._teams: defaultdict[str, TeamHistory] = defaultdict(TeamHistory)
        self._leagues: defaultdict[str, LeagueHistory] = defaultdict(LeagueHistory)
        self._patches: defaultdict[str, PatchHistory] = defaultdict(PatchHistory)
        self._all_patches = PatchHistory()
        self._kills = KillModel()
        self._wins = WinRatings()
        self.champions = ChampionHistory()

    @property
    def players(self) -> Mapping[str, PlayerHistory]:
        """Every known player by id."""
        return self._players

    @property
    def teams(self) -> Mapping[str, TeamHistory]:
        """Every known team by id."""
        return self._teams

    @property
    def leagues(self) -> Mapping[str, LeagueHistory]:
        """Every known league by name."""
        return self._leagues

    def observe(self, game: PlayedGame) -> None:
        """Take in a game that has ended."""
        league = self._leagues[game.league]
        league.observe_game(game)
        self._observe_teams(game, league)
        for own, other in (game.teams, game.teams[::-1]):
            for player in own.players:
                stats = player_stats(game, own, other.kills, player)
                league.observe_player(player.position, stats)
                usual = self._kills.usual(game.league, player.position)
                self._players[player.player_id].observe(game, own, player, stats, usual)
        if game.patch:  # games of unknown patch have no patch in common
            self._patches[game.patch].observe(game)
        self._all_patches.observe(game)
        self._kills.observe(game)
        self._wins.observe(game)
        self.champions.observe(game)

    def _observe_teams(self, game: PlayedGame, league: LeagueHistory) -> None:
        first, second = game.teams
        if first.team_id is None or second.team_id is None:
            return
        one, two = self._teams[first.team_id], self._teams[second.team_id]
        gain = elo_gain(one.elo, two.elo, won=first.won)
        for own, other, team, points in ((first, second, one, gain), (second, first, two, -gain)):
            stats = team_stats(game, own, other)
            league.observe_team(stats, self._ratings(own.team_id, game.ended_us))
            team.observe(stats, game.league, own.players)
            team.elo += points

    def player(self, player_id: str, position: int, league: str, now_us: int) -> NDArray[np.float64]:
        """PLAYER_FEATURES of a player in this role and league; an unknown player is the average of both."""
        prior = self._league(league).average_player(position)
        known = self._players.get(player_id) or PlayerHistory()
        strength = self._wins.player(player_id, now_us)
        pool = self.champions.pool(known.champions, position)
        state = [*self._kills.player(player_id, position, now_us), *strength, *pool]
        usual = self._kills.usual(league, position)
        return np.concatenate([known.snapshot(now_us, prior, usual), state])

    def team(self, team_id: str | None, league: str, now_us: int) -> NDArray[np.float64]:
        """TEAM_FEATURES of a team; an unknown team has the league's average stats and the first rating."""
        known = (self._teams.get(team_id) if team_id is not None else None) or TeamHistory()
        factors = [
            self._kills.share_factor(stat, known.lineup.get(position), position)
            for stat in ("kills", "deaths")
            for position in range(len(POSITIONS))
        ]
        state = [*self._kills.team(team_id, now_us), *factors, *self._ratings(team_id, now_us), known.games]
        return np.concatenate([known.means(self._league(league).average_team()), state])

    def _ratings(self, team_id: str | None, now_us: int) -> list[float]:
        """RATINGS of a team as of now."""
        known = (self._teams.get(team_id) if team_id is not None else None) or TeamHistory()
        return [known.elo, *self._wins.team(team_id, now_us), self._wins.roster_strength(known.lineup.values())]

    def context(self, league: str, patch: str) -> NDArray[np.float64]:
        """CONTEXT_FEATURES of a league on a patch."""
        patch_part = (self._patches.get(patch) or PatchHistory()).snapshot(self._all_patches)
        return np.concatenate([self._league(league).snapshot(), patch_part, self._kills.context(league, patch)])

    def _league(self, league: str) -> LeagueHistory:
        return self._leagues.get(league) or LeagueHistory()
