"""A snapshot holds exactly the games that had ended when its series began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.snapshots import SILVER_COLUMNS, Snapshots, take_snapshots
from stores.features.champions import PULL_GAMES
from stores.features.schema import FEATURE_VERSION, POSITIONS
from stores.features.tables import (
    CHAMPION_SNAPSHOTS,
    PLAYER_SNAPSHOTS,
    RECENT_MAPS,
    TEAM_SNAPSHOTS,
    TOURNAMENT_SNAPSHOTS,
)
from stores.lake.tables import PLAYER_PERFORMANCE

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SILVER = pa.schema([PLAYER_PERFORMANCE.schema.field(name) for name in SILVER_COLUMNS])


def game(match: str, series: str, blue: str, red: str, starts_min: int, **changes: Any) -> list[dict[str, Any]]:
    """The ten rows of a game of thirty minutes that blue wins; ``starts_min`` counts from noon."""
    facts = {
        "match_id": match,
        "series_id": series,
        "tournament": "LCK",
        "started_at": NOON + timedelta(minutes=starts_min),
        "patch_version": "16.04",
        "duration_seconds": 1800,
        "damage_share": 0.2,
        "vision_score": 30,
    }
    return [
        facts
        | {
            "player_id": f"{team}-{position}",
            "player_name": f"{team}'s {position}",
            "team": f"Team {team}",
            "team_id": team,
            "position": str(position),
            "champion": f"champion {at}",
            "won": team == blue,
            "kills": at + (2 if team == blue else 0),
            "deaths": 1,
            "assists": 3,
            "team_kills": 20 if team == blue else 10,
            "opponent_kills": 10 if team == blue else 20,
        }
        | changes
        for team in (blue, red)
        for at, position in enumerate(POSITIONS)
    ]


def taken(*games: list[dict[str, Any]]) -> Snapshots:
    """The snapshots of these games."""
    return take_snapshots(pa.Table.from_pylist([row for rows in games for row in rows], schema=SILVER))


def known(snapshots: Snapshots) -> dict[tuple[str | None, str], int]:
    """How many games each snapshot of a player knows."""
    rows = snapshots.players.to_pylist()
    found = {(row["series_id"], row["player_id"]): int(row["games_known"]) for row in rows}
    assert len(found) == len(rows)
    return found


def bits(table: pa.Table) -> list[tuple[object, ...]]:
    """The rows, comparable to the bit."""
    columns = [
        np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64).view(np.int64).tolist()
        if pa.types.is_floating(column.type)
        else column.to_pylist()
        for column in table.columns
    ]
    return list(zip(*(map(str, column) for column in columns), strict=True))


def test_a_series_sees_nothing_of_itself() -> None:
    """All maps of a series share one snapshot per player, taken before the first; the next series knows them all."""
    snapshots = taken(
        game("a1", "a", "x", "y", 0),
        game("a2", "a", "y", "x", 60),
        game("a3", "a", "x", "y", 120),
        game("b1", "b", "x", "z", 300),
    )
    counts = known(snapshots)
    assert counts["a", "x-mid"] == counts["a", "y-mid"] == 0
    assert counts["b", "x-mid"] == 3
    assert counts["b", "z-mid"] == 0
    assert ("b", "y-mid") not in counts
    assert counts[None, "x-mid"] == 4


@pytest.mark.parametrize(("starts_min", "games"), [(29, 0), (30, 1), (31, 1)])
def test_a_game_is_known_from_its_end_on(starts_min: int, games: int) -> None:
    """A series that begins while a game is played knows nothing of it; at the second of its end it does."""
    counts = known(taken(game("a1", "a", "x", "y", 0), game("b1", "b", "x", "z", starts_min)))
    assert counts["b", "x-mid"] == games


def test_series_that_overlap_see_only_what_has_ended() -> None:
    """A league's averages grow game by game while a series is under way elsewhere."""
    snapshots = taken(
        game("a1", "a", "x", "y", 0),
        game("a2", "a", "x", "y", 45),
        game("b1", "b", "u", "v", 40),  # after the first map of a, before its second
        game("c1", "c", "w", "x", 80),  # both maps of a and the one of b have ended
    )
    leagues = {row["series_id"]: row["league_games_known"] for row in snapshots.tournaments.to_pylist()}
    assert leagues == {"a": 0, "b": 1, "c": 3, None: 4}
    assert known(snapshots)["c", "x-mid"] == 2


def test_a_long_game_is_not_known_before_a_short_one_that_began_later() -> None:
    """The end counts, not the start."""
    snapshots = taken(
        game("long", "a", "x", "y", 0, duration_seconds=6000),
        game("short", "b", "u", "v", 10, duration_seconds=1200),
        game("c1", "c", "u", "x", 50),
    )
    counts = known(snapshots)
    assert (counts["c", "u-mid"], counts["c", "x-mid"]) == (1, 0)


def test_a_series_is_known_by_its_own_moment() -> None:
    """Every row carries the start of its series, its day and the version; the newest carry the last end."""
    snapshots = taken(game("a1", "a", "x", "y", 0), game("a2", "a", "x", "y", 13 * 60))
    for table in (snapshots.players, snapshots.teams, snapshots.tournaments, snapshots.champions):
        for row in table.to_pylist():
            moment = NOON if row["series_id"] else NOON + timedelta(hours=13, minutes=30)
            assert row["as_of"] == moment
            assert row["feature_date"] == moment.date()
            assert row["feature_version"] == FEATURE_VERSION


def test_the_newest_snapshots_hold_everyone_once() -> None:
    """From them answers are served: each player, team and tournament, with what was last known of them."""
    snapshots = taken(
        game("a1", "a", "x", "y", 0),
        game("b1", "b", "z", "y", 100, tournament="LPL", patch_version="16.05"),
    )
    newest = [row for row in snapshots.players.to_pylist() if row["series_id"] is None]
    assert [row["player_id"] for row in newest] == sorted(f"{team}-{one}" for team in "xyz" for one in POSITIONS)
    mid = next(row for row in newest if row["player_id"] == "y-mid")
    assert mid["player_name"] == "y's mid"
    assert (mid["team_id"], mid["team_current"], mid["position_primary"]) == ("y", "Team y", "mid")
    assert (mid["tournament"], mid["tournaments_played"]) == ("LPL", ["LCK", "LPL"])
    assert (mid["champions_played"], mid["data_quality_score"]) == (["champion 2"], 1.0)
    teams = [row for row in snapshots.teams.to_pylist() if row["series_id"] is None]
    assert {row["team_id"]: (row["team_name"], row["tournament"]) for row in teams} == {
        "x": ("Team x", "LCK"),
        "y": ("Team y", "LPL"),
        "z": ("Team z", "LPL"),
    }
    tournaments = [row for row in snapshots.tournaments.to_pylist() if row["series_id"] is None]
    assert {row["tournament"]: row["patch_version"] for row in tournaments} == {"LCK": "16.04", "LPL": "16.05"}


def test_the_newest_snapshots_hold_the_last_maps() -> None:
    """At most ten of each player, as silver tells them, the newest first; who trains has none of them to read."""
    pairs = [("x", "y"), ("z", "x")] * 6
    games = [game(f"m{at:02}", f"s{at // 2}", *pair, 60 * at, kills=at) for at, pair in enumerate(pairs)]
    games[-1][7]["champion"] = None
    rows = taken(*games).players.to_pylist()
    recent = {row["player_id"]: {name: row[name] for name in RECENT_MAPS} for row in rows if row["series_id"] is None}
    assert all(row[name] is None for row in rows if row["series_id"] for name in RECENT_MAPS)
    of_mid = [one for rows in reversed(games) for one in rows if one["player_id"] == "x-mid"][:10]
    assert recent["x-mid"] == {
        "recent_started_at": [one["started_at"] for one in of_mid],
        "recent_opponents": ["Team z", "Team y"] * 5,
        "recent_won": [one["won"] for one in of_mid],
        "recent_champions": [one["champion"] for one in of_mid],
        "recent_kills": list(range(11, 1, -1)),
        "recent_deaths": [1] * 10,
        "recent_assists": [3] * 10,
    }
    assert recent["x-mid"]["recent_champions"] == [None, *["champion 2"] * 9]
    assert recent["y-mid"]["recent_kills"] == [10, 8, 6, 4, 2, 0]


def test_the_first_snapshot_of_a_player_names_no_history() -> None:
    """Before his first game a player has a name and a role, but no team, league or champion of the past."""
    first = next(row for row in taken(game("a1", "a", "x", "y", 0)).players.to_pylist() if row["series_id"] == "a")
    assert (first["team_id"], first["team_current"]) == (None, None)
    assert (first["tournaments_played"], first["champions_played"]) == ([], [])
    assert (first["data_quality_score"], first["avg_kills_30d"]) == (0.0, None)


def test_what_the_source_does_not_tell_stays_unknown() -> None:
    """Teams, patch, champion, damage and vision may be missing: null, never a text or a zero."""
    nothing = {"team_id": None, "team": None, "patch_version": None, "champion": None}
    snapshots = taken(game("a1", "a", "x", "y", 0, damage_share=None, vision_score=None, **nothing))
    assert snapshots.teams.num_rows == snapshots.champions.num_rows == 0
    newest = snapshots.players.to_pylist()[-1]
    assert newest["series_id"] is None
    assert (newest["team_id"], newest["champions_played"]) == (None, [])
    assert newest["data_quality_score"] == pytest.approx(10 / 12)
    assert (newest["recent_opponents"], newest["recent_champions"]) == ([None], [None])
    assert {row["patch_version"] for row in snapshots.tournaments.to_pylist()} == {None}
    assert {row["patch_games"] for row in snapshots.tournaments.to_pylist()} == {0}


def test_a_game_of_one_team_is_known_to_its_players() -> None:
    """Where the other five players are unknown, the counts of their team are still read from these rows."""
    half = [row for row in game("a1", "a", "x", "y", 0) if row["team_id"] == "x"]
    newest = {row["player_id"]: row for row in taken(half).players.to_pylist() if row["series_id"] is None}
    prior = 13 * 20 / 21 + 10 / 21  # of the league's five, each role once
    year = (10 + 6 * prior) / 7
    assert newest["x-mid"]["opponent_kills_hl40"] == pytest.approx(year)


def test_a_change_of_role_within_a_series_is_not_foreseen() -> None:
    """The snapshot of a series has the role of its first map, whatever was played later."""
    second = game("a2", "a", "x", "y", 60)
    for row in second:
        if row["player_id"] in {"x-mid", "x-top"}:
            row["position"] = "top" if row["position"] == "mid" else "mid"
    rows = {
        (row["series_id"], row["player_id"]): row
        for row in taken(game("a1", "a", "x", "y", 0), second).players.to_pylist()
    }
    assert rows["a", "x-mid"]["position_primary"] == "mid"
    assert rows[None, "x-mid"]["position_primary"] == "top"


def test_a_pick_is_known_by_the_games_before_its_series() -> None:
    """Each series has one row per champion and role that it saw, on any of its maps; the newest have them all."""
    first = game("a1", "a", "x", "y", 0)
    second = game("a2", "a", "x", "y", 60)
    second[2]["champion"] = "Ahri"  # the mid of x
    snapshots = taken(first, second, game("b1", "b", "x", "z", 120))
    rows = {(row["series_id"], row["champion"], row["position"]): row for row in snapshots.champions.to_pylist()}
    assert len(rows) == snapshots.champions.num_rows == 6 + 5 + 6
    assert [row["champion_games"] for key, row in rows.items() if key[0] == "a"] == [0.0] * 6
    assert {row["champion_kills"] for key, row in rows.items() if key[0] == "a"} == {1.0}
    assert rows["b", "champion 2", "mid"]["champion_games"] == 3
    assert ("b", "Ahri", "mid") not in rows
    ahri = rows[None, "Ahri", "mid"]
    role_kills = (4 + 2 + 4 + 2 + 4 + 2) / 6  # of the three winning mids and the three losing ones
    assert ahri["champion_games"] == 1
    assert ahri["champion_kills"] == pytest.approx((4 / role_kills + PULL_GAMES) / (1 + PULL_GAMES))
    assert ahri["champion_assists"] == pytest.approx(1.0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    """The same games in any order give the same tables, bit for bit."""
    games = [
        game(f"{series}{number}", series, teams[0], teams[1], 200 * at + 50 * number)
        for at, (series, teams) in enumerate({"a": "xy", "b": "yz", "c": "zx", "d": "xy"}.items())
        for number in range(3)
    ]
    rows = [row for each in games for row in each]
    first = taken(rows)
    rng = np.random.default_rng(5)
    for _ in range(5):
        again = taken([rows[at] for at in rng.permutation(len(rows))])
        for name in ("players", "teams", "tournaments", "champions"):
            assert bits(getattr(again, name)) == bits(getattr(first, name))


def test_the_tables_have_their_schemas() -> None:
    """The rows are ready for the lake, those of no game at all as well."""
    for snapshots in (taken(game("a1", "a", "x", "y", 0)), taken()):
        assert snapshots.players.schema == PLAYER_SNAPSHOTS.schema
        assert snapshots.teams.schema == TEAM_SNAPSHOTS.schema
        assert snapshots.tournaments.schema == TOURNAMENT_SNAPSHOTS.schema
        assert snapshots.champions.schema == CHAMPION_SNAPSHOTS.schema


def test_without_games_there_are_no_snapshots() -> None:
    """Empty in, empty out."""
    nothing = taken()
    assert nothing.players.num_rows == nothing.teams.num_rows == nothing.tournaments.num_rows == 0
    assert nothing.champions.num_rows == 0
