"""The draft of a training row is what its pick was known for before the series, and NaN where no pick is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.snapshots import take_snapshots
from stores.features.champions import PULL_GAMES
from stores.features.schema import CHAMPION_FEATURES, POSITIONS
from stores.lake.tables import PLAYER_PERFORMANCE
from training.dataset import TrainingSet, build_training_set

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MID = 2


def game(number: int, series: str, mids: tuple[str | None, str | None]) -> list[dict[str, Any]]:
    """The ten rows of a game of thirty minutes, an hour after the one before; the winning mid has six kills."""
    return [
        {
            "player_id": f"{team}-{position}",
            "match_id": f"m{number}",
            "series_id": series,
            "tournament": "LCK",
            "started_at": NOON + timedelta(hours=number),
            "game_number": number,
            "duration_seconds": 1800,
            "player_name": f"{team} {position}",
            "team": team,
            "team_id": team,
            "opponent_id": "y" if team == "x" else "x",
            "position": str(position),
            "champion": mids[side] if at == MID else f"champion {at}",
            "won": side == 0,
            "kills": 6 if at == MID and side == 0 else 2,
            "deaths": 1,
            "assists": 3,
            "team_kills": 14 if side == 0 else 10,
            "opponent_kills": 10 if side == 0 else 14,
        }
        for side, team in enumerate("xy")
        for at, position in enumerate(POSITIONS)
    ]


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """A series in which Ahri wins against Azir, one of other picks, and one that has both again."""
    games = [game(1, "a", ("Ahri", "Azir")), game(2, "b", (None, "Sylas")), game(3, "c", ("Azir", "Ahri"))]
    silver = pa.Table.from_pylist([row for each in games for row in each], schema=PLAYER_PERFORMANCE.schema)
    gold = take_snapshots(silver)
    return build_training_set(silver, gold.players, gold.teams, gold.tournaments, gold.champions)


def drafts(rows: TrainingSet) -> dict[tuple[str, str], list[float]]:
    """The draft of each mid."""
    mids = np.flatnonzero(rows.position == MID)
    return {(rows.series_id[at], rows.player_id[at]): rows.draft[at].tolist() for at in mids}


def test_a_pick_has_what_was_known_before_its_series(rows: TrainingSet) -> None:
    """In the third series each champion has the one game that it had, whoever plays it now; in the first, none."""
    assert rows.draft.dtype == np.float32
    assert rows.draft.shape == (len(rows), len(CHAMPION_FEATURES))
    found = drafts(rows)
    assert found["a", "x-mid"] == found["a", "y-mid"] == [1.0, 1.0, 0.0]
    usual = (6 + 2 + 2) / 3  # kills of the mids whose pick is known, before the third series
    for player, kills in (("y-mid", 6), ("x-mid", 2)):
        assert found["c", player] == pytest.approx([(kills / usual + PULL_GAMES) / (1 + PULL_GAMES), 1.0, 1.0])


def test_an_unknown_pick_is_not_a_number(rows: TrainingSet) -> None:
    """Where the source does not know the champion, all of the draft is NaN; a champion nobody played is average."""
    found = drafts(rows)
    assert np.isnan(found["b", "x-mid"]).all()
    assert found["b", "y-mid"] == [1.0, 1.0, 0.0]
    assert np.isnan(rows.draft).any(axis=1).sum() == 1


def test_a_cut_keeps_each_rows_draft(rows: TrainingSet) -> None:
    """The rows that are kept have their own draft."""
    kept = rows.where(rows.series_id == "c")
    assert drafts(kept) == {key: draft for key, draft in drafts(rows).items() if key[0] == "c"}
