"""Candidate rows of several sources to silver tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.lineups import Reason
from pipelines.resolve import Counts, InvariantError, Resolved, resolve, with_payload
from pipelines.silver_rows import to_arrow
from stores.errors import InvalidError
from stores.lake.tables import MATCH_RESULTS, PLAYER_PERFORMANCE, QUARANTINE

POSITIONS = ("top", "jng", "mid", "bot", "sup")
INGESTED = datetime(2026, 2, 1, tzinfo=UTC)
START = datetime(2026, 1, 14, 23, 30, tzinfo=UTC)
Row = dict[str, Any]


def seated(side: str, position: str, name: str, seat: int) -> Row:
    """What a wide row says of one player; ``seat`` counts from 1 within the team."""
    won = side == "Blue"
    return {
        "participant_id": seat + (0 if won else 5),
        "position": position,
        "champion": f"{side}{position}",
        "player_name": name,
        "source_player_id": f"oe:player:{name}",
        "kills": seat if won else 1,
        "deaths": 1 if won else 3,
        "assists": 2,
        "gold": 12000,
        "damage_to_champions": 20000,
    }


def wide_game(match_id: str = "g1", blue: str | None = "T1", red: str | None = "GEN", **game: Any) -> list[Row]:
    """Twelve rows of a wide export: blue wins with kills 1 to 5, red has one kill each."""
    rows: list[Row] = []
    for side, team, won, hundred in (("Blue", blue, True, 100), ("Red", red, False, 200)):
        shared = {
            "match_id": match_id,
            "source": "oe.csv",
            "source_sha256": "aa",
            "layout": "oracles-elixir",
            "ingested_at": INGESTED,
            "side": side,
            "team": team,
            "source_team_id": team and f"oe:team:{team.lower()}",
            "tournament": "LTA N",
            "started_at": START,
            "game_number": 1,
            "patch_version": "16.01",
            "duration_seconds": 1800,
            "won": won,
            "team_kills": 15 if won else 5,
        } | game
        for seat, position in enumerate(POSITIONS, start=1):
            of_player = seated(side, position, f"{team or side}-{position}", seat)
            rows.append(shared | of_player | {"row_number": len(rows) + 1})
        objectives = {"towers": 9, "dragons": 3, "barons": 1} if won else {"towers": 2, "dragons": 0, "barons": 0}
        rows.append(shared | objectives | {"participant_id": hundred, "position": "team", "row_number": len(rows) + 1})
    return rows


def top_league_game(match_id: str = "g1", blue: str = "T1", red: str = "GEN", **game: Any) -> list[Row]:
    """The ten rows of the same game in the top-league layout: names only, the losers listed first."""
    kept = ("match_id", "position", "champion", "player_name", "team", "started_at", "game_number", "patch_version")
    counts = ("duration_seconds", "won", "kills", "deaths", "assists", "team_kills", "ingested_at")
    players = [row for row in wide_game(match_id, blue, red) if row["position"] != "team"]
    return [
        {name: row[name] for name in (*kept, *counts)}
        | {"source": "players.parquet", "source_sha256": "bb", "layout": "top-league-players", "tournament": "LCS"}
        | {"opponent": red if row["team"] == blue else blue, "row_number": number}
        | game
        for number, row in enumerate(players[5:] + players[:5], start=1)
    ]


def frame(rows: list[Row]) -> pl.DataFrame:
    """The rows as candidates."""
    return pl.DataFrame([dict.fromkeys(CANDIDATE_SCHEMA) | row for row in rows], schema=CANDIDATE_SCHEMA)


def resolved(rows: list[Row]) -> Resolved:
    """The rows resolved, after a check that the tables fit their schemas."""
    result = resolve(frame(rows), "v1")
    to_arrow(result.players, PLAYER_PERFORMANCE.schema)
    to_arrow(result.matches, MATCH_RESULTS.schema)
    to_arrow(result.quarantined, QUARANTINE.schema)
    return result


def reasons(result: Resolved) -> dict[str, int]:
    """How many rows are quarantined for which reason."""
    return dict(result.quarantined.group_by("reason").len().iter_rows())


def player(result: Resolved, name: str) -> Row:
    """The one row of a player."""
    return result.players.row(by_predicate=pl.col("player_name") == name, named=True)


def test_a_wide_game() -> None:
    """Ten player rows and one game come of twelve rows, with what is derived from them."""
    result = resolved(wide_game())
    assert result.counts == Counts(12, 10, 0, 0, 2, 0, 0)
    bot = player(result, "T1-bot")
    expected = {
        "player_id": "oe:player:T1-bot",
        "series_id": "g1",
        "date": date(2026, 1, 14),
        "team": "T1",
        "opponent": "GEN",
        "opponent_id": "oe:team:gen",
        "opponent_kills": 5,
        "kda": Decimal("6.00"),
        "kill_participation": Decimal("0.4000"),
        "damage_per_minute": Decimal("666.67"),
        "gold_per_minute": Decimal("400.00"),
        "data_source": "oe.csv",
        "processing_version": "v1",
    }
    assert {name: bot[name] for name in expected} == expected
    game = result.matches.row(0, named=True)
    assert (game["blue_team"], game["red_team"], game["winning_team"]) == ("T1", "GEN", "T1")
    assert (game["blue_kills"], game["red_kills"], game["blue_towers"], game["red_dragons"]) == (15, 5, 9, 0)
    assert game["side_known"]


def test_top_league_rows_merge_into_wide_rows() -> None:
    """One row per player remains, with the ids of one source and the tournament of the other."""
    result = resolved(wide_game() + top_league_game())
    assert result.counts == Counts(22, 10, 10, 0, 2, 0, 0)
    assert set(result.players["tournament"]) == {"LCS"}
    assert set(result.players["data_source"]) == {"oe.csv+players.parquet"}
    assert player(result, "GEN-mid")["side"] == "Red"


def test_a_game_of_the_top_league_layout_alone() -> None:
    """Without sides blue is the team listed first, and ids are learned from other games."""
    result = resolved(wide_game("g0", started_at=START - timedelta(days=1)) + top_league_game())
    game = result.matches.row(by_predicate=pl.col("match_id") == "g1", named=True)
    assert (game["side_known"], game["blue_team"], game["red_team"]) == (False, "GEN", "T1")
    assert (game["blue_kills"], game["winning_team"], game["blue_towers"]) == (5, "T1", None)
    of_game = result.players.filter(match_id="g1")
    assert of_game["side"].is_null().all()
    assert of_game["player_id"].str.starts_with("oe:player:").all()
    assert set(of_game["team_id"]) == {"oe:team:t1", "oe:team:gen"}


def test_the_other_source_fills_in_an_unknown_player() -> None:
    """A player whom the wide row does not name is named by the top-league row."""
    rows = wide_game()
    rows[0] |= {"player_name": None, "source_player_id": None}
    assert player(resolved(rows + top_league_game()), "T1-top")["player_id"] == "name:t1-top"


def test_an_unknown_player_is_quarantined_alone() -> None:
    """The rest of the game stays, and the team's kills count the unknown one's."""
    rows = wide_game()
    rows[0] |= {"player_name": None, "source_player_id": None}
    result = resolved(rows)
    assert result.counts == Counts(12, 9, 0, 0, 2, 1, 0)
    assert reasons(result) == {Reason.UNKNOWN_PLAYER: 1}
    assert result.matches["blue_kills"].item() == 15
    assert result.quarantined.row(0, named=True) == {
        "source": "oe.csv",
        "source_sha256": "aa",
        "row_number": 1,
        "layout": "oracles-elixir",
        "match_id": "g1",
        "reason": "unknown player",
        "payload": None,
    }


def test_unknown_teams_are_told_apart_by_side() -> None:
    """A game of two unknown teams keeps its players, without team and opponent."""
    result = resolved(wide_game(blue=None, red=None) + wide_game("g2", blue=None, red=None, game_number=2))
    assert result.counts.player_rows == 10 * 2 - 0 if not reasons(result) else True
    assert result.counts.player_rows == 20
    assert result.players["team"].is_null().all()
    assert result.players["opponent_id"].is_null().all()
    assert set(result.players["opponent_kills"]) == {5, 15}
    assert result.matches["winning_team"].is_null().all()
    assert result.matches["series_id"].to_list() == ["g1", "g2"]


def test_the_newest_of_overlapping_exports_wins() -> None:
    """A later export corrects an earlier one, which is counted; ids that it lacks stay known."""
    later = wide_game(source="later.csv", ingested_at=INGESTED + timedelta(days=1))
    for row in later:
        row["source_player_id"] = None
    later[0] |= {"kills": 2}
    later[1] |= {"kills": 1}
    result = resolved(later + wide_game())
    assert result.counts == Counts(24, 10, 0, 12, 2, 0, 2)
    top = player(result, "T1-top")
    assert (top["kills"], top["player_id"], top["data_source"]) == (2, "oe:player:T1-top", "later.csv")


def test_a_newer_export_does_not_take_from_its_neighbour() -> None:
    """What an older row fills in is of the same participant only."""
    older = wide_game()
    older[1]["gold"] = None
    later = wide_game(source="later.csv", ingested_at=INGESTED + timedelta(days=1))
    for row in later:
        row["gold"] = None
    result = resolved(older + later)
    assert (player(result, "T1-top")["gold"], player(result, "T1-jng")["gold"]) == (12000, None)


def test_an_id_is_not_kept_for_another_name() -> None:
    """Where a later export names someone else, the earlier row's id is not theirs."""
    later = wide_game(source="later.csv", ingested_at=INGESTED + timedelta(days=1))
    later[0] |= {"player_name": "Stand-in", "source_player_id": None}
    assert player(resolved(wide_game() + later), "Stand-in")["player_id"] == "name:stand-in"


@pytest.mark.parametrize(("days", "kills"), [(0, 1), (1, 2), (-1, 1)])
def test_contradicting_sources(days: int, kills: int) -> None:
    """The newer source's counts win, the wide one's when none is newer; the contradiction is counted."""
    top = top_league_game(ingested_at=INGESTED + timedelta(days=days))
    top[5] |= {"kills": 2}
    top[6] |= {"kills": 1}
    result = resolved(wide_game() + top)
    assert player(result, "T1-top")["kills"] == kills
    assert result.counts.contradictions == 2


BROKEN: dict[Reason, list[tuple[int, Row]]] = {
    Reason.NO_START: [(seat, {"started_at": None}) for seat in range(12)],
    Reason.NOT_TWO_TEAMS: [(0, {"side": "Red"})],
    Reason.SAME_TEAM: [(seat, {"team": "T1", "source_team_id": "oe:team:t1"}) for seat in range(12)],
    Reason.NOT_ONE_WINNER: [(seat, {"won": True}) for seat in range(12)],
    Reason.POSITIONS: [(0, {"position": "jng"})],
    Reason.NO_COUNTS: [(0, {"assists": None})],
    Reason.KILLS: [(0, {"kills": 7})],
    Reason.SAME_PLAYER: [(0, {"source_player_id": "oe:player:T1-jng"})],
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_game_that_contradicts_itself_is_quarantined(reason: Reason) -> None:
    """All rows of the game go with their reason, those of another game stay."""
    rows = wide_game()
    for seat, change in BROKEN[reason]:
        rows[seat] |= change
    result = resolved(rows + wide_game("g2"))
    assert reasons(result) == {reason: 12}
    assert result.matches["match_id"].to_list() == ["g2"]


def test_an_incomplete_game_is_quarantined() -> None:
    """Nine players are no game, nor are team rows alone."""
    assert reasons(resolved(wide_game()[1:])) == {Reason.NOT_TEN: 11}
    assert reasons(resolved(wide_game()[5:6])) == {Reason.NOT_TEN: 1}


def test_another_source_completes_a_game() -> None:
    """A row that one source lacks is taken from the other, with the side of its team mates."""
    result = resolved(wide_game()[1:] + top_league_game())
    assert result.counts == Counts(21, 10, 9, 0, 2, 0, 0)
    assert player(result, "T1-top")["side"] == "Blue"


def test_a_row_without_a_game_is_quarantined() -> None:
    """A row that names no game harms no other."""
    rows = wide_game()
    result = resolved([*rows, rows[0] | {"match_id": None, "row_number": 99}])
    assert reasons(result) == {Reason.NO_GAME: 1}
    assert result.counts.player_rows == 10


def test_nothing_in_nothing_out() -> None:
    """No candidates give empty tables of the right shape."""
    result = resolved([])
    assert result.counts == Counts(0, 0, 0, 0, 0, 0, 0)
    assert result.players.columns == PLAYER_PERFORMANCE.schema.names


@pytest.mark.parametrize(
    ("kills", "deaths", "assists", "kda"),
    [(1, 8, 0, "0.13"), (0, 0, 7, "7.00"), (2, 3, 0, "0.67"), (1, 40, 0, "0.03"), (0, 5, 0, "0.00")],
)
def test_kda_is_rounded_half_up(kills: int, deaths: int, assists: int, kda: str) -> None:
    """0.125 is 0.13, and no death counts as one."""
    rows = wide_game()
    rows[0] |= {"kills": kills, "deaths": deaths, "assists": assists}
    rows[1] |= {"kills": 3 - kills}
    assert player(resolved(rows), "T1-top")["kda"] == Decimal(kda)


def test_rates_without_a_divisor_are_null() -> None:
    """A team without kills has no participation, a game without length no rate per minute."""
    rows = wide_game(duration_seconds=None)
    for row in rows[6:]:
        row |= {"kills": 0, "team_kills": 0}
    losing = player(resolved(rows), "GEN-top")
    assert (losing["kill_participation"], losing["gold_per_minute"]) == (None, None)


def test_extremes_are_clipped_to_what_the_table_holds() -> None:
    """Participation ends at one and the ratios at the largest number of the column."""
    rows = wide_game(duration_seconds=1)
    rows[0] |= {"assists": 5000, "damage_to_champions": 10**9}
    top = player(resolved(rows), "T1-top")
    assert (top["kda"], top["kill_participation"]) == (Decimal("999.99"), Decimal("1.0000"))
    assert top["damage_per_minute"] == Decimal("999999.99")


def test_unbalanced_books_raise() -> None:
    """A lost row is an error of ours and says so."""
    counts = Counts(12, 10, 0, 0, 2, 0, 0)
    counts.check()
    with pytest.raises(InvariantError, match="11 are accounted for"):
        replace(counts, team_rows=1).check()


def test_payloads_are_found_in_bronze() -> None:
    """A quarantined row carries what was received, found by its origin."""
    quarantined = resolved(wide_game()[1:2]).quarantined
    bronze = pl.DataFrame({"source_sha256": ["aa", "aa"], "row_number": [2, 3], "payload": ["{2}", "{3}"]})
    assert with_payload(quarantined, bronze)["payload"].to_list() == ["{2}"]


def test_to_arrow_names_an_odd_column() -> None:
    """A frame that does not match its table is refused."""
    with pytest.raises(InvalidError, match="payload"):
        to_arrow(resolved([]).quarantined.drop("payload"), QUARANTINE.schema)


def mixed_rows() -> list[Row]:
    """Two sources, an overlap, a contradiction, an unknown player and an incomplete game."""
    rows = wide_game() + top_league_game() + wide_game("g2", "GEN", "T1", game_number=2, source="b.csv")
    rows += wide_game(source="later.csv", ingested_at=INGESTED + timedelta(days=1)) + top_league_game("g3")
    rows += wide_game("g4")[2:]
    rows[0] |= {"kills": 9}
    rows[25] |= {"player_name": None, "source_player_id": None}
    return rows


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(mixed_rows()))))
def test_order_does_not_matter(order: list[int]) -> None:
    """The same rows in any order give the same tables."""
    rows = mixed_rows()
    expected, result = resolve(frame(rows), "v1"), resolve(frame([rows[at] for at in order]), "v1")
    assert result.players.equals(expected.players)
    assert result.matches.equals(expected.matches)
    assert result.quarantined.equals(expected.quarantined)
    assert result.counts == expected.counts


@settings(max_examples=25, deadline=None)
@given(dropped=st.sets(st.integers(0, len(mixed_rows()) - 1), max_size=20))
def test_ingesting_twice_changes_nothing(dropped: set[int]) -> None:
    """Whatever rows come, coming twice only supersedes them, and the books balance."""
    rows = [row for at, row in enumerate(mixed_rows()) if at not in dropped]
    once, twice = resolve(frame(rows), "v1"), resolve(frame(rows + rows), "v1")
    assert twice.players.equals(once.players)
    assert twice.matches.equals(once.matches)
    assert twice.quarantined.equals(once.quarantined)
    superseded = once.counts.superseded + len(rows)
    assert replace(twice.counts, contradictions=0) == replace(
        once.counts, rows_in=2 * len(rows), superseded=superseded, contradictions=0
    )
