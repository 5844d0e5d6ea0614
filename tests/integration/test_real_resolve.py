"""All real match files, read and cleaned, resolved to silver tables at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.cleaning import RowRejected, clean_row
from pipelines.lineups import Reason
from pipelines.resolve import Resolved, resolve
from pipelines.silver_rows import to_arrow
from pipelines.sources import read_source
from stores.lake.tables import MATCH_RESULTS, PLAYER_PERFORMANCE, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.real_data

INGESTED = datetime(2026, 6, 1, tzinfo=UTC)
BRION = "HANJIN BRION"


def cleaned(file: Path) -> Iterator[dict[str, object]]:
    """The candidate rows of one file, without those that cleaning rejects."""
    source = read_source(str(file))
    for row in source.rows:
        origin = {
            "source": source.source,
            "source_sha256": source.sha256,
            "layout": str(source.layout),
            "row_number": row.row_number,
            "ingested_at": INGESTED,
        }
        try:
            yield origin | clean_row(source.layout, row.payload)
        except RowRejected:
            continue


@pytest.fixture(scope="module")
def candidates(real_data_dir: Path) -> pl.DataFrame:
    """The candidates of all files: nine top leagues, the wide files and the historic layouts."""
    files = sorted([*(real_data_dir / "lol").glob("*.parquet"), *(real_data_dir / "formats").glob("*.csv.gz")])
    return pl.DataFrame([row for file in files for row in cleaned(file)], schema=CANDIDATE_SCHEMA)


@pytest.fixture(scope="module")
def silver(candidates: pl.DataFrame) -> Resolved:
    """Everything resolved once."""
    return resolve(candidates, "test")


@pytest.fixture(scope="module")
def top_league(candidates: pl.DataFrame) -> pl.DataFrame:
    """The players' rows of the top-league layout."""
    return candidates.filter(pl.col("participant_id").is_null() & (pl.col("position") != "team"))


def test_the_books_balance(candidates: pl.DataFrame, silver: Resolved) -> None:
    """Every row of every file is accounted for, the 782 games of both sources merged."""
    silver.counts.check()
    assert silver.counts.rows_in == candidates.height
    assert silver.counts.merged == 7820
    assert silver.counts.superseded == 4560  # 380 games of the historic samples lie in the wide files as well
    assert silver.counts.contradictions == 0


def test_every_top_league_game_is_there(top_league: pl.DataFrame, silver: Resolved) -> None:
    """All 4,126 games of the top leagues have ten players, with the counts of the file."""
    games = top_league.select("match_id").unique()
    assert games.height == 4126
    of_games = silver.players.join(games, on="match_id", how="semi")
    assert of_games.group_by("match_id").len()["len"].unique().to_list() == [10]
    key = ["match_id", "position", "champion"]
    both = of_games.join(top_league, on=key, suffix="_given")
    assert both.height == 41260
    for name in ("kills", "deaths", "assists", "team_kills", "won", "tournament", "patch_version", "game_number"):
        assert (both[name] == both[f"{name}_given"]).all(), name


def test_the_tables_fit_their_schemas(silver: Resolved) -> None:
    """The rows convert to Arrow without loss."""
    assert to_arrow(silver.players, PLAYER_PERFORMANCE.schema).num_rows == silver.players.height
    assert to_arrow(silver.matches, MATCH_RESULTS.schema).num_rows == silver.matches.height
    assert to_arrow(silver.quarantined, QUARANTINE.schema).num_rows == silver.counts.quarantined


def test_merged_games_have_sides_and_rich_columns(silver: Resolved) -> None:
    """A game that both sources hold knows its sides, its objectives and who was where."""
    merged = silver.players.filter(pl.col("data_source").str.contains("+", literal=True))
    assert merged.height == 7820
    assert merged["side"].is_not_null().all()
    assert merged["damage_to_champions"].is_not_null().all()
    games = silver.matches.join(merged.select("match_id").unique(), on="match_id", how="semi")
    assert games["side_known"].all()
    assert games["blue_towers"].is_not_null().all()


def test_only_known_faults_are_quarantined(silver: Resolved) -> None:
    """Unknown players go alone; five games of 2024 name one player as jungler and as support."""
    by_reason = silver.quarantined.group_by("reason").agg(pl.len(), pl.col("match_id").n_unique()).sort("reason").rows()
    assert by_reason == [(Reason.SAME_PLAYER, 60, 5), (Reason.UNKNOWN_PLAYER, 261, 68)]


def test_games_of_unknown_teams_keep_their_players(candidates: pl.DataFrame, silver: Resolved) -> None:
    """The 35 games in which both teams are unknown are told apart by side."""
    wide = candidates.filter(pl.col("participant_id") <= 10)
    nameless = wide.group_by("match_id").agg(pl.col("team").is_null().all().alias("both")).filter("both")
    assert nameless.height == 35
    games = silver.matches.join(nameless, on="match_id", how="semi")
    assert games.height == 35
    assert games["blue_team"].is_null().all()
    assert games["blue_kills"].is_not_null().all()


def test_an_id_has_one_name(silver: Resolved) -> None:
    """Players and teams are shown by one name each."""
    assert silver.players.group_by("player_id").agg(pl.col("player_name").n_unique())["player_name"].max() == 1
    teams = silver.players.drop_nulls("team_id").group_by("team_id").agg(pl.col("team").n_unique())
    assert teams["team"].max() == 1


def test_ids_of_several_names_are_one_player(candidates: pl.DataFrame, silver: Resolved) -> None:
    """The ten ids that the wide files spell in several ways stay one player under one name."""
    spelt = candidates.drop_nulls("source_player_id").group_by("source_player_id").agg(pl.col("player_name").n_unique())
    several = spelt.filter(pl.col("player_name") > 1)
    assert several.height == 10
    shown = silver.players.join(several, left_on="player_id", right_on="source_player_id", how="semi")
    assert shown.select("player_id", "player_name").n_unique() == 10


@pytest.mark.parametrize(
    ("name", "team", "id_end"),
    [
        ("Shanks", "Anyone's Legend", "f89f04"),
        ("Shanks", "Anubis Gaming", "e9e393"),
        ("Smash", "T1", "2c34ff"),
        ("Smash", "Dplus Kia", "3e1f6c"),
    ],
)
def test_namesakes_keep_their_own_ids(silver: Resolved, name: str, team: str, id_end: str) -> None:
    """Names with two ids mean, game by game, the one of the player's team."""
    rows = silver.players.filter(player_name=name, team=team)
    assert rows["player_id"].str.slice(-6).unique().to_list() == [id_end]


def test_names_learned_from_games_of_both_sources(silver: Resolved, top_league: pl.DataFrame) -> None:
    """Reeker of the top-league files is the wide files' RKR, not another Reeker."""
    asked = top_league.filter(player_name="Reeker").select("match_id", "position", "champion")
    found = silver.players.join(asked, on=["match_id", "position", "champion"], how="semi")
    assert found.height == asked.height > 6
    assert found["player_id"].str.slice(-6).unique().to_list() == ["c022a7"]


def test_a_rebranded_team_is_one_team(silver: Resolved) -> None:
    """BRION of 2024, 2025 and 2026 is one team under its newest name, though the source gave it two ids."""
    brion = silver.players.filter(pl.col("team").str.contains("BRION") & ~pl.col("team").str.contains("Challengers"))
    assert brion["team"].unique().to_list() == [BRION]
    assert brion["team_id"].n_unique() == 1
    assert brion["started_at"].dt.year().unique().sort().to_list() == [2024, 2025, 2026]


def test_most_players_have_an_id(silver: Resolved, top_league: pl.DataFrame) -> None:
    """All but 800 of the top leagues' 41,260 rows are joined to an id of the source."""
    rows = silver.players.join(top_league.select("match_id").unique(), on="match_id", how="semi")
    assert rows["player_id"].str.starts_with("name:").sum() < 800


def test_series_are_plausible(silver: Resolved, top_league: pl.DataFrame) -> None:
    """A top-league series has at most five games, numbered one after another, named for its first game."""
    games = silver.matches.join(top_league.select("match_id").unique(), on="match_id", how="semi")
    series = games.sort("started_at", "game_number").group_by("series_id", maintain_order=True)
    numbers = series.agg("game_number", pl.col("match_id").first())
    assert numbers["game_number"].list.len().max() == 5
    assert (numbers["series_id"] == numbers["match_id"]).all()
    odd = [found for found in numbers["game_number"] if any(after != before + 1 for before, after in pairwise(found))]
    assert not odd
    whole = numbers.filter(pl.col("game_number").list.first() == 1).height
    assert whole / numbers.height > 0.99


def test_resolving_is_fast_and_does_not_depend_on_order(candidates: pl.DataFrame, silver: Resolved) -> None:
    """The files in another order give the same tables, within seconds."""
    shuffled = candidates.sample(fraction=1, shuffle=True, seed=7)
    began = time.perf_counter()
    again = resolve(shuffled, "test")
    assert time.perf_counter() - began < 10  # about 1 s alone; the bound leaves room for a busy machine
    assert again.players.equals(silver.players)
    assert again.matches.equals(silver.matches)
    assert again.quarantined.equals(silver.quarantined)
