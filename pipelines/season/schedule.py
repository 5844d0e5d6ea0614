"""Who meets whom, when, and who wins: the series of every league and split, map by map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.season.world import World

BLUE_EDGE: Final = 0.12  # logit: blue wins 53% between equals
_MAPS_PER_SERIES: Final = {1: 1.0, 3: 2.45, 5: 4.1}  # expected, between teams of a league
_PLAYOFF_MAPS: Final = 3 * _MAPS_PER_SERIES[5]
_PLAYOFF_DAYS: Final = 9
_SMALLEST_WITH_PLAYOFFS: Final = 25  # maps; below it a split has only its regular season


@dataclass(frozen=True, slots=True)
class Map:
    """One game of a series with its winner; indices point into the world."""

    series: int
    number: int  # 1 for the first map
    best_of: int
    playoffs: bool
    split: int
    league: int
    series_start: datetime  # naive UTC; later maps start when the one before has ended
    blue: int
    red: int
    blue_won: bool


@dataclass(frozen=True, slots=True)
class Fixture:
    """A series before it is played."""

    split: int
    league: int
    home: int
    away: int
    best_of: int
    playoffs: bool
    start: datetime


def blue_win_probability(world: World, split: int, blue: int, red: int) -> float:
    """The chance that the blue team wins a map, known before it from the latent strengths."""
    strength = world.strength[split][world.rosters[split]].sum(axis=1)
    return float(1.0 / (1.0 + np.exp(-(BLUE_EDGE + strength[blue] - strength[red]))))


def play_schedule(rng: np.random.Generator, world: World, games: int) -> list[Map]:
    """Play about `games` maps over all leagues and splits, in order of league within split."""
    natural = [
        league.team_count * (league.team_count - 1) / 2 * _MAPS_PER_SERIES[league.best_of] + _PLAYOFF_MAPS
        for league in world.leagues
    ]
    maps: list[Map] = []
    for split in range(len(world.splits)):
        for league, weight in enumerate(natural):
            target = games * weight / sum(natural) / len(world.splits)
            _play_split(rng, world, maps, (split, league, target))
    return maps


def _play_split(rng: np.random.Generator, world: World, maps: list[Map], part: tuple[int, int, float]) -> None:
    split, league, target = part
    best_of = world.leagues[league].best_of
    playoffs = target >= _SMALLEST_WITH_PLAYOFFS
    count = max(1, round((target - _PLAYOFF_MAPS * playoffs) / _MAPS_PER_SERIES[best_of]))
    teams = [int(i) for i in rng.permutation([i for i, team in enumerate(world.teams) if team.league == league])]
    wins = dict.fromkeys(teams, 0)
    starts = _regular_starts(world, split, league, count)
    for start, (home, away) in zip(starts, islice(_pairings(teams), count), strict=True):
        wins[
            _play_series(rng, world, maps, Fixture(split, league, home, away, best_of, playoffs=False, start=start))
        ] += 1
    if playoffs:
        seeds = sorted(teams, key=lambda team: -wins[team])[:4]
        _play_playoffs(rng, world, maps, (split, league), seeds)


def _play_playoffs(
    rng: np.random.Generator, world: World, maps: list[Map], part: tuple[int, int], seeds: list[int]
) -> None:
    """Two semifinals and a final, best of five, on the last days of the split."""
    split, league = part
    last = datetime.combine(world.splits[split].last_day, time(world.leagues[league].start_hour))

    def winner(home: int, away: int, days_before_end: int) -> int:
        start = last - timedelta(days=days_before_end)
        return _play_series(rng, world, maps, Fixture(split, league, home, away, 5, playoffs=True, start=start))

    finalists = winner(seeds[0], seeds[3], 7), winner(seeds[1], seeds[2], 6)
    winner(*finalists, 0)


def _pairings(teams: list[int]) -> Iterator[tuple[int, int]]:
    """Round robin by the circle method, again and again; an odd league has one team rest each round."""
    ring: list[int | None] = [*teams, None] if len(teams) % 2 else [*teams]
    half = len(ring) // 2
    for turn in cycle(range(len(ring) - 1)):
        rotated = [ring[0], *ring[1 + turn :], *ring[1 : 1 + turn]]
        for home, away in zip(rotated[:half], reversed(rotated[half:]), strict=True):
            if home is not None and away is not None:
                yield home, away


def _regular_starts(world: World, split: int, league: int, count: int) -> list[datetime]:
    """Series spread evenly over the days before the playoffs, one after the other within a day."""
    days = world.splits[split].days - _PLAYOFF_DAYS
    opening = datetime.combine(world.splits[split].first_day, time(world.leagues[league].start_hour))
    day_of = [index * days // count for index in range(count)]
    apart_h = min(3.0, 14.0 / (max(1, -(-count // days))))
    return [opening + timedelta(days=day, hours=apart_h * (i - day_of.index(day))) for i, day in enumerate(day_of)]


def _play_series(rng: np.random.Generator, world: World, maps: list[Map], fixture: Fixture) -> int:
    """Play maps until one team has a majority; the loser of a map takes blue in the next. Returns the winner."""
    wins = {fixture.home: 0, fixture.away: 0}
    blue, red = (fixture.home, fixture.away) if rng.random() < 0.5 else (fixture.away, fixture.home)
    series = maps[-1].series + 1 if maps else 0
    while max(wins.values()) <= fixture.best_of // 2:
        blue_won = bool(rng.random() < blue_win_probability(world, fixture.split, blue, red))
        maps.append(
            Map(
                series=series,
                number=sum(wins.values()) + 1,
                best_of=fixture.best_of,
                playoffs=fixture.playoffs,
                split=fixture.split,
                league=fixture.league,
                series_start=fixture.start,
                blue=blue,
                red=red,
                blue_won=blue_won,
            )
        )
        wins[blue if blue_won else red] += 1
        blue, red = (red, blue) if blue_won else (blue, red)
    return max(wins, key=lambda team: wins[team])
