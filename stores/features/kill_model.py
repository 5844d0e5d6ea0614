"""A hierarchical count model that learns game by game: how many kills a team makes, and who gets them.

    team kills       = pace of the season · league · attack of the team · defence of the opponent · result (won or lost)
    a player's part  = team kills · share of his role in such a result · level of the season · his own factor

Everything is kept as a belief about a logarithm (`belief`), so that opponents, leagues and results are taken out of
what is learnt of a player. Snapshots give the factors themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final

from stores.features.belief import Belief, learn
from stores.features.schema import POSITIONS, RESULTS, SHARED_STATS

if TYPE_CHECKING:
    from stores.features.games import PlayedBy, PlayedGame, PlayedTeam

TEAM_SIZE = 8.0  # of a team's kills once the result is known; a wide one, since what is learnt is also wrong
PLAYER_SIZES: Final = {"kills": 6.0, "assists": 12.0, "deaths": 8.0}  # of a player's part once the team's is known
LENGTH_VARIANCE = 0.035  # of the log of a game's minutes
MOST_SURPRISE = 3.0  # a support's three kills are no sign of thirtyfold skill
LEAST_VARIANCE = 2e-5  # of what all games share: it goes on learning
PATCH_PULL = 20.0  # games

# shares of a team's kills and of the opponent's kills (deaths) by role, lost and won; top-league games 2016 to 2024
_ROLE_SHARES: Final = {
    "kills": ((0.214, 0.197, 0.257, 0.265, 0.066), (0.196, 0.184, 0.259, 0.304, 0.056)),
    "assists": ((0.335, 0.505, 0.394, 0.374, 0.606), (0.390, 0.516, 0.419, 0.390, 0.665)),
    "deaths": ((0.210, 0.213, 0.188, 0.178, 0.212), (0.219, 0.206, 0.189, 0.165, 0.225)),
}
# first variance and daily variance of each kind of belief, chosen on 2025, before the validation
_FIRST_LEVEL = math.log(11.8)  # kills of a team, on the log scale between winners and losers
_PACE = (0.01, 0.00005)
_LEVELS: Final = {"kills": (1e-9, 0.0), "assists": (0.001, 0.0002), "deaths": (1e-9, 0.0)}  # kills and deaths sum to 1
_LEAGUE = (0.02, 0.00002)
_ATTACK = (0.01, 0.00001)
_LENGTH = (0.01, 0.00005)
_SHARES: Final = {"kills": (0.04, 0.00002), "assists": (0.006, 0.00001), "deaths": (0.02, 0.00002)}


class KillModel:
    """Beliefs about leagues, teams, players and patches."""

    def __init__(self) -> None:
        self._leagues: defaultdict[str, Belief] = defaultdict(lambda: Belief(_FIRST_LEVEL, *_LEAGUE))
        self._pace = Belief(0.0, *_PACE)
        self._levels = {stat: Belief(0.0, *_LEVELS[stat]) for stat in SHARED_STATS}
        self._result = Belief(0.36, 0.01, 0.0)  # half the log of how many kills winners have for one of the losers
        self._attack: defaultdict[str, Belief] = defaultdict(lambda: Belief(0.0, *_ATTACK))
        self._defence: defaultdict[str, Belief] = defaultdict(lambda: Belief(0.0, *_ATTACK))
        self._league_length: defaultdict[str, Belief] = defaultdict(lambda: Belief(math.log(32.0), *_LENGTH))
        self._length: defaultdict[str, Belief] = defaultdict(lambda: Belief(0.0, *_LENGTH))
        self._shares = {
            stat: [[Belief(math.log(share), 0.02, 0.0) for share in roles] for roles in results]
            for stat, results in _ROLE_SHARES.items()
        }
        self._players: dict[str, defaultdict[tuple[str, int], Belief]] = {
            stat: defaultdict(partial(Belief, 0.0, *_SHARES[stat])) for stat in SHARED_STATS
        }
        self._patches: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    # --- learning -----------------------------------------------------------------------------------------------------
    def observe(self, game: PlayedGame) -> None:
        """Take in one game."""
        if not game.teams[0].players or not game.teams[1].players:
            return  # the kills of a team whose players are unknown are not split among them
        self._observe_length(game)
        sides = sorted(game.teams, key=lambda team: not team.won)  # whoever is named first, the same is learnt
        for own, other in (sides, sides[::-1]):
            self._observe_team(game, own, other)
            for player in sorted(own.players, key=lambda one: POSITIONS[one.position]):
                self._observe_player(game.ended_us, player, own, other)
        if game.patch:
            self._observe_patch(game)

    def _observe_patch(self, game: PlayedGame) -> None:
        """How many more kills both teams made than the season and the league promise to a winner and a loser."""
        level = math.exp(self._leagues[game.league].mean + self._pace.mean)
        promised = level * math.cosh(self._result.mean)
        both = (game.teams[0].kills + game.teams[1].kills) / 2
        of_patch = self._patches[game.patch]
        of_patch[0] += 1.0
        of_patch[1] += math.log((both + 0.5) / (promised + 0.5))

    def _observe_length(self, game: PlayedGame) -> None:
        parts = [(self._league_length[game.league], 1.0)]
        parts += [(self._length[team.team_id], 1.0) for team in game.teams if team.team_id is not None]
        for belief, _ in parts:
            belief.drift_to(game.ended_us)
        learn(parts, math.log(game.minutes) - sum(belief.mean for belief, _ in parts), LENGTH_VARIANCE)

    def _observe_team(self, game: PlayedGame, own: PlayedTeam, other: PlayedTeam) -> None:
        parts = [(self._pace, 1.0), (self._leagues[game.league], 1.0), (self._result, 1.0 if own.won else -1.0)]
        if own.team_id is not None:
            parts.append((self._attack[own.team_id], 1.0))
        if other.team_id is not None:
            parts.append((self._defence[other.team_id], 1.0))
        for belief, _ in parts:
            belief.drift_to(game.ended_us)
        _learn_count(parts, own.kills, 1.0, TEAM_SIZE)
        self._result.variance = max(self._result.variance, LEAST_VARIANCE)

    def _observe_player(self, now_us: int, player: PlayedBy, own: PlayedTeam, other: PlayedTeam) -> None:
        counts = (("kills", player.kills, own.kills), ("assists", player.assists, own.kills))
        for stat, count, of_team in (*counts, ("deaths", player.deaths, other.kills)):
            if of_team:
                role = self._shares[stat][own.won][player.position]
                own_factor = self._players[stat][player.player_id, player.position]
                level = self._levels[stat]
                level.drift_to(now_us)
                own_factor.drift_to(now_us)
                role.variance = max(role.variance, LEAST_VARIANCE)
                _learn_count([(role, 1.0), (level, 1.0), (own_factor, 1.0)], count, of_team, PLAYER_SIZES[stat])

    # --- snapshots ----------------------------------------------------------------------------------------------------
    def player(self, player_id: str, position: int, now_us: int) -> list[float]:
        """Factor and variance for each of SHARED_STATS: a player's part in his team's kills beside his role's."""
        values = []
        for stat in SHARED_STATS:
            belief = self._players[stat].get((player_id, position)) or Belief(0.0, *_SHARES[stat])
            values += [math.exp(belief.mean), belief.variance_at(now_us)]
        return values

    def share_factor(self, stat: str, player_id: str | None, position: int) -> float:
        """A player's factor for one stat; 1 for an unknown player."""
        belief = self._players[stat].get((player_id, position)) if player_id is not None else None
        return math.exp(belief.mean) if belief else 1.0

    def team(self, team_id: str | None, now_us: int) -> list[float]:
        """Attack and defence, each as factor and variance, and the factor of a game's length."""
        values = []
        for beliefs in (self._attack, self._defence):
            belief = (beliefs.get(team_id) if team_id is not None else None) or Belief(0.0, *_ATTACK)
            values += [math.exp(belief.mean), belief.variance_at(now_us)]
        length = self._length.get(team_id) if team_id is not None else None
        return [*values, math.exp(length.mean) if length else 1.0]

    def usual(self, league: str, position: int) -> tuple[float, ...]:
        """RESULT_STATS of the average player of a role in an average team of a league."""
        level = self._pace.mean + (self._leagues[league].mean if league in self._leagues else _FIRST_LEVEL)
        return tuple(
            math.exp(level + sign * self._result.mean + self._share(stat, won, position))
            for stat in ("kills", "assists")
            for won, sign in ((1, 1.0), (0, -1.0))
        )

    def _share(self, stat: str, won: int, position: int) -> float:
        """The log of a role's share at the level of the season."""
        return self._shares[stat][won][position].mean + self._levels[stat].mean

    def context(self, league: str, patch: str) -> list[float]:
        """Kills of an average team that won and of one that lost, minutes, the patch's factor, and the role shares.

        The shares lie by stat, result (lost, won) and role.
        """
        level = self._pace.mean + (self._leagues[league].mean if league in self._leagues else _FIRST_LEVEL)
        length = self._league_length[league].mean if league in self._league_length else math.log(32.0)
        games, excess = self._patches.get(patch, (0.0, 0.0))
        shares = [
            math.exp(self._share(stat, won, position))
            for stat in SHARED_STATS
            for won in range(len(RESULTS))
            for position in range(len(POSITIONS))
        ]
        return [
            math.exp(level + self._result.mean),
            math.exp(level - self._result.mean),
            math.exp(length),
            math.exp(excess / (games + PATCH_PULL)),
            *shares,
        ]


def _learn_count(parts: list[tuple[Belief, float]], count: int, exposure: float, size: float) -> None:
    """A count whose log mean is log(exposure) + Σ weight · level, overdispersed by ``size``."""
    mean = exposure * math.exp(sum(weight * belief.mean for belief, weight in parts))
    surprise = min((count - mean) / mean, MOST_SURPRISE)
    learn(parts, surprise, 1.0 / mean + 1.0 / size)


assert all(len(roles) == len(POSITIONS) for results in _ROLE_SHARES.values() for roles in results)  # noqa: S101 — by role
