"""A league whose strengths, attacks, defences and shares are known, and its games."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.schema import POSITIONS, SHARED_STATS

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR_US = 3_600_000_000
START_US = 20_000 * 24 * HOUR_US
ROLES = len(POSITIONS)
LEVEL = 15.0  # kills of a team between average teams, between the winner's and the loser's
RESULT = 0.45  # half the log of how many kills winners have for one of the losers
MINUTES = 29.0
SIZE = 15.0  # negative binomial, of teams and of players
# of a team's kills (deaths: of the other's), lost and won, by role
SHARES: Final = {
    "kills": np.array([[0.24, 0.17, 0.27, 0.24, 0.08], [0.21, 0.16, 0.28, 0.28, 0.07]]),
    "assists": np.array([[0.40, 0.55, 0.45, 0.42, 0.66], [0.45, 0.57, 0.47, 0.44, 0.72]]),
    "deaths": np.array([[0.19, 0.20, 0.20, 0.19, 0.22], [0.20, 0.19, 0.20, 0.18, 0.23]]),
}


@dataclass(frozen=True, slots=True, eq=False)
class League:
    """Logarithms of factors, around 0. ``skills`` and each of ``factors`` have the shape [teams, roles]; a team's
    log-odds of winning are the mean of its skills.
    """

    skills: NDArray[np.float64]
    attack: NDArray[np.float64]
    defence: NDArray[np.float64]
    length: NDArray[np.float64]
    factors: dict[str, NDArray[np.float64]]

    @property
    def strength(self) -> NDArray[np.float64]:
        """Of the teams, in log-odds."""
        return np.asarray(self.skills.mean(axis=1))


def draw_league(rng: np.random.Generator, teams: int = 12) -> League:
    """A league in which strength says nothing of attack and defence."""
    spread = {"kills": 0.25, "assists": 0.15, "deaths": 0.2}
    return League(
        rng.normal(0.0, 1.6, (teams, ROLES)),
        rng.normal(0.0, 0.2, teams),
        rng.normal(0.0, 0.2, teams),
        rng.normal(0.0, 0.06, teams),
        {stat: rng.normal(0.0, spread[stat], (teams, ROLES)) for stat in SHARED_STATS},
    )


def play(league: League, rng: np.random.Generator, games: int) -> list[PlayedGame]:
    """So many games between teams drawn at random, one an hour, in the order they end."""
    return [_game(league, rng, number) for number in range(games)]


def _game(league: League, rng: np.random.Generator, number: int) -> PlayedGame:
    one, two = (int(at) for at in rng.choice(len(league.attack), 2, replace=False))
    first_won = bool(rng.random() < 1.0 / (1.0 + np.exp(league.strength[two] - league.strength[one])))
    kills = [
        _count(rng, LEVEL * np.exp(league.attack[own] + league.defence[other] + (RESULT if won else -RESULT)))
        for own, other, won in ((one, two, first_won), (two, one, not first_won))
    ]
    teams = (
        _team(league, rng, one, kills, won=first_won),
        _team(league, rng, two, kills[::-1], won=not first_won),
    )
    minutes = MINUTES * np.exp(league.length[one] + league.length[two] + rng.normal(0.0, 0.18))
    ended_us = START_US + number * HOUR_US
    return PlayedGame(f"g{number}", "LCK", "16.01", ended_us - int(minutes * 60e6), ended_us, teams)


def _team(league: League, rng: np.random.Generator, at: int, kills: list[int], *, won: bool) -> PlayedTeam:
    whole = {"kills": kills[0], "assists": kills[0], "deaths": kills[1]}
    means = {stat: whole[stat] * SHARES[stat][int(won)] * np.exp(league.factors[stat][at]) for stat in SHARED_STATS}
    players = tuple(
        PlayedBy(
            player_id(at, role),
            role,
            f"champion {rng.integers(8)}",
            _count(rng, means["kills"][role]),
            _count(rng, means["deaths"][role]),
            _count(rng, means["assists"][role]),
            damage_share=0.2,
            vision_score=30.0,
        )
        for role in range(ROLES)
    )
    return PlayedTeam(team_id(at), won, kills[0], players)


def team_id(at: int) -> str:
    """The name of a league's team."""
    return f"t{at}"


def player_id(at: int, role: int) -> str:
    """The name of a team's player."""
    return f"t{at}-{POSITIONS[role]}"


def _count(rng: np.random.Generator, mean: float) -> int:
    return int(rng.poisson(mean * rng.gamma(SIZE) / SIZE))
