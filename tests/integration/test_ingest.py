"""Ingestion by real Ray Data jobs into a real lake: good files, the same files again, and files that are broken."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipelines.ingest import IngestReport, ingest
from pipelines.reading import FileOutcome
from pipelines.season import write_season
from stores.domain.row_filters import Equals
from stores.errors import InvalidError
from stores.features.tables import ALL_TABLES, PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake
from stores.lake.tables import MATCH_RESULTS, MATCH_ROWS, PLAYER_PERFORMANCE, QUARANTINE
from stores.settings import LakeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from stores.roles.lake import Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GAMES = 150

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The match files of a small simulated season."""
    return write_season(tmp_path_factory.mktemp("season"), games=GAMES).matches_folder


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return IcebergLake(LakeSettings(f"sqlite:///{tmp_path}/lake/catalog.db", f"file://{tmp_path}/lake/warehouse"))


def _ingest(lake: Lake, location: Path | str) -> IngestReport:
    return ingest(lake, str(location), NOW, lambda *_: None)


def _snapshots(lake: Lake) -> dict[str, int | None]:
    return {table.identifier: lake.snapshot_id(table) for table in ALL_TABLES}


def _copied_rows(season: Path) -> list[list[str]]:
    with min(season.glob("*.csv")).open(newline="") as stream:
        return list(csv.reader(stream))


def _written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_a_season_passes_through_every_layer_and_the_books_balance(lake: Lake, season: Path) -> None:
    """Every row of the files is a player row or folded into its match, and every layer holds what follows from it."""
    report = _ingest(lake, season)
    counts = report.silver.counts
    assert report.silver.rows_in == sum(file.rows for file in report.files)
    assert counts.player_rows == 10 * counts.team_rows // 2
    assert counts.quarantined == report.silver.rejected == 0
    assert lake.read(MATCH_ROWS, columns=["layout"]).num_rows == report.silver.rows_in
    assert lake.read(PLAYER_PERFORMANCE).num_rows == counts.player_rows
    assert lake.read(MATCH_RESULTS).num_rows == counts.player_rows // 10
    newest = lake.read(PLAYER_SNAPSHOTS, where=Equals("series_id", None))
    assert newest.num_rows == len(set(lake.read(PLAYER_PERFORMANCE)["player_id"].to_pylist()))


def test_the_same_files_again_change_nothing(lake: Lake, season: Path, tmp_path: Path) -> None:
    """A known file commits nothing in any layer, under its own name or another, packed or not."""
    _ingest(lake, season)
    before = _snapshots(lake)
    again = _ingest(lake, season)
    assert {file.outcome for file in again.files} == {FileOutcome.KNOWN}
    renamed = tmp_path / "renamed.csv"
    renamed.write_bytes(min(season.glob("*.csv")).read_bytes())
    assert _ingest(lake, renamed).files[0].outcome is FileOutcome.KNOWN
    assert _snapshots(lake) == before
    assert not again.silver.changed
    assert not again.gold.changed


def test_an_overlapping_export_supersedes_rows_and_doubles_no_game(lake: Lake, season: Path, tmp_path: Path) -> None:
    """Half of a known file with other bytes adds no player row: each of its rows supersedes or is superseded."""
    rows = _copied_rows(season)
    first = _ingest(lake, _written(tmp_path / "export.csv", rows[: 1 + 12 * 40]))
    second = _ingest(lake, _written(tmp_path / "overlap.csv", rows[: 1 + 12 * 20]))
    assert second.silver.counts.player_rows == first.silver.counts.player_rows
    assert second.silver.counts.superseded == 12 * 20


@pytest.mark.parametrize("damage", ["empty", "truncated gzip", "latin-1", "wrong layout", "half a parquet"])
def test_an_unreadable_file_is_a_clear_error_and_leaves_the_lake_unchanged(
    lake: Lake, season: Path, tmp_path: Path, damage: str
) -> None:
    """A file that cannot be read as a whole names itself in the error, and no table gets a snapshot."""
    _ingest(lake, season)
    before = _snapshots(lake)
    content = max(season.glob("*.csv")).read_bytes() + b"x"
    broken = {
        "empty": ("broken.csv", b""),
        "truncated gzip": ("broken.csv.gz", gzip.compress(content)[:-4000]),
        "latin-1": ("broken.csv", content[:5000] + "Grüße".encode("latin-1") + content[5000:]),
        "wrong layout": ("broken.csv", b"name,score\nFaker,3\n"),
        "half a parquet": ("broken.parquet", b"PAR1" + content[:1000]),
    }
    name, garbage = broken[damage]
    (tmp_path / name).write_bytes(garbage)
    with pytest.raises(InvalidError, match=r"broken\.(csv|csv\.gz|parquet)"):
        _ingest(lake, tmp_path / name)
    assert _snapshots(lake) == before


def test_a_broken_file_beside_good_ones_fails_alone(lake: Lake, season: Path, tmp_path: Path) -> None:
    """The good files of a folder are ingested; the broken one is reported and nothing of it is in the lake."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for file in season.glob("*.csv"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "broken.csv").write_bytes(b"\x00\x01\x02")
    report = _ingest(lake, folder)
    assert [file.source for file in report.failed] == ["broken.csv"]
    assert "broken.csv" not in set(lake.read(MATCH_ROWS, columns=["source"])["source"].to_pylist())
    assert report.silver.counts.player_rows > 0


def test_half_corrupt_rows_are_quarantined_with_their_payload_and_reason(
    lake: Lake, season: Path, tmp_path: Path
) -> None:
    """Rows that cannot be used, and the games that they leave incomplete, are kept in quarantine and nowhere else."""
    rows = _copied_rows(season)[: 1 + 12 * 30]
    header = rows[0]
    rows[1][header.index("kills")] = "many"  # a count that is none
    rows[14] = rows[14][:7]  # cut in the middle of the row
    rows[30][header.index("position")] = "coach"
    report = _ingest(lake, _written(tmp_path / "half.csv", rows))
    quarantine = pl.DataFrame(lake.read(QUARANTINE))
    assert report.silver.rejected == 3
    assert quarantine.height == report.silver.rejected + report.silver.counts.quarantined == 36
    by_row = dict(quarantine.select("row_number", "reason").iter_rows())
    assert "kills 'many'" in by_row[1]
    assert f"7 of {len(header)}" in by_row[14]
    assert "coach" in by_row[30]
    assert quarantine["payload"].null_count() == 0
    assert report.silver.counts.player_rows == 27 * 10


def test_a_file_of_nothing_but_bad_rows_says_so(lake: Lake, season: Path, tmp_path: Path) -> None:
    """Without one usable game there are no features, and the error points to the quarantine."""
    rows = _copied_rows(season)[:13]
    for row in rows[1:]:
        row[rows[0].index("date")] = "some day"
    with pytest.raises(Exception, match="quarantine"):
        _ingest(lake, _written(tmp_path / "bad.csv", rows))
    assert lake.read(QUARANTINE).num_rows == 12


def test_missing_locations_name_the_remedy(lake: Lake, tmp_path: Path) -> None:
    """A path that does not exist, an empty folder and an unknown scheme each say what to give instead."""
    for location in (tmp_path / "nowhere", tmp_path, "ftp://example.org/x.csv"):
        with pytest.raises(InvalidError, match=r"give|put|http"):
            _ingest(lake, location)


def test_real_files_take_the_place_of_the_simulated_season(lake: Lake, season: Path, tmp_path: Path) -> None:
    """A model never learns from both: after the first real file no simulated row is left in any layer."""
    _ingest(lake, season)
    real = _written(tmp_path / "league.csv", _copied_rows(season)[: 1 + 12 * 40])
    report = _ingest(lake, real)
    assert set(lake.read(MATCH_ROWS, columns=["source"])["source"].to_pylist()) == {"league.csv"}
    assert report.silver.rows_in == 12 * 40
    assert lake.read(PLAYER_PERFORMANCE).num_rows == 10 * 40


@pytest.mark.real_data
def test_the_real_files_keep_every_game(lake: Lake, real_data_dir: Path) -> None:
    """All 4,126 top-league games arrive with ten players each, in every layer, and the books balance."""
    report = _ingest(lake, real_data_dir / "lol")
    top = set()
    for year in (2025, 2026):
        top |= set(pq.read_table(real_data_dir / "lol" / f"players_{year}.parquet")["gameid"].to_pylist())
    played = pl.DataFrame(lake.read(PLAYER_PERFORMANCE, columns=["match_id"])).group_by("match_id").len()
    ten = set(played.filter(pl.col("len") == 10)["match_id"].to_list())
    assert len(top) == 4_126
    assert top <= ten
    assert report.silver.rows_in == sum(file.rows for file in report.files)
    assert report.silver.rejected == 0
