"""The simulated season: what a newcomer without data ingests, and whose true distributions are known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from pipelines.season.economy import draw_economy
from pipelines.season.export import Season, season_frame, write_matches, write_truth
from pipelines.season.play import play_maps, start_times
from pipelines.season.prematch import prematch_of
from pipelines.season.schedule import play_schedule
from pipelines.season.splits import splits_until
from pipelines.season.truth import truth_of
from pipelines.season.world import build_world

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_END", "DEFAULT_GAMES", "DEFAULT_SEED", "SeasonFiles", "write_season"]

DEFAULT_SEED: Final = 2026
DEFAULT_GAMES: Final = 1_400
DEFAULT_END: Final = date(2026, 5, 31)  # fixed: the files of a seed never depend on today


@dataclass(frozen=True, slots=True)
class SeasonFiles:
    """What was written, and how much of it."""

    csv_files: tuple[Path, ...]  # one a year, oldest first, all in `matches_folder`
    matches_folder: Path
    truth_file: Path
    leagues: int
    teams: int
    players: int  # who played at least one game
    series: int
    games: int
    rows: int  # of the CSV files, twelve a game
    truth_rows: int  # two props for each of ten players a game


def write_season(
    folder: Path, *, seed: int = DEFAULT_SEED, games: int = DEFAULT_GAMES, end: date = DEFAULT_END
) -> SeasonFiles:
    """Simulate the last five splits that ended by `end` and write them under `folder`.

    `folder/matches/` gets the CSV files, `folder/truth/truth.parquet` the distributions that nobody may train on.
    About `games` maps are played: series are never cut short. The same arguments give the same bytes.
    """
    if games < 1:
        raise ValueError(f"a season needs at least one game, not {games}")
    season_seed, play_seed = np.random.SeedSequence(seed).spawn(2)
    rng = np.random.default_rng(season_seed)
    world = build_world(rng, splits_until(end))
    maps = sorted(play_schedule(rng, world, games), key=lambda m: (m.series_start, m.series, m.number))
    prematch = prematch_of(world, maps)
    rng = np.random.default_rng(play_seed)
    played = play_maps(rng, world, maps, prematch)
    starts = start_times(rng, maps, played.length_s)
    season = Season(world, maps, starts, prematch.players, played, draw_economy(rng, played))
    frame = season_frame(season)
    truth_file = folder / "truth" / "truth.parquet"
    return SeasonFiles(
        csv_files=write_matches(frame, folder / "matches"),
        matches_folder=folder / "matches",
        truth_file=truth_file,
        leagues=len(world.leagues),
        teams=len(world.teams),
        players=len(np.unique(prematch.players)),
        series=len({m.series for m in maps}),
        games=len(maps),
        rows=frame.height,
        truth_rows=write_truth(season, truth_of(prematch), truth_file),
    )
