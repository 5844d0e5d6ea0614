"""Every real match file, read and cleaned; every trap of the data's own description by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from gzip import decompress
from typing import TYPE_CHECKING

import pytest

from pipelines.cleaning import RowRejected, clean_row
from pipelines.layouts import Layout
from pipelines.sources import RawSource, discover, read_source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real_data

MODERN = [f"oe_{year}.parquet" for year in (2016, 2017, 2018, 2019, 2020, 2021, 2022, 2024, 2025, 2026)]
LAYOUTS = dict.fromkeys(MODERN, Layout.MODERN) | {
    "2019_legacy.csv.gz": Layout.LEGACY_2018,
    "2020_transitional.csv.gz": Layout.TRANSITIONAL_2020,
    "2025_indexed.csv.gz": Layout.MODERN,
    "oracles_elixir_2025_sample.csv.gz": Layout.MODERN,
    "players_2025.parquet": Layout.TOP_LEAGUE_PLAYERS,
    "players_2026.parquet": Layout.TOP_LEAGUE_PLAYERS,
    "teams_2025_2026.parquet": Layout.TOP_LEAGUE_TEAMS,
}


@dataclass(frozen=True)
class Read:
    """One real file: its payloads, its clean rows beside them, and what was refused."""

    source: RawSource
    rows: list[tuple[dict[str, object], dict[str, object]]]
    damaged: int
    rejected: Counter[str]

    def column(self, field: str) -> list[object]:
        """One field of all clean rows."""
        return [clean[field] for _, clean in self.rows]

    def numbers(self, field: str) -> list[int]:
        """One field of the players' clean rows, which must all be whole numbers."""
        values = [clean[field] for _, clean in self.rows if clean["position"] != "team"]
        return [value for value in values if isinstance(value, int)]


class Files:
    """The real files, each read once when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = {
            path.rpartition("/")[2]: path for part in ("lol", "formats") for path in discover(str(folder / part))
        }
        self._read: dict[str, Read] = {}

    def __getitem__(self, name: str) -> Read:
        if name not in self._read:
            self._read[name] = read_and_clean(self.paths[name])
        return self._read[name]


def read_and_clean(path: str) -> Read:
    source = read_source(path)
    rows, damaged, rejected = [], 0, Counter[str]()
    for row in source.rows:
        if row.damage:
            damaged += 1
            continue
        try:
            rows.append((row.payload, clean_row(source.layout, row.payload)))
        except RowRejected as reason:
            rejected[str(reason)] += 1
    return Read(source, rows, damaged, rejected)


@pytest.fixture(scope="module")
def files(real_data_dir: Path) -> Files:
    return Files(real_data_dir)


def test_every_file_is_expected(files: Files) -> None:
    """No real file is left untested."""
    assert set(files.paths) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_known_and_no_row_lost(files: Files, name: str) -> None:
    """Every file's layout is known, no row is damaged and none is rejected."""
    read = files[name]
    assert read.source.layout is LAYOUTS[name]
    assert read.damaged == 0
    assert read.rejected == Counter()
    assert read.rows


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if not layout.startswith("top-league")])
def test_wide_files_have_twelve_rows_per_game(files: Files, name: str) -> None:
    """Cleaning keeps ten players and two teams of every game, with their scores, champions and patches."""
    rows = [clean for _, clean in files[name].rows]
    assert set(Counter(row["match_id"] for row in rows).values()) == {12}
    assert Counter(row["participant_id"] for row in rows)[100] * 12 == len(rows)
    for field in ("kills", "deaths", "assists", "patch_version"):
        assert None not in files[name].column(field)
    assert all((row["champion"] is None) == (row["position"] == "team") for row in rows)


def test_patch_15_10_that_a_float_mangled(files: Files) -> None:
    """The text 15.1 of the 2025 export is 15.10, and agrees with the top-league file on every game both have."""
    mangled = [clean for payload, clean in files["oe_2025.parquet"].rows if payload["patch"] == "15.1"]
    assert len(mangled) == 636
    assert {row["patch_version"] for row in mangled} == {"15.10"}
    truth = {clean["match_id"]: clean["patch_version"] for _, clean in files["players_2025.parquet"].rows}
    wide = {clean["match_id"]: clean["patch_version"] for _, clean in files["oe_2025.parquet"].rows}
    shared = truth.keys() & wide.keys()
    assert len(shared) > 50
    assert all(truth[match] == wide[match] for match in shared)


def test_us_dates_2016_to_2022(files: Files) -> None:
    """Dates such as 9/29/2016 22:28 are read month first, as the file's own UTC column says."""
    slashed = 0
    for year in (2016, 2017, 2018, 2019, 2020, 2021, 2022):
        for payload, clean in files[f"oe_{year}.parquet"].rows:
            slashed += "/" in str(payload["date"])
            assert clean["started_at"] == datetime.fromisoformat(str(payload["date_utc"])).replace(tzinfo=UTC)
    assert slashed == 9900


@pytest.mark.parametrize("name", ["oe_2024.parquet", "oe_2025.parquet", "oe_2026.parquet"])
def test_iso_dates(files: Files, name: str) -> None:
    """ISO dates are the file's own UTC column."""
    for payload, clean in files[name].rows:
        assert clean["started_at"] == datetime.fromisoformat(str(payload["date_utc"])).replace(tzinfo=UTC)


def test_spreadsheet_dates_and_minutes(files: Files) -> None:
    """The legacy serials and minutes are, as UTC and seconds, those of the same games exported again later."""
    modern = {str(clean["match_id"]).rpartition("/")[2]: clean for _, clean in files["oe_2019.parquet"].rows}
    shared = 0
    for _, clean in files["2019_legacy.csv.gz"].rows:
        other = modern.get(str(clean["match_id"]))
        if other is None:
            continue
        shared += 1
        assert clean["duration_seconds"] == other["duration_seconds"]
        started = clean["started_at"]
        assert isinstance(started, datetime)
        assert started.replace(second=0) == other["started_at"]
    assert shared == 360


def test_byte_order_mark(files: Files, tmp_path: Path) -> None:
    """A real export with a byte-order mark before it reads the same as without."""
    name = "2020_transitional.csv.gz"
    marked = tmp_path / "marked.csv"
    with open(files.paths[name], "rb") as packed:  # noqa: PTH123 — the path is a text
        marked.write_bytes(b"\xef\xbb\xbf" + decompress(packed.read()))
    read = read_and_clean(str(marked))
    assert read.source.columns == files[name].source.columns
    assert read.rows == files[name].rows


def test_year_column_is_not_believed(files: Files) -> None:
    """Rows whose year differs from their date's keep the date's: 180 player rows and 36 team rows."""
    odd = [
        clean
        for payload, clean in files["oe_2024.parquet"].rows
        if isinstance(clean["started_at"], datetime) and payload["year"] != clean["started_at"].year
    ]
    assert Counter(row["position"] == "team" for row in odd) == {False: 180, True: 36}
    assert {row["patch_version"] for row in odd} == {"13.24"}


def test_unknown_players_and_teams(files: Files) -> None:
    """The placeholders become null, the rows stay, and no clean name is a placeholder."""
    rows = files["oe_2025.parquet"].rows
    unknown = [clean for payload, clean in rows if payload["playername"] == "unknown player"]
    assert len(unknown) == 248
    assert {row["player_name"] for row in unknown} == {None}
    nameless = [clean for payload, clean in rows if payload["teamname"] == "unknown team"]
    assert len(nameless) == 510
    assert {row["team"] for row in nameless} == {None}
    both = Counter(row["match_id"] for row in nameless if row["position"] == "team")
    assert sum(times == 2 for times in both.values()) == 35
    for name in LAYOUTS:
        for field in ("player_name", "team", "opponent"):
            assert not any("unknown" in str(value).lower() for value in files[name].column(field))


def test_null_literal(files: Files) -> None:
    """The 2020 text NULL is null and not text, in all its columns."""
    rows = files["2020_transitional.csv.gz"].rows
    assert sum(payload["visionscore"] == "NULL" for payload, _ in rows) == 384
    assert sum(clean["vision_score"] is None for _, clean in rows) == 384
    assert not any("NULL" in clean.values() for _, clean in rows)


def test_playerid_of_old_layouts_is_the_seat(files: Files) -> None:
    """In the 2019 and 2020 layouts playerid is the participant's number, never a player's id."""
    for name in ("2019_legacy.csv.gz", "2020_transitional.csv.gz"):
        assert set(files[name].column("participant_id")) == {*range(1, 11), 100, 200}
        assert set(files[name].column("source_player_id")) == {None}


def test_old_positions(files: Files) -> None:
    """Top to Support of the legacy layout are today's positions, in equal numbers."""
    counts = Counter(files["2019_legacy.csv.gz"].column("position"))
    assert counts == dict.fromkeys(("top", "jng", "mid", "bot", "sup", "team"), 60)


def test_tiebreakers(files: Files) -> None:
    """The three legacy tie-breakers, map number T, are first maps."""
    rows = files["2019_legacy.csv.gz"].rows
    tied = [clean for payload, clean in rows if payload["game"] == "T"]
    assert len(tied) == 36
    assert {row["game_number"] for row in tied} == {1}


def test_indexed_export_lacks_ids(files: Files) -> None:
    """The 2025 export with an index column is modern, and its rows have names but no ids."""
    read = files["2025_indexed.csv.gz"]
    assert read.source.columns[0] == ""
    assert not {"datacompleteness", "url", "playerid", "teamid"} & set(read.source.columns)
    assert set(read.column("source_player_id")) == set(read.column("source_team_id")) == {None}
    assert None not in read.column("team")


def test_partial_games_keep_their_scores(files: Files) -> None:
    """Partial games lack gold, experience and creeps at a time, and have their kills and assists."""
    partial = [
        clean
        for payload, clean in files["oe_2026.parquet"].rows
        if payload["datacompleteness"] == "partial" and clean["position"] != "team"
    ]
    assert len(partial) == 490
    assert {row["gold_at_10"] for row in partial} == {row["xp_diff_at_15"] for row in partial} == {None}
    assert all(row["kills"] is not None and row["assists"] is not None for row in partial)


def test_names_that_differ_only_by_case_stay_apart(files: Files) -> None:
    """Cleaning keeps the case of names: which spellings are one player is for resolving to judge."""
    names = {str(name) for file in MODERN for name in files[file].column("player_name") if name is not None}
    assert len(names) - len({name.casefold() for name in names}) == 31


def test_extremes_are_kept(files: Files) -> None:
    """The largest real counts and the shortest and longest real games pass."""
    assert max(max(files[name].numbers("kills"), default=0) for name in LAYOUTS) == 20
    assert max(max(files[name].numbers("deaths"), default=0) for name in LAYOUTS) == 13
    assert max(max(files[name].numbers("assists"), default=0) for name in LAYOUTS) == 35
    assert min(min(files[name].numbers("duration_seconds"), default=9999) for name in LAYOUTS) == 1138
    assert max(max(files[name].numbers("duration_seconds"), default=0) for name in LAYOUTS) == 4280


def test_top_league_files_agree_with_wide_rows(files: Files) -> None:
    """Joined on game, position and champion, the two origins agree on scores, starts and, to 5 s, lengths."""
    wide = {
        (clean["match_id"], clean["position"], clean["champion"]): clean
        for year in (2025, 2026)
        for _, clean in files[f"oe_{year}.parquet"].rows
    }
    shared = 0
    for year in (2025, 2026):
        for _, clean in files[f"players_{year}.parquet"].rows:
            other = wide.get((clean["match_id"], clean["position"], clean["champion"]))
            if other is None:
                continue
            shared += 1
            for field in ("kills", "deaths", "assists", "won", "team_kills", "game_number", "started_at"):
                assert clean[field] == other[field]
            lengths = clean["duration_seconds"], other["duration_seconds"]
            assert isinstance(lengths[0], int)
            assert isinstance(lengths[1], int)
            assert abs(lengths[0] - lengths[1]) <= 5  # 11 games of 2026 were measured again
    assert shared == 7820
