"""The maps as they are played: picks, kills, assists, deaths and lengths, drawn from the pre-match parameters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from pipelines.season.prematch import SPREADS

if TYPE_CHECKING:
    from pipelines.season.prematch import Prematch
    from pipelines.season.schedule import Map
    from pipelines.season.world import Floats, Integers, World

# shares of a team's deaths by role, as in real games
_DEATH_SHARES: Final = np.array([0.200, 0.210, 0.185, 0.172, 0.233])
_SHORTEST_S: Final = 1_140
_LONGEST_S: Final = 4_280


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What happened; axes: map, side (blue, red), role."""

    won: Integers  # map, side
    champions: Integers
    kills: Integers
    deaths: Integers
    assists: Integers
    length_s: Integers  # map
    bans: Integers  # map, side, five champions

    @property
    def team_kills(self) -> Integers:
        """Kills by map and side."""
        return np.asarray(self.kills.sum(axis=2), dtype=np.int64)


def play_maps(rng: np.random.Generator, world: World, maps: list[Map], prematch: Prematch) -> Played:
    """Draw every map given who wins it."""
    blue_won = np.array([m.blue_won for m in maps])
    won = np.stack([blue_won, ~blue_won], axis=1).astype(np.int64)
    champions, champion_kills = _draw_picks(rng, prematch)
    kills = _draw_kills(rng, prematch, won, champion_kills)
    teammates = kills.sum(axis=2, keepdims=True) - kills
    assists = rng.binomial(teammates, _of_outcome(prematch.assist_chance, won))
    deaths = rng.multinomial(kills.sum(axis=2)[:, ::-1], _DEATH_SHARES)
    return Played(
        won=won,
        champions=champions,
        kills=kills,
        deaths=deaths,
        assists=assists,
        length_s=_draw_lengths(rng, kills, prematch.win),
        bans=_draw_bans(rng, world, maps, champions),
    )


def start_times(rng: np.random.Generator, maps: list[Map], length_s: Integers) -> list[datetime]:
    """When each map starts: the first with its series, later ones a quarter of an hour after the one before."""
    breaks_s = rng.integers(720, 1_500, len(maps))
    delays_s = rng.integers(0, 900, len(maps))
    starts: list[datetime] = []
    for i, played in enumerate(maps):
        if played.number == 1:
            starts.append(played.series_start + timedelta(seconds=int(delays_s[i])))
        else:
            starts.append(starts[-1] + timedelta(seconds=int(length_s[i - 1] + breaks_s[i])))
    return starts


def _of_outcome(values: Floats, won: Integers) -> Floats:
    """From map, side, outcome, role to map, side, role."""
    return np.asarray(np.take_along_axis(values, won[:, :, None, None], axis=2)[:, :, 0, :])


def _draw_picks(rng: np.random.Generator, prematch: Prematch) -> tuple[Integers, Floats]:
    """Champions and their kill factors: map, side, role."""
    count, roles, pool, _ = prematch.picks.shape
    cumulative = prematch.picks.reshape(count, roles, pool * pool).cumsum(axis=2)
    draw = rng.random((count, roles, 1)) * cumulative[:, :, -1:]
    choice = (draw >= cumulative).sum(axis=2)
    picked = np.stack(np.divmod(choice, pool), axis=1)[..., None]
    champions = np.take_along_axis(prematch.champions, picked, axis=3)[..., 0]
    factors = np.take_along_axis(prematch.champion_kills, picked, axis=3)[..., 0]
    return champions, factors


def _draw_kills(rng: np.random.Generator, prematch: Prematch, won: Integers, champion_kills: Floats) -> Integers:
    """Poisson given the team's and the player's own gamma factor of the map."""
    shared = np.array([spread.shared for spread in SPREADS])[won][:, :, None]
    team_size = np.array([spread.team_size for spread in SPREADS])[won][:, :, None]
    player_size = np.array([spread.player_size for spread in SPREADS])[won][:, :, None]
    team = rng.gamma(team_size) / team_size
    player = rng.gamma(np.broadcast_to(player_size, champion_kills.shape)) / player_size
    pace = shared * team + (1.0 - shared) * champion_kills * player
    return np.asarray(rng.poisson(_of_outcome(prematch.kills, won) * pace))


def _draw_lengths(rng: np.random.Generator, kills: Integers, win: Floats) -> Integers:
    """Seconds: bloodier maps and even teams take longer."""
    evenness = 1.0 - 2.0 * np.abs(win[:, 0] - 0.5)
    usual = 1_470.0 + 13.5 * kills.sum(axis=(1, 2)) + 170.0 * evenness
    length = usual * np.exp(rng.normal(0.0, 0.135, usual.size))
    return np.asarray(np.clip(np.rint(length), _SHORTEST_S, _LONGEST_S), dtype=np.int64)


def _draw_bans(rng: np.random.Generator, world: World, maps: list[Map], champions: Integers) -> Integers:
    """Ten different champions that nobody picked, the strong ones of the patch first (Gumbel top ten)."""
    patch = np.array([world.patches.index_at(m.series_start.date()) for m in maps])
    score = 2.0 * world.meta[patch] + rng.gumbel(size=(len(maps), world.meta.shape[1]))
    np.put_along_axis(score, champions.reshape(len(maps), -1), -np.inf, axis=1)
    ten = np.argsort(-score, axis=1, kind="stable")[:, :10]
    return np.asarray(ten.reshape(len(maps), 5, 2).transpose(0, 2, 1))
