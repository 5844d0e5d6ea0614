"""Telling layouts apart by their header."""

from __future__ import annotations

import pytest

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.cleaning import CLEAN_FIELDS
from pipelines.layouts import SPECS, Layout, detect
from stores.errors import InvalidError


@pytest.mark.parametrize("layout", list(Layout))
def test_required_columns_alone_are_enough(layout: Layout) -> None:
    """A header of just the required columns is its own layout and no other."""
    assert detect(SPECS[layout].required) is layout


@pytest.mark.parametrize("layout", list(Layout))
def test_further_columns_change_nothing(layout: Layout) -> None:
    """An index column, new statistics and foreign columns do not hide a layout."""
    assert detect([*SPECS[layout].columns, "", "atakhans", "source_file"]) is layout


@pytest.mark.parametrize("layout", list(Layout))
def test_columns_fill_candidate_fields(layout: Layout) -> None:
    """Every column and sum goes to one field that the candidate schema knows, and none twice."""
    spec = SPECS[layout]
    fields = [*spec.columns.values(), *spec.sums]
    assert set(fields) <= set(CLEAN_FIELDS) <= set(CANDIDATE_SCHEMA)
    assert len(fields) == len(set(fields))
    assert spec.required <= set(spec.columns)


@pytest.mark.parametrize("absent", ["datacompleteness", "url", "playerid", "teamid"])
def test_modern_export_may_lack_ids(absent: str) -> None:
    """The modern layout is known without its ids, its completeness and its URL."""
    assert detect(set(SPECS[Layout.MODERN].columns) - {absent}) is Layout.MODERN


def test_missing_column_is_named() -> None:
    """The error names the nearest layout and what the header lacks."""
    with pytest.raises(InvalidError, match="'oracles-elixir', where these columns are missing: deaths, kills") as wrong:
        detect(set(SPECS[Layout.MODERN].columns) - {"kills", "deaths"})
    assert wrong.value.field == "columns"


def test_player_file_without_kills_is_no_team_file() -> None:
    """A top-league player file that lost its kills is refused and not taken for a team file."""
    with pytest.raises(InvalidError, match="'top-league-players', where these columns are missing: kills"):
        detect(SPECS[Layout.TOP_LEAGUE_PLAYERS].required - {"kills"})


def test_strange_header_is_refused() -> None:
    """A header of something else entirely is an error, an empty one too."""
    for header in (["name", "price"], []):
        with pytest.raises(InvalidError, match="fits no known layout"):
            detect(header)
