"""What is asked of every method: one map, or the sum of maps 1 and 2, of each scored row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.ensemble import COUNTS_PER_MAP
from training.subsets import MAPS_1_2, ONE_MAP, pairs_of_maps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from training.dataset import TrainingSet


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Rows that are scored together. Arrays have the length n.

    ``parts`` holds, for each map of the sum, the row of the training set; ``lines`` are the players' own lines.
    """

    prop: PropType
    maps: str
    parts: tuple[NDArray[np.int64], ...]
    actual: NDArray[np.int64]
    lines: NDArray[np.float64]
    position: NDArray[np.int64]
    series: NDArray[np.object_]
    known_games: NDArray[np.int64]

    @property
    def counts(self) -> int:
        """How many counts a distribution of the sum has; the last one holds the tail."""
        return COUNTS_PER_MAP * len(self.parts)

    def per_map(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a row-wise array says of each map, of shape [n, maps]."""
        return np.column_stack([values[part] for part in self.parts])


def questions_of(
    rows: TrainingSet,
    prop: PropType,
    asked: NDArray[np.bool_],
    player_means: NDArray[np.float64],
    games: NDArray[np.int64],
) -> tuple[Question, ...]:
    """Both questions of one prop on the asked rows; one that no row asks is left out.

    ``player_means`` (the rolling means) give the half line that a bookmaker would draw at the player's own level,
    ``games`` the player's known games; both of shape [rows].
    """
    first, second = pairs_of_maps(rows)
    both = asked[first] & asked[second]
    parts_of = {ONE_MAP: (np.flatnonzero(asked),), MAPS_1_2: (first[both], second[both])}
    return tuple(
        Question(
            prop=prop,
            maps=maps,
            parts=parts,
            actual=np.column_stack([rows.counts[prop][part] for part in parts]).sum(axis=1),
            lines=np.floor(np.column_stack([player_means[part] for part in parts]).sum(axis=1)) + 0.5,
            position=rows.position[parts[0]],
            series=rows.series_id[parts[0]],
            known_games=games[parts[0]],
        )
        for maps, parts in parts_of.items()
        if len(parts[0])
    )
