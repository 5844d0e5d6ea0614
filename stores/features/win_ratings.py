"""How strong teams and players are, in log-odds of winning, with what is not known of it.

A team is rated twice: as the team that it was, and as the mean of the players who now play for it. The first sees
coaching and habit, the second follows transfers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from stores.features.belief import Belief, learn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stores.features.games import PlayedGame, PlayedTeam

LEAST_INFORMATION = 0.05  # of one result; a sure win that is lost must not move a rating without bound
# first variance and daily variance, chosen on results of 2025 before the validation
_TEAM = (0.6, 0.004)
_PLAYER = (0.25, 0.002)


class WinRatings:
    """Ratings of all teams and players. The mean rating is 0."""

    def __init__(self) -> None:
        self.teams: defaultdict[str, Belief] = defaultdict(lambda: Belief(0.0, *_TEAM))
        self.players: defaultdict[str, Belief] = defaultdict(lambda: Belief(0.0, *_PLAYER))

    def observe(self, game: PlayedGame) -> None:
        """Take in the result of a game."""
        winner, loser = sorted(game.teams, key=lambda team: not team.won)
        if winner.team_id is not None and loser.team_id is not None:
            pair = [(self.teams[winner.team_id], 1.0), (self.teams[loser.team_id], -1.0)]
            _learn_win(pair, game.ended_us)
        if winner.players and loser.players:
            _learn_win([*self._roster(winner, 1.0), *self._roster(loser, -1.0)], game.ended_us)

    def _roster(self, team: PlayedTeam, sign: float) -> list[tuple[Belief, float]]:
        return [(self.players[one.player_id], sign / len(team.players)) for one in team.players]

    def team(self, team_id: str | None, now_us: int) -> tuple[float, float]:
        """Mean and variance of a team's rating."""
        known = self.teams.get(team_id) if team_id is not None else None
        return _as_of(known or Belief(0.0, *_TEAM), now_us)

    def player(self, player_id: str, now_us: int) -> tuple[float, float]:
        """Mean and variance of a player's strength."""
        return _as_of(self.players.get(player_id) or Belief(0.0, *_PLAYER), now_us)

    def roster_strength(self, players: Iterable[str]) -> float:
        """The mean strength of these players; 0 if there are none. An unknown one counts as average."""
        known = [self.players[one].mean if one in self.players else 0.0 for one in players]
        return sum(known) / len(known) if known else 0.0


def _as_of(belief: Belief, now_us: int) -> tuple[float, float]:
    return belief.mean, belief.variance_at(now_us)


def _learn_win(parts: Sequence[tuple[Belief, float]], now_us: int) -> None:
    """A win that was given the probability p has the Fisher information p (1 - p)."""
    for belief, _ in parts:
        belief.drift_to(now_us)
    given = 1.0 / (1.0 + math.exp(-sum(weight * belief.mean for belief, weight in parts)))
    information = max(given * (1.0 - given), LEAST_INFORMATION)
    learn(parts, (1.0 - given) / information, 1.0 / information)
