"""Who plays: leagues, teams, players with latent skills, rosters per split, champions and their strength per patch."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pipelines.season.names import CHAMPIONS_PER_ROLE, ROLES, champion_names, draw_handles, draw_team_names
from pipelines.season.splits import Patches, Split, patches_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

POOL: Final = 5  # champions a player is ready to pick
_TRANSFER_RATE: Final = 0.08  # of a league's seats change hands between splits
_ROOKIE_RATE: Final = 0.03
_KILL_SKILL_SD: Final = 0.13  # log scale; real players' means differ by 11 to 19%
_ASSIST_SKILL_SD: Final = 0.20  # logit scale
_STRENGTH_SD: Final = 0.32  # logit of a win, per player
_STRENGTH_MEMORY: Final = 0.85  # from one split to the next


@dataclass(frozen=True, slots=True)
class League:
    """A league: the format of its regular season and its habits."""

    name: str
    code: str
    team_count: int
    best_of: int
    pace: float  # times the usual number of kills
    start_hour: int  # UTC
    complete: bool  # False: its export lacks the values at 10, 15, 20 and 25 minutes


@dataclass(frozen=True, slots=True)
class Team:
    """A team, in one league for the whole season."""

    name: str
    team_id: str
    league: int


@dataclass(frozen=True, slots=True)
class Player:
    """A player and what no export shows: the latent skills."""

    handle: str
    player_id: str
    role: int
    kill_skill: float  # log of the factor on the mean of kills
    assist_skill: float  # added to the logit of the chance to assist a teammate's kill
    pool: tuple[int, ...]  # champions, ascending
    comfort: tuple[float, ...]  # log weight of each champion of the pool


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Everything that is drawn before the first game; arrays are indexed as their comments say."""

    leagues: tuple[League, ...]
    teams: tuple[Team, ...]
    players: tuple[Player, ...]
    champions: tuple[str, ...]
    splits: tuple[Split, ...]
    patches: Patches
    rosters: Integers  # split, team, role -> player
    strength: Floats  # split, player: logit of a win
    team_style: Floats  # split, team: log of the factor on all kills of its games
    meta: Floats  # patch, champion: log weight of a pick
    champion_kills: Floats  # patch, champion: factor on the picker's kills
    patch_pace: Floats  # patch: factor on all kills


LEAGUES: Final = (
    League("Northern Crown League", "NCL", 10, 1, 0.96, 16, complete=True),
    League("Verdant Coast Championship", "VCC", 10, 1, 1.03, 18, complete=True),
    League("Meridian Premier Circuit", "MPC", 8, 3, 1.00, 8, complete=True),
    League("Jade Gate League", "JGL", 8, 3, 1.07, 9, complete=False),
    League("Island Series", "ISL", 9, 3, 0.98, 11, complete=True),
)


def build_world(rng: np.random.Generator, splits: tuple[Split, ...], *, leagues: Sequence[League] = LEAGUES) -> World:
    """Draw a world; the same generator state gives the same world."""
    patches = patches_of(splits)
    teams = _draw_teams(rng, leagues)
    rosters, roles = _draw_rosters(rng, teams, len(splits))
    meta = _walk(rng, (patches.count, len(champion_names())), sd=0.6, memory=0.9)
    lethality = rng.normal(0.0, 0.10, meta.shape[1])
    return World(
        leagues=tuple(leagues),
        teams=teams,
        players=_draw_players(rng, roles),
        champions=champion_names(),
        splits=splits,
        patches=patches,
        rosters=rosters,
        strength=_walk(rng, (len(splits), len(roles)), sd=_STRENGTH_SD, memory=_STRENGTH_MEMORY),
        team_style=_walk(rng, (len(splits), len(teams)), sd=0.05, memory=0.7),
        meta=meta,
        champion_kills=np.exp(lethality + 0.08 * meta),
        patch_pace=np.exp(_walk(rng, (patches.count, 1), sd=0.04, memory=0.7)[:, 0]),
    )


def _walk(rng: np.random.Generator, shape: tuple[int, int], *, sd: float, memory: float) -> Floats:
    """Rows that remember the row before, every row with standard deviation `sd`."""
    rows = rng.normal(0.0, sd, shape)
    for i in range(1, shape[0]):
        rows[i] = memory * rows[i - 1] + np.sqrt(1.0 - memory**2) * rows[i]
    return rows


def _draw_teams(rng: np.random.Generator, leagues: Sequence[League]) -> tuple[Team, ...]:
    owners = [index for index, league in enumerate(leagues) for _ in range(league.team_count)]
    names = draw_team_names(rng, len(owners))
    return tuple(Team(name, _source_id("team", name), league) for name, league in zip(names, owners, strict=True))


def _draw_rosters(rng: np.random.Generator, teams: tuple[Team, ...], split_count: int) -> tuple[Integers, list[int]]:
    """Rosters per split and the role of every player: seats swap within a league, rookies replace who retires."""
    roles = [role for _ in teams for role in range(len(ROLES))]
    seats = np.arange(len(roles)).reshape(len(teams), len(ROLES))
    league_of = np.array([team.league for team in teams])
    rosters = [seats]
    for _ in range(split_count - 1):
        seats = seats.copy()
        for league in np.unique(league_of):
            own = np.flatnonzero(league_of == league)
            for _ in range(max(1, round(_TRANSFER_RATE * own.size * len(ROLES) / 2))):
                one, other = rng.choice(own, 2, replace=False)
                role = int(rng.integers(len(ROLES)))
                seats[[one, other], role] = seats[[other, one], role]
        for team, role in np.argwhere(rng.random(seats.shape) < _ROOKIE_RATE):
            seats[team, role] = len(roles)
            roles.append(int(role))
        rosters.append(seats)
    return np.stack(rosters), roles


def _draw_players(rng: np.random.Generator, roles: list[int]) -> tuple[Player, ...]:
    handles = draw_handles(rng, len(roles))
    players = []
    for handle, role in zip(handles, roles, strict=True):
        within = np.sort(rng.choice(CHAMPIONS_PER_ROLE, POOL, replace=False))
        kill_skill, assist_skill = rng.normal(0.0, (_KILL_SKILL_SD, _ASSIST_SKILL_SD))
        pool = tuple(int(champion) for champion in within + role * CHAMPIONS_PER_ROLE)
        comfort = tuple(float(weight) for weight in rng.normal(0.0, 0.7, POOL))
        player_id = _source_id("player", handle)
        players.append(Player(handle, player_id, role, float(kill_skill), float(assist_skill), pool, comfort))
    return tuple(players)


def _source_id(kind: str, name: str) -> str:
    """An id as Oracle's Elixir writes it: 31 hexadecimal digits, the same for a name whatever the seed."""
    return f"oe:{kind}:{blake2b(name.encode(), digest_size=16).hexdigest()[:31]}"
