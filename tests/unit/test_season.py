"""The simulated season: its files hold together, look like the real ones, and its truth is the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from pipelines.season import SeasonFiles, write_season
from pipelines.season.export import HEADER
from pipelines.season.names import ROLES, champion_names
from pipelines.season.play import play_maps
from pipelines.season.prematch import Prematch, prematch_of
from pipelines.season.schedule import play_schedule
from pipelines.season.splits import Patches, splits_until
from pipelines.season.truth import SUPPORT, truth_of
from pipelines.season.world import LEAGUES, build_world

if TYPE_CHECKING:
    from pathlib import Path

# means of nine top leagues in 2025 and 2026
REAL_KILLS = {"top": 2.65, "jng": 3.09, "mid": 3.46, "bot": 4.45, "sup": 0.71}
REAL_ASSISTS = {"top": 5.33, "jng": 7.37, "mid": 6.21, "bot": 5.54, "sup": 10.09}
REAL_KILLS_VARIANCE = {"top": 4.74, "jng": 6.10, "mid": 6.94, "bot": 10.45, "sup": 0.96}
REAL_ASSISTS_VARIANCE = {"top": 14.5, "jng": 20.6, "mid": 16.7, "bot": 13.4, "sup": 33.2}
BEST_OF = {league.code: league.best_of for league in LEAGUES}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SeasonFiles:
    return write_season(tmp_path_factory.mktemp("season"))


@pytest.fixture(scope="module")
def rows(files: SeasonFiles) -> pl.DataFrame:
    read = [pl.read_csv(path, schema_overrides={"patch": pl.String}) for path in files.csv_files]
    return pl.concat(read, how="vertical_relaxed")


@pytest.fixture(scope="module")
def players(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("position") != "team")


@pytest.fixture(scope="module")
def truth(files: SeasonFiles, players: pl.DataFrame) -> pl.DataFrame:
    """The truth beside what happened."""
    counts = players.unpivot(
        ["kills", "assists"], index=["gameid", "playername"], variable_name="prop_type", value_name="count"
    )
    return pl.read_parquet(files.truth_file).join(counts, on=["gameid", "playername", "prop_type"], how="inner")


def _pmf(truth: pl.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return truth["pmf"].explode().to_numpy().reshape(truth.height, SUPPORT)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Two seasons of a seed are equal to the byte, and another seed's differs in every file."""
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write_season(tmp_path / name, seed=seed, games=150)
    one, two, other = (_digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)
    assert len(set(one.values())) == len(one)


def test_a_season_replaces_the_one_before(tmp_path: Path) -> None:
    """Years that the new season does not have do not stay behind to be ingested with it."""
    write_season(tmp_path, games=20, end=date(2024, 6, 1))
    files = write_season(tmp_path, games=20)
    assert sorted(files.matches_folder.iterdir()) == sorted(files.csv_files)
    assert [path.name[:4] for path in files.csv_files] == ["2025", "2026"]


def test_a_season_needs_a_game(tmp_path: Path) -> None:
    """A count below one is refused before anything is written."""
    with pytest.raises(ValueError, match="at least one game"):
        write_season(tmp_path, games=0)
    assert not list(tmp_path.iterdir())


def test_counts_are_as_reported(files: SeasonFiles, rows: pl.DataFrame, truth: pl.DataFrame) -> None:
    """The summary matches the files, and every player-game has its truth for both props."""
    assert abs(files.games - 1_400) < 70
    assert files.rows == rows.height == 12 * files.games
    assert files.truth_rows == truth.height == 20 * files.games
    assert files.teams == rows["teamname"].n_unique()
    assert files.players == rows["playername"].drop_nulls().n_unique()
    assert tuple(rows.columns) == HEADER


def test_twelve_rows_a_game(rows: pl.DataFrame) -> None:
    """Ten participants by role and side and two teams, with one length, date and patch."""
    games = rows.group_by("gameid").agg(
        pl.col("participantid").sort(),
        pl.col("side").eq("Blue").sum().alias("blue"),
        pl.col("champion").n_unique().alias("champions"),  # ten and the teams' null
        pl.struct("date", "patch", "gamelength", "game", "league").n_unique().alias("kinds"),
    )
    assert games["participantid"].map_elements(list, pl.Object).to_list() == [[*range(1, 11), 100, 200]] * games.height
    assert (games["blue"] == 6).all()
    assert (games["champions"] == 11).all()
    assert (games["kinds"] == 1).all()
    order = rows.sort("gameid", "participantid")["position"].to_list()
    assert order == [*ROLES, *ROLES, "team", "team"] * games.height


def test_sums_of_a_game_agree(rows: pl.DataFrame) -> None:
    """Kills are the opponents' deaths, one side wins, and nobody assists a kill that was not a teammate's."""
    teams = rows.filter(pl.col("position") == "team")
    sums = rows.filter(pl.col("position") != "team").group_by("gameid", "side").agg(pl.col("kills", "deaths").sum())
    joined = teams.join(sums, on=["gameid", "side"], suffix="_players")
    assert (joined["teamkills"] == joined["kills_players"]).all()
    assert (joined["teamdeaths"] == joined["deaths_players"]).all()
    both = teams.filter(pl.col("side") == "Blue").join(
        teams.filter(pl.col("side") == "Red"), on="gameid", suffix="_red"
    )
    assert (both["teamkills"] == both["teamdeaths_red"]).all()
    assert (both["result"] + both["result_red"] == 1).all()
    assert (both["towers"] == both["opp_towers_red"]).all()
    of_players = rows.filter(pl.col("position") != "team")
    assert (of_players["assists"] <= of_players["teamkills"] - of_players["kills"]).all()
    assert (rows.group_by("gameid", "side").agg(pl.col("result").n_unique())["result"] == 1).all()


def test_bans_and_picks_never_repeat(rows: pl.DataFrame) -> None:
    """A game's ten picks and ten bans are twenty different champions."""
    names = [f"{kind}{i}" for kind in ("ban", "pick") for i in range(1, 6)]
    teams = (
        rows.filter(pl.col("position") == "team").group_by("gameid").agg(pl.concat_list(names).explode().alias("all"))
    )
    assert (teams["all"].list.n_unique() == 20).all()


def test_handles_are_unique_ignoring_case(players: pl.DataFrame) -> None:
    """One handle, one player, one role; and none that a reader would take for a missing value."""
    handles = players["playername"].unique()
    assert handles.str.to_lowercase().n_unique() == handles.len()
    assert not set(handles.str.to_lowercase()) & {"nan", "null", "none", "na", "true", "false", "inf", "unknown player"}
    one = players.group_by("playername").agg(pl.col("playerid", "position").n_unique())
    assert (one["playerid"] == 1).all()
    assert (one["position"] == 1).all()
    assert len(set(champion_names())) == 120


def test_players_change_team_only_between_splits(players: pl.DataFrame) -> None:
    """Within a split a player has one team; over the season some move and some are new."""
    by_split = players.group_by("playername", "year", "split").agg(pl.col("teamname").n_unique())
    assert (by_split["teamname"] == 1).all()
    over_all = players.group_by("playername").agg(pl.col("teamname").n_unique(), pl.col("date").min())
    assert (over_all["teamname"] > 1).sum() > 10
    assert (over_all["date"] > "2025-03-20").sum() > 10


def test_series_stop_when_decided(rows: pl.DataFrame) -> None:
    """Maps count from 1 without a gap, and a series ends with the map that gives a team its majority."""
    blue = rows.filter(pl.col("position") == "team", pl.col("side") == "Blue")
    red = rows.filter(pl.col("position") == "team", pl.col("side") == "Red").select("gameid", red="teamname")
    games = blue.join(red, on="gameid").with_columns(
        pair=pl.concat_list("teamname", "red").list.sort().list.join("|"),
        winner=pl.when(pl.col("result") == 1).then("teamname").otherwise("red"),
    )
    games = games.sort("pair", "date").with_columns(series=(pl.col("game") == 1).cum_sum())
    for series in games.partition_by("series"):
        best_of = 5 if series["playoffs"][0] else BEST_OF[series["league"][0]]
        wins = series.group_by("winner", maintain_order=True).len()["len"]
        assert series["game"].to_list() == list(range(1, series.height + 1))
        assert series["pair"].n_unique() == 1
        assert wins.max() == best_of // 2 + 1
        assert (wins == wins.max()).sum() == 1
        last_winner = series["winner"][-1]
        assert (series["winner"] == last_winner).sum() == wins.max()


def test_patches_and_dates(rows: pl.DataFrame) -> None:
    """Patches are text of two digits after the dot, rise with time, and nothing is played after the end."""
    assert rows["patch"].str.contains(r"^1[56]\.\d\d$").all()
    assert rows.sort("date")["patch"].is_sorted()
    assert rows["date"].str.contains(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$").all()
    assert rows["date"].max() < "2026-06-01"  # type: ignore[operator]  # text compares with text
    assert Patches(2025, 2026).version(9) == "15.10"
    assert Patches(2025, 2026).version(24) == "16.01"


def test_partial_league_lacks_only_values_at_minutes(rows: pl.DataFrame) -> None:
    """One league is partial as some real exports are: no gold at 15, but every kill."""
    partial = rows.filter(pl.col("datacompleteness") == "partial")
    assert set(partial["league"]) == {"JGL"}
    assert partial["goldat15"].null_count() == partial.height
    assert rows.select("kills", "deaths", "assists", "gamelength", "patch").null_count().sum_horizontal().item() == 0
    complete = rows.filter(pl.col("datacompleteness") == "complete", pl.col("gamelength") >= 1_500)
    assert complete["goldat25"].null_count() == 0


@pytest.mark.parametrize(
    ("prop", "means", "variances"),
    [("kills", REAL_KILLS, REAL_KILLS_VARIANCE), ("assists", REAL_ASSISTS, REAL_ASSISTS_VARIANCE)],
)
def test_means_and_dispersion_are_near_the_real(
    players: pl.DataFrame, prop: str, means: dict[str, float], variances: dict[str, float]
) -> None:
    """By role the mean is within 10% of real games, the variance within 30% and above the mean; winners have more."""
    for position in ROLES:
        mine = players.filter(pl.col("position") == position)
        values = mine[prop].to_numpy()
        assert values.mean() == pytest.approx(means[position], rel=0.10)
        assert values.var() == pytest.approx(variances[position], rel=0.30)
        assert values.var() > values.mean()
        won = mine.filter(pl.col("result") == 1)[prop].to_numpy()
        lost = mine.filter(pl.col("result") == 0)[prop].to_numpy()
        assert won.mean() > 1.5 * lost.mean()


def test_truth_is_a_distribution(truth: pl.DataFrame) -> None:
    """Every row sums to one, none is negative, and nothing lies near the end of the support."""
    pmf = _pmf(truth)
    assert np.abs(pmf.sum(axis=1) - 1.0).max() < 1e-12
    assert pmf.min() >= 0.0
    assert pmf[:, -1].max() < 1e-7


@pytest.mark.parametrize("prop", ["kills", "assists"])
@pytest.mark.parametrize("position", ROLES)
def test_truth_is_calibrated(truth: pl.DataFrame, prop: str, position: str) -> None:
    """Standardised counts have mean 0 and variance 1, and the randomised PIT is uniform."""
    mine = truth.filter(pl.col("prop_type") == prop, pl.col("position") == position)
    pmf, count = _pmf(mine), mine["count"].to_numpy()
    support = np.arange(SUPPORT)
    mean = pmf @ support
    z = (count - mean) / np.sqrt(pmf @ support**2 - mean**2)
    # The two sides of a game are negatively correlated (one wins), so 1/sqrt(n) bounds the error of the mean from
    # above; 3.3 of it fails by chance in one of a thousand seeds. The variance of z squared is below 6 here.
    assert abs(z.mean()) < 3.3 / np.sqrt(z.size)
    assert abs((z**2).mean() - 1.0) < 3.3 * np.sqrt(6.0 / z.size)
    below = np.take_along_axis(np.cumsum(pmf, axis=1) - pmf, count[:, None], axis=1)[:, 0]
    at = np.take_along_axis(pmf, count[:, None], axis=1)[:, 0]
    pit = below + np.random.default_rng(1).random(count.size) * at
    bins = np.histogram(pit, bins=10, range=(0.0, 1.0))[0]
    expected = count.size / 10
    assert ((bins - expected) ** 2 / expected).sum() < 27.9  # chi-squared, 9 degrees of freedom, one in a thousand


def test_truth_beats_the_mean_of_the_position(truth: pl.DataFrame) -> None:
    """There is something to learn: the truth's log loss is below that of the position's own frequencies."""
    for prop, margin in (("kills", 0.03), ("assists", 0.03)):
        gain = 0.0
        for position in ROLES:
            mine = truth.filter(pl.col("prop_type") == prop, pl.col("position") == position)
            count = mine["count"].to_numpy()
            known = np.take_along_axis(_pmf(mine), count[:, None], axis=1)[:, 0]
            frequency = np.bincount(count, minlength=SUPPORT) / count.size
            gain += float(np.log(known).mean() - np.log(frequency[count]).mean()) / len(ROLES)
        assert gain > margin


def _one_map_many_times(times: int) -> tuple[Prematch, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]]:
    rng = np.random.default_rng(11)
    world = build_world(rng, splits_until(date(2026, 5, 31)))
    maps = play_schedule(rng, world, 40)[:1]
    one = prematch_of(world, maps)
    many = Prematch(**{name: np.repeat(getattr(one, name), times, axis=0) for name in Prematch.__slots__})
    blue_won = rng.random(times) < one.win[0, 0]
    played = play_maps(rng, world, [replace(maps[0], blue_won=bool(won)) for won in blue_won], many)
    return one, {"kills": played.kills, "assists": played.assists}


def test_truth_is_what_replays_converge_to() -> None:
    """One map played 40,000 times has the distribution that the formulas give, for all ten players and both props."""
    times = 40_000
    one, counts = _one_map_many_times(times)
    formulas = truth_of(one)
    for prop, pmf in (("kills", formulas.kills[0]), ("assists", formulas.assists[0])):
        for side in range(2):
            for role in range(len(ROLES)):
                seen = np.bincount(counts[prop][:, side, role], minlength=SUPPORT) / times
                gap = np.abs(np.cumsum(seen) - np.cumsum(pmf[side, role])).max()
                # Kolmogorov-Smirnov at one in a thousand, which is conservative for counts
                assert gap < 1.95 / np.sqrt(times)


def test_a_small_season_has_every_league(tmp_path: Path) -> None:
    """Even a handful of games fills every league and both years, for tests that must be quick."""
    files = write_season(tmp_path, games=30)
    assert files.leagues == 5
    assert 25 <= files.games <= 90
    assert len(files.csv_files) == 2
