"""Which games belong to one series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.series import series_ids

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Game = tuple[str, float, int | None, str | None, str | None]


def games(*rows: Game) -> pl.DataFrame:
    """Games as (match id, hours after noon, number, blue, red)."""
    return pl.DataFrame(
        [(match, NOON + timedelta(hours=hours), number, blue, red) for match, hours, number, blue, red in rows],
        schema={
            "match_id": pl.String(),
            "started_at": pl.Datetime("us", "UTC"),
            "game_number": pl.Int32(),
            "blue_team_id": pl.String(),
            "red_team_id": pl.String(),
        },
        orient="row",
    )


def series_of(*rows: Game) -> dict[str, str]:
    """The series of each game, by match id."""
    return dict(series_ids(games(*rows)).iter_rows())


def test_games_of_a_pair_are_one_series_whoever_is_blue() -> None:
    """A series keeps its id, that of its first game, while sides change."""
    assert series_of(("a", 0, 1, "T1", "GEN"), ("b", 1, 2, "GEN", "T1"), ("c", 2, 3, "T1", "GEN")) == {
        "a": "a",
        "b": "a",
        "c": "a",
    }


def test_a_first_game_begins_a_series() -> None:
    """Two series of a pair on one day are told apart by the number of the game."""
    assert series_of(("a", 0, 1, "T1", "GEN"), ("b", 1, 2, "T1", "GEN"), ("c", 3, 1, "T1", "GEN")) == {
        "a": "a",
        "b": "a",
        "c": "c",
    }


def test_other_games_between_do_not_part_a_series() -> None:
    """Matches of other pairs at the same time leave a series whole."""
    rows: list[Game] = [("a", 0, 1, "T1", "GEN"), ("x", 0.5, 1, "DK", "HLE"), ("b", 1, 2, "T1", "GEN")]
    assert series_of(*rows) == {"a": "a", "x": "x", "b": "a"}


def test_twelve_hours_part_a_series() -> None:
    """A pause of twelve hours begins a series, a shorter one does not."""
    assert series_of(("a", 0, 1, "T1", "GEN"), ("b", 11.9, 2, "T1", "GEN"))["b"] == "a"
    assert series_of(("a", 0, 1, "T1", "GEN"), ("b", 12, 2, "T1", "GEN"))["b"] == "b"


def test_a_number_that_does_not_rise_begins_a_series() -> None:
    """Where the source lacks a first game, the number falls back all the same."""
    assert series_of(("a", 0, 2, "T1", "GEN"), ("b", 1, 3, "T1", "GEN"), ("c", 4, 2, "T1", "GEN")) == {
        "a": "a",
        "b": "a",
        "c": "c",
    }


def test_equal_starts_are_ordered_by_number() -> None:
    """A source that knows only the day still gives one series."""
    assert series_of(("b", 0, 2, "T1", "GEN"), ("a", 0, 1, "T1", "GEN")) == {"a": "a", "b": "a"}


def test_a_game_without_a_number_continues_its_pair() -> None:
    """An absent number says nothing, so the pause decides."""
    assert series_of(("a", 0, 1, "T1", "GEN"), ("b", 1, None, "T1", "GEN"))["b"] == "a"


def test_unknown_teams_are_series_of_one_game() -> None:
    """Nothing pairs games whose teams are unknown or the same."""
    assert series_of(("a", 0, 1, None, "GEN"), ("b", 1, 2, None, "GEN"), ("c", 2, 3, "T1", "T1")) == {
        "a": "a",
        "b": "b",
        "c": "c",
    }


def test_an_id_that_names_its_series_pairs_unknown_teams() -> None:
    """LPL ids end in the number of the game, so what precedes it is the series."""
    assert series_of(("9-9_game_1", 0, 1, None, None), ("9-9_game_2", 1, 2, None, None))["9-9_game_2"] == "9-9_game_1"


def test_a_later_game_leaves_the_ids_as_they_were() -> None:
    """The id of a series does not change when the rest of it arrives."""
    first: list[Game] = [("z", 0, 1, "T1", "GEN"), ("b", 1, 2, "T1", "GEN")]
    before, after = series_of(*first), series_of(*first, ("a", 2, 3, "T1", "GEN"))
    assert before.items() <= after.items()


def test_no_games_have_no_series() -> None:
    """Nothing in, nothing out."""
    assert series_ids(games()).is_empty()
