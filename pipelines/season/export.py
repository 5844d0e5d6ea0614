"""A played season as files: CSV in the Oracle's Elixir layout of 2025, and the truth as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.season.economy import MINUTES
from pipelines.season.names import ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from pipelines.season.economy import Economy
    from pipelines.season.play import Played
    from pipelines.season.schedule import Map
    from pipelines.season.truth import Truth
    from pipelines.season.world import Integers, World

ROWS_PER_GAME: Final = 12  # five blue players, five red players, two teams
_NAME: Final = "simulated_season.csv"
_AT_MINUTES: Final = tuple(
    name
    for minute in MINUTES
    for prefix in ("{}at", "opp_{}at", "{}diffat")
    for name in (prefix.format(value) + str(minute) for value in ("gold", "xp", "cs"))
)
# in the order of the real header, of which these are the columns we have values for
HEADER: Final = (
    *("gameid", "datacompleteness", "url", "league", "year", "split", "playoffs", "date", "game", "patch"),
    *("participantid", "side", "position", "playername", "playerid", "teamname", "teamid", "champion"),
    *(f"ban{i}" for i in range(1, 6)),
    *(f"pick{i}" for i in range(1, 6)),
    *("gamelength", "result", "kills", "deaths", "assists", "teamkills", "teamdeaths", "firstblood"),
    *("team kpm", "ckpm", "firstdragon", "dragons", "opp_dragons", "heralds", "opp_heralds"),
    *("void_grubs", "opp_void_grubs", "firstbaron", "barons", "opp_barons", "firsttower", "towers", "opp_towers"),
    *("turretplates", "opp_turretplates", "inhibitors", "opp_inhibitors", "damagetochampions", "dpm", "damageshare"),
    *("damagetakenperminute", "damagemitigatedperminute", "wardsplaced", "wpm", "wardskilled", "wcpm"),
    *("controlwardsbought", "visionscore", "vspm", "totalgold", "earnedgold", "earned gpm", "earnedgoldshare"),
    *("goldspent", "total cs", "minionkills", "monsterkills", "cspm"),
    *_AT_MINUTES,
)
_PLAYERS_ONLY: Final = ("total cs",)  # as in the real files: a team row has its minions and monsters apart


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """A season ready to be written; every field speaks of the same maps in the same order."""

    world: World
    maps: list[Map]
    starts: list[datetime]
    players: Integers  # map, side, role
    played: Played
    economy: Economy

    @property
    def game_ids(self) -> list[str]:
        return [f"SIM{m.league + 1:02d}_{100_001 + i}" for i, m in enumerate(self.maps)]


def season_frame(season: Season) -> pl.DataFrame:
    """All rows of all years, by date."""
    columns = _game_columns(season) | _identity_columns(season) | _result_columns(season) | _economy_columns(season)
    partial = pl.col("datacompleteness") == "partial"
    return (
        pl.DataFrame([columns[name].alias(name) for name in HEADER])
        .with_columns(pl.when(~partial).then(pl.col(name)).alias(name) for name in _AT_MINUTES)
        .sort("date", "gameid", "participantid")
    )


def write_matches(frame: pl.DataFrame, folder: Path) -> tuple[Path, ...]:
    """One CSV a year; a season written here before is replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob(f"*_{_NAME}"):
        earlier.unlink()
    paths = []
    for (year,), rows in frame.group_by("year", maintain_order=True):
        path = folder / f"{year}_{_NAME}"
        rows.write_csv(path)
        paths.append(path)
    return tuple(paths)


def write_truth(season: Season, truth: Truth, path: Path) -> int:
    """One row per player-game and prop: the probabilities of the counts 0, 1, ... Returns the rows written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handles = np.array([player.handle for player in season.world.players])[season.players].ravel()
    one = {
        "gameid": np.repeat(season.game_ids, 2 * len(ROLES)),
        "playername": handles,
        "position": np.tile(ROLES, handles.size // len(ROLES)),
    }
    columns = {name: np.concatenate([values, values]) for name, values in one.items()}
    columns["prop_type"] = np.repeat(["kills", "assists"], handles.size)
    pmf = np.concatenate([truth.kills, truth.assists]).reshape(2 * handles.size, -1)
    offsets = np.arange(len(pmf) + 1, dtype=np.int32) * pmf.shape[1]
    table = pa.table({name: pa.array(values.tolist(), pa.string()) for name, values in columns.items()})
    table = table.append_column("pmf", pa.ListArray.from_arrays(pa.array(offsets), pa.array(pmf.ravel())))
    pq.write_table(table, path, compression="zstd", use_dictionary=list(columns))
    return len(pmf)


def is_simulated(source: str) -> bool:
    """Whether a source of this name is a match file of a simulated season."""
    return source.endswith(f"_{_NAME}")


def _per_game(values: Sequence[object]) -> pl.Series:
    return pl.Series(np.repeat(np.array(values), ROWS_PER_GAME))


def _rows(players: npt.NDArray[np.generic] | None, teams: npt.NDArray[np.generic] | None) -> pl.Series:
    """From map, side, role and map, side to rows; what is left out is null."""
    given = players if players is not None else teams
    if given is None:
        raise ValueError("a column needs the players' values, the teams', or both")
    count = len(given)
    text = given.dtype.kind in "UO"
    absent = None if text else np.nan
    dtype = object if text else np.float64
    ten = np.full((count, 10), absent, dtype) if players is None else players.reshape(count, 10)
    two = np.full((count, 2), absent, dtype) if teams is None else teams
    whole = given.dtype.kind in "iu"
    flat = np.concatenate([ten.astype(dtype), two.astype(dtype)], axis=1).ravel()
    if text:
        return pl.Series(flat.tolist(), dtype=pl.String)
    series = pl.Series(flat, nan_to_null=True)
    return series.cast(pl.Int64) if whole else series.round(4)


def _game_columns(season: Season) -> dict[str, pl.Series]:
    world, maps = season.world, season.maps
    leagues = [world.leagues[m.league] for m in maps]
    patches = [world.patches.index_at(m.series_start.date()) for m in maps]
    total = season.played.team_kills.sum(axis=1) / (season.played.length_s / 60.0)
    return {
        "gameid": _per_game(season.game_ids),
        "datacompleteness": _per_game(["complete" if league.complete else "partial" for league in leagues]),
        "url": pl.repeat(None, len(maps) * ROWS_PER_GAME, dtype=pl.String, eager=True),
        "league": _per_game([league.code for league in leagues]),
        "year": _per_game([world.splits[m.split].year for m in maps]),
        "split": _per_game([world.splits[m.split].name for m in maps]),
        "playoffs": _per_game([int(m.playoffs) for m in maps]),
        "date": _per_game([f"{start:%Y-%m-%d %H:%M:%S}" for start in season.starts]),
        "game": _per_game([m.number for m in maps]),
        "patch": _per_game([world.patches.version(patch) for patch in patches]),
        "gamelength": _per_game(season.played.length_s.tolist()),
        "ckpm": _per_game(total.tolist()).round(4),
    }


def _identity_columns(season: Season) -> dict[str, pl.Series]:
    world, count = season.world, len(season.maps)
    shape = (count, 2, len(ROLES))
    teams = np.array([(m.blue, m.red) for m in season.maps])
    names = np.array([team.name for team in world.teams], dtype=object)[teams]
    ids = np.array([team.team_id for team in world.teams], dtype=object)[teams]
    champions = np.array(world.champions, dtype=object)
    picked = champions[season.played.champions]
    bans = champions[season.played.bans]

    def of_team(values: npt.NDArray[np.generic]) -> pl.Series:
        return _rows(np.broadcast_to(values[:, :, None], shape), values)

    sides = np.broadcast_to(np.array(["Blue", "Red"], dtype=object), (count, 2))
    columns = {
        "participantid": pl.Series(np.tile([*range(1, 11), 100, 200], count)),
        "side": of_team(sides),
        "position": pl.Series([*ROLES, *ROLES, "team", "team"] * count),
        "playername": _rows(np.array([p.handle for p in world.players], dtype=object)[season.players], None),
        "playerid": _rows(np.array([p.player_id for p in world.players], dtype=object)[season.players], None),
        "teamname": of_team(names),
        "teamid": of_team(ids),
        "champion": _rows(picked, None),
    }
    columns |= {f"ban{i + 1}": of_team(bans[:, :, i]) for i in range(bans.shape[2])}
    return columns | {f"pick{i + 1}": _rows(None, picked[:, :, i]) for i in range(len(ROLES))}


def _result_columns(season: Season) -> dict[str, pl.Series]:
    played = season.played
    columns = {name: getattr(played, name) for name in ("kills", "deaths", "assists")}
    of_team = {
        "result": played.won,
        "teamkills": played.team_kills,
        "teamdeaths": played.deaths.sum(axis=2),
        "team kpm": played.team_kills / (played.length_s / 60.0)[:, None],
    }
    return {name: _rows(values, values.sum(axis=2)) for name, values in columns.items()} | {
        name: _rows(np.broadcast_to(values[:, :, None], played.kills.shape), values) for name, values in of_team.items()
    }


def _economy_columns(season: Season) -> dict[str, pl.Series]:
    economy = season.economy
    columns = {name: _rows(values, None) for name, values in economy.shares.items()}
    for name, summed in (economy.counts | economy.rates | economy.at_minute).items():
        columns[name] = _rows(summed, None if name in _PLAYERS_ONLY else summed.sum(axis=2))
    columns |= {name: _rows(None, values) for name, values in economy.objectives.items()}
    at_minute = columns.keys() & set(_AT_MINUTES)
    return columns | {name: columns[name].cast(pl.Int64) for name in at_minute}
