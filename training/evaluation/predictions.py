"""Every scored distribution of the model as one table, so that others can score it in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stores.features.schema import POSITIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.dataset import TrainingSet
    from training.evaluation.questions import Question

PREDICTION_SCHEMA = pa.schema(
    [
        ("gameid", pa.string()),
        ("series_id", pa.string()),
        ("playername", pa.string()),
        ("position", pa.string()),
        ("prop_type", pa.string()),
        ("map_first", pa.int32()),
        ("map_last", pa.int32()),
        ("pmf", pa.list_(pa.float64())),
        ("actual", pa.int32()),
    ]
)


def predictions_of(rows: TrainingSet, question: Question, pmf: NDArray[np.float64]) -> pa.Table:
    """The distributions of one question, of shape [n, counts], in PREDICTION_SCHEMA (index of the pmf = count)."""
    at, last = question.parts[0], question.parts[-1]
    offsets = pa.array(np.arange(len(pmf) + 1, dtype=np.int32) * pmf.shape[1])
    names = np.array([str(position) for position in POSITIONS], dtype=object)
    return pa.table(
        [
            pa.array(rows.match_id[at], pa.string()),
            pa.array(rows.series_id[at], pa.string()),
            pa.array(rows.player_name[at], pa.string()),
            pa.array(names[rows.position[at]], pa.string()),
            pa.array([str(question.prop)] * len(at), pa.string()),
            pa.array(rows.game_number[at], pa.int32()),
            pa.array(rows.game_number[last], pa.int32()),
            pa.ListArray.from_arrays(offsets, pa.array(pmf.ravel())),
            pa.array(question.actual, pa.int32()),
        ],
        schema=PREDICTION_SCHEMA,
    )
