"""The join of labels and snapshots: each row gets what was known at the start of its series, and nothing later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, CONTEXT_FEATURES, MODEL_FEATURES, PLAYER_FEATURES, TEAM_FEATURES
from stores.features.tables import CHAMPION_SNAPSHOTS, PLAYER_SNAPSHOTS, TEAM_SNAPSHOTS, TOURNAMENT_SNAPSHOTS
from stores.lake.tables import PLAYER_PERFORMANCE
from training.dataset import LABEL_COLUMNS, TrainingSet, build_training_set

if TYPE_CHECKING:
    from stores.lake.tables import LakeTable

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
NEWEST = -999.0  # the number in every newest snapshot; no row may show it


def snapshot(table: LakeTable, features: tuple[str, ...], value: float, **facts: object) -> dict[str, object]:
    """One gold row, all of whose features are the same number; a series id is left out in a newest row."""
    row: dict[str, object] = dict.fromkeys(table.schema.names)
    return row | dict.fromkeys(features, value) | {"as_of": NOON} | facts


def table_of(table: LakeTable, rows: list[dict[str, object]]) -> pa.Table:
    """The rows in the schema of their table."""
    return pa.Table.from_pylist(rows, schema=table.schema)


def label(series: str, game: int, player: str, teams: tuple[str | None, str | None], **facts: object) -> dict[str, Any]:
    """One played game of one player."""
    return {
        "match_id": f"{series}-{game}",
        "series_id": series,
        "started_at": NOON + timedelta(days=int(series[1:]), hours=game),
        "game_number": game,
        "tournament": "LCK",
        "player_id": player,
        "player_name": player.upper(),
        "position": "mid",
        "team_id": teams[0],
        "opponent_id": teams[1],
        "champion": "Ahri",
        "won": False,
        "kills": 3,
        "assists": 7,
    } | facts


def player_row(series: str | None, player: str, value: float) -> dict[str, object]:
    """A player's snapshot."""
    return snapshot(PLAYER_SNAPSHOTS, PLAYER_FEATURES, value, series_id=series, player_id=player)


def team_row(series: str | None, team: str, value: float) -> dict[str, object]:
    """A team's snapshot."""
    return snapshot(TEAM_SNAPSHOTS, TEAM_FEATURES, value, series_id=series, team_id=team)


def league_row(series: str | None, value: float, as_of: datetime = NOON) -> dict[str, object]:
    """A league's snapshot."""
    return snapshot(TOURNAMENT_SNAPSHOTS, CONTEXT_FEATURES, value, series_id=series, tournament="LCK", as_of=as_of)


def champion_row(series: str | None, champion: str, position: str, value: float) -> dict[str, object]:
    """A champion's snapshot in a role."""
    facts = {"series_id": series, "champion": champion, "position": position}
    return snapshot(CHAMPION_SNAPSHOTS, CHAMPION_FEATURES, value, **facts)


LABELS = [
    label("s2", 1, "a", ("t1", None), kills=9, position="sup"),
    label("s1", 2, "a", ("t1", "t2"), kills=5, champion=None),
    label("s1", 1, "b", ("t2", "t1"), assists=1, champion="Azir", won=True),
    label("s1", 1, "a", ("t1", "t2")),
]
OPENED = {"s1": NOON + timedelta(days=1), "s2": NOON + timedelta(days=2)}


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """Two series, joined; newest rows lie before, between and after the others."""
    players = [
        player_row(None, "a", NEWEST),
        player_row("s2", "a", 12.0),
        player_row("s1", "b", 21.0),
        player_row("s1", "a", 11.0),
        player_row(None, "b", NEWEST),
    ]
    teams = [team_row("s1", "t2", 41.0), team_row("s1", "t1", 31.0), team_row("s2", "t1", 32.0)]
    teams += [team_row(None, "t1", NEWEST), team_row(None, "t2", NEWEST)]
    leagues = [league_row(None, NEWEST), league_row("s1", 51.0, OPENED["s1"]), league_row("s2", 52.0, OPENED["s2"])]
    champions = [champion_row(None, "Ahri", "mid", NEWEST), champion_row("s2", "Ahri", "sup", 62.0)]
    champions += [champion_row("s1", "Ahri", "mid", 61.0), champion_row("s1", "Azir", "mid", 71.0)]
    labels = pa.Table.from_pylist(
        LABELS, schema=pa.schema([PLAYER_PERFORMANCE.schema.field(one) for one in LABEL_COLUMNS])
    )
    return build_training_set(
        labels,
        table_of(PLAYER_SNAPSHOTS, players),
        table_of(TEAM_SNAPSHOTS, teams),
        table_of(TOURNAMENT_SNAPSHOTS, leagues),
        table_of(CHAMPION_SNAPSHOTS, champions),
    )


def column(rows: TrainingSet, name: str) -> list[float]:
    """One feature of all rows."""
    values: list[float] = rows.features[:, MODEL_FEATURES.index(name)].tolist()
    return values


def test_rows_lie_in_order_of_time(rows: TrainingSet) -> None:
    """By start, then by match and player, whatever the order of the source."""
    assert list(zip(rows.match_id, rows.player_id, strict=True)) == [
        ("s1-1", "a"),
        ("s1-1", "b"),
        ("s1-2", "a"),
        ("s2-1", "a"),
    ]
    assert rows.counts[PropType.KILLS].tolist() == [3, 3, 5, 9]
    assert rows.counts[PropType.ASSISTS].tolist() == [7, 1, 7, 7]
    assert rows.position.tolist() == [2, 2, 2, 4]
    opened = [np.datetime64(OPENED[series].replace(tzinfo=None)) for series in ("s1", "s1", "s1", "s2")]
    assert rows.series_started_at.tolist() == [one.item() for one in opened]


def test_every_row_gets_the_snapshots_of_its_series(rows: TrainingSet) -> None:
    """Player, team, opponent and league are those of the start of the series, the same on all its maps."""
    assert column(rows, "player_kills_hl4") == [11.0, 21.0, 11.0, 12.0]
    assert column(rows, "team_elo") == [31.0, 41.0, 31.0, 32.0]
    assert column(rows, "opponent_elo")[:3] == [41.0, 31.0, 41.0]
    assert column(rows, "league_elo") == [51.0, 51.0, 51.0, 52.0]
    assert column(rows, "game_number") == [1.0, 1.0, 2.0, 1.0]


def test_a_row_keeps_its_team_and_its_result(rows: TrainingSet) -> None:
    """What happened is kept beside the features and never among them."""
    assert rows.team_id.tolist() == ["t1", "t2", "t1", "t1"]
    assert rows.won.dtype == np.bool_
    assert rows.won.tolist() == [False, True, False, False]


def test_the_draft_is_of_the_champion_that_was_picked(rows: TrainingSet) -> None:
    """Each map has its own pick, in its role, as known at the start of the series; an unknown pick is NaN."""
    assert rows.draft.shape == (len(LABELS), len(CHAMPION_FEATURES))
    assert rows.draft.dtype == np.float32
    expected = np.repeat(np.array([[61.0], [71.0], [np.nan], [62.0]]), len(CHAMPION_FEATURES), axis=1)
    assert np.array_equal(rows.draft, expected, equal_nan=True)


def test_a_missing_team_is_the_league_average(rows: TrainingSet) -> None:
    """The unknown opponent of the second series is its league's average team at that moment."""
    assert column(rows, "opponent_elo")[3] == 52.0
    assert column(rows, "opponent_kills_allowed_hl8")[3] == 52.0


def test_newest_snapshots_are_never_joined(rows: TrainingSet) -> None:
    """What is known now is in no row of the past."""
    assert not (rows.features == np.float32(NEWEST)).any()
    assert not (rows.draft == np.float32(NEWEST)).any()
    assert len(rows) == len(LABELS)


def test_without_any_known_team_all_are_average() -> None:
    """A source that knows no team at all still gives rows."""
    labels = pa.Table.from_pylist(
        [label("s1", 1, "a", (None, None))],
        schema=pa.schema([PLAYER_PERFORMANCE.schema.field(one) for one in LABEL_COLUMNS]),
    )
    made = build_training_set(
        labels,
        table_of(PLAYER_SNAPSHOTS, [player_row("s1", "a", 11.0)]),
        TEAM_SNAPSHOTS.schema.empty_table(),
        table_of(TOURNAMENT_SNAPSHOTS, [league_row("s1", 51.0)]),
        table_of(CHAMPION_SNAPSHOTS, [champion_row("s1", "Ahri", "mid", 61.0)]),
    )
    assert column(made, "team_elo") == column(made, "opponent_elo") == [51.0]


def test_where_keeps_rows_in_all_columns(rows: TrainingSet) -> None:
    """A cut is a cut of every column."""
    kept = rows.where(rows.series_id == "s2")
    assert len(kept) == 1
    assert (kept.player_id.tolist(), kept.match_id.tolist()) == (["a"], ["s2-1"])
    assert kept.features.shape == (1, len(MODEL_FEATURES))
    assert (kept.team_id.tolist(), kept.won.tolist()) == (["t1"], [False])
    assert kept.draft.tolist() == [[62.0] * len(CHAMPION_FEATURES)]
    assert kept.counts[PropType.KILLS].tolist() == [9]
