"""What a player with perfect knowledge would know before a map: every parameter its counts are drawn from.

`play` draws from these numbers and `truth` writes their distribution down; neither knows anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipelines.season.schedule import blue_win_probability

if TYPE_CHECKING:
    from pipelines.season.schedule import Map
    from pipelines.season.world import Floats, Integers, World

# lost, won by role (top, jng, mid, bot, sup): kills a map as in nine top leagues of 2025 and 2026, less the 1.5% that
# the spread of the factors below adds to a mean
_KILLS: Final = np.array([[1.73, 1.97, 2.17, 2.57, 0.505], [3.48, 4.11, 4.63, 6.20, 0.90]])
# the chance to assist a teammate's kill, from the same games: assists / (team's kills - own)
_ASSIST_CHANCE: Final = np.array([[0.417, 0.640, 0.539, 0.529, 0.708], [0.473, 0.661, 0.584, 0.574, 0.754]])
# log kills per logit of strength: favourites kill more, whether they win or lose
_STRENGTH_ON_KILLS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """How a map's pace varies: `shared` of the rate goes with the team's gamma factor, the rest with the player's own.

    Whole sizes, powers of two, keep the generating functions to a few multiplications.
    """

    shared: float
    team_size: int
    player_size: int


# lost, won: losing teammates rise and fall together (relative covariance 0.14 in real games), winners do not (-0.01)
SPREADS: Final = (Spread(0.5, 2, 2), Spread(0.2, 8, 8))


@dataclass(frozen=True, slots=True, eq=False)
class Prematch:
    """Parameters of all maps; axes: map, side (blue, red), outcome (lost, won), role, champion of the pool."""

    win: Floats  # map, side
    players: Integers  # map, side, role
    kills: Floats  # map, side, outcome, role: mean before the champion's factor
    assist_chance: Floats  # map, side, outcome, role
    picks: Floats  # map, role, blue's choice, red's choice: joint probability, 0 where both want the same champion
    champions: Integers  # map, side, role, choice
    champion_kills: Floats  # map, side, role, choice: factor

    def pick_probability(self) -> Floats:
        """The chance of each choice by itself: map, side, role, choice."""
        return np.stack([self.picks.sum(axis=3), self.picks.sum(axis=2)], axis=1)

    def rows(self, start: int, stop: int) -> Prematch:
        """The maps from `start` to before `stop`."""
        return Prematch(
            win=self.win[start:stop],
            players=self.players[start:stop],
            kills=self.kills[start:stop],
            assist_chance=self.assist_chance[start:stop],
            picks=self.picks[start:stop],
            champions=self.champions[start:stop],
            champion_kills=self.champion_kills[start:stop],
        )


def prematch_of(world: World, maps: list[Map]) -> Prematch:
    """The parameters of the given maps."""
    split = np.array([m.split for m in maps])
    teams = np.array([(m.blue, m.red) for m in maps])
    patch = np.array([world.patches.index_at(m.series_start.date()) for m in maps])
    players = world.rosters[split[:, None], teams]
    blue = np.array([blue_win_probability(world, m.split, m.blue, m.red) for m in maps])
    champions = np.array([player.pool for player in world.players])[players]
    return Prematch(
        win=np.stack([blue, 1.0 - blue], axis=1),
        players=players,
        kills=_kill_means(world, maps, players, patch),
        assist_chance=_assist_chances(world, players),
        picks=_joint_picks(world, players, champions, patch),
        champions=champions,
        champion_kills=world.champion_kills[patch[:, None, None, None], champions],
    )


def _kill_means(world: World, maps: list[Map], players: Integers, patch: Integers) -> Floats:
    split = np.array([m.split for m in maps])
    teams = np.array([(m.blue, m.red) for m in maps])
    strength = world.strength[split[:, None, None], players].sum(axis=2)
    edge = strength - strength[:, ::-1]
    pace = np.array([world.leagues[m.league].pace for m in maps]) * world.patch_pace[patch]
    style = world.team_style[split[:, None], teams].sum(axis=1)
    team = (pace * np.exp(style))[:, None] * np.exp(_STRENGTH_ON_KILLS * edge)
    skill = np.exp(np.array([player.kill_skill for player in world.players]))[players]
    means: Floats = _KILLS * team[:, :, None, None] * skill[:, :, None, :]
    return means


def _assist_chances(world: World, players: Integers) -> Floats:
    skill = np.array([player.assist_skill for player in world.players])[players]
    logit = np.log(_ASSIST_CHANCE / (1.0 - _ASSIST_CHANCE)) + skill[:, :, None, :]
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _joint_picks(world: World, players: Integers, champions: Integers, patch: Integers) -> Floats:
    """Both players of a role pick by comfort and patch, independently but for never picking the same champion."""
    comfort = np.array([player.comfort for player in world.players])[players]
    weight = np.exp(comfort + world.meta[patch[:, None, None, None], champions])
    joint = weight[:, 0, :, :, None] * weight[:, 1, :, None, :]
    joint[champions[:, 0, :, :, None] == champions[:, 1, :, None, :]] = 0.0
    total: Floats = joint.sum(axis=(2, 3), keepdims=True)
    return joint / total
