"""The point-in-time training set: one row per player and map, features as of the start of its series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, CONTEXT_FEATURES, PLAYER_FEATURES, POSITION_INDEX, TEAM_FEATURES
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

LABEL_COLUMNS = (
    "match_id",
    "series_id",
    "started_at",
    "game_number",
    "tournament",
    "player_id",
    "player_name",
    "position",
    "team_id",
    "opponent_id",
    "champion",
    "won",
    "kills",
    "assists",
)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Rows in order of time. All arrays have the length n; ``features`` has the shape [n, MODEL_FEATURES]."""

    features: NDArray[np.float32]
    counts: dict[PropType, NDArray[np.int64]]
    won: NDArray[np.bool_]
    position: NDArray[np.int64]
    game_number: NDArray[np.int64]
    started_at: NDArray[np.datetime64]
    series_started_at: NDArray[np.datetime64]
    series_id: NDArray[np.object_]
    match_id: NDArray[np.object_]
    player_id: NDArray[np.object_]
    player_name: NDArray[np.object_]
    tournament: NDArray[np.object_]
    team_id: NDArray[np.object_]  # None where the source does not know it
    draft: NDArray[np.float32]  # [n, CHAMPION_FEATURES] of the picked champion; NaN where the source does not know it

    def __len__(self) -> int:
        return len(self.position)

    def where(self, keep: NDArray[np.bool_]) -> TrainingSet:
        """The rows that are kept."""
        return TrainingSet(
            self.features[keep],
            {prop: counts[keep] for prop, counts in self.counts.items()},
            self.won[keep],
            *(
                getattr(self, name)[keep]
                for name in (
                    "position",
                    "game_number",
                    "started_at",
                    "series_started_at",
                    "series_id",
                    "match_id",
                    "player_id",
                    "player_name",
                    "tournament",
                    "team_id",
                    "draft",
                )
            ),
        )


def build_training_set(
    silver: pa.Table, players: pa.Table, teams: pa.Table, tournaments: pa.Table, champions: pa.Table
) -> TrainingSet:
    """Join the labels of player_performance with the gold snapshots of their series.

    The newest snapshots (null series) are left out: they know more than any played series did.
    """
    labels = silver.select(list(LABEL_COLUMNS)).sort_by(
        [("started_at", "ascending"), ("match_id", "ascending"), ("player_id", "ascending")]
    )
    column = {name: labels[name].to_numpy(zero_copy_only=False) for name in LABEL_COLUMNS}
    series = column["series_id"]
    position = np.array([POSITION_INDEX[value] for value in column["position"]], dtype=np.int64)
    contexts, context_row = _snapshots(tournaments, ("series_id",), CONTEXT_FEATURES)
    context_rows = np.array([context_row[(one,)] for one in series], dtype=np.int64)
    player_vectors, player_row = _snapshots(players, ("series_id", "player_id"), PLAYER_FEATURES)
    player_rows = np.array([player_row[key] for key in zip(series, column["player_id"], strict=True)], dtype=np.int64)
    context = contexts[context_rows]
    own = _team_vectors(teams, series, column["team_id"], context)
    opponent = _team_vectors(teams, series, column["opponent_id"], context)
    game_number = column["game_number"].astype(np.int64)
    as_of = tournaments["as_of"].to_numpy(zero_copy_only=False)
    return TrainingSet(
        features=assemble(player_vectors[player_rows], own, opponent, context, position, game_number),
        counts={prop: column[str(prop)].astype(np.int64) for prop in PropType},
        won=column["won"].astype(np.bool_),
        position=position,
        game_number=game_number,
        started_at=column["started_at"],
        series_started_at=as_of[context_rows],
        series_id=series,
        match_id=column["match_id"],
        player_id=column["player_id"],
        player_name=column["player_name"],
        tournament=column["tournament"],
        team_id=column["team_id"],
        draft=_draft(champions, zip(series, column["champion"], column["position"], strict=True)),
    )


def _snapshots(
    table: pa.Table, key: Sequence[str], features: Sequence[str]
) -> tuple[NDArray[np.float64], dict[tuple[object, ...], int]]:
    keys = zip(*(table[name].to_pylist() for name in key), strict=True)
    rows = {one: index for index, one in enumerate(keys) if one[0] is not None}
    return np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in features]), rows


def _team_vectors(
    teams: pa.Table, series: NDArray[np.object_], team_ids: NDArray[np.object_], context: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each row's team; where the source does not know it, the average team of the league."""
    vectors, row_of = _snapshots(teams, ("series_id", "team_id"), TEAM_FEATURES)
    rows = np.array([row_of.get(key, -1) for key in zip(series, team_ids, strict=True)], dtype=np.int64)
    known = rows >= 0
    found = context[:, LEAGUE_AVERAGE_TEAM].copy()
    found[known] = vectors[rows[known]]
    return found


def _draft(champions: pa.Table, picks: Iterable[tuple[object, ...]]) -> NDArray[np.float32]:
    """Each pick's champion in its role; ``picks`` are series, champion and role."""
    vectors, row_of = _snapshots(champions, ("series_id", "champion", "position"), CHAMPION_FEATURES)
    rows = np.array([row_of[key] if key[1] else -1 for key in picks], dtype=np.int64)
    found = np.full((len(rows), len(CHAMPION_FEATURES)), np.nan, dtype=np.float32)
    found[rows >= 0] = vectors[rows[rows >= 0]]
    return found
