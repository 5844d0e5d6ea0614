"""The oracle: the true distributions of a simulated season, the least expected score that any forecast can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import POSITIONS
from training.subsets import ONE_MAP

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from training.dataset import TrainingSet
    from training.evaluation.questions import Question

ORACLE = "oracle"
_KEY = ("gameid", "playername", "position", "prop_type")


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """The truth of every asked row: ``pmfs`` of shape [asked, counts] per prop, row r of the set at ``asked_at[r]``."""

    pmfs: dict[PropType, NDArray[np.float64]]
    asked_at: NDArray[np.int64]

    def answers(self, question: Question) -> dict[str, NDArray[np.float64]]:
        """The true distributions of shape [n, counts], under the method's name.

        Nothing for a sum over maps: the truth holds single maps, whose results hang together within a series.
        """
        if question.maps != ONE_MAP:
            return {}
        return {ORACLE: _folded(self.pmfs[question.prop][self.asked_at[question.parts[0]]], question.counts)}


def read_oracle(truth: Path, rows: TrainingSet, asked: NDArray[np.bool_]) -> Oracle:
    """The truth of the asked rows; ``truth`` is the `truth/truth.parquet` that lies beside a season's `matches/`.

    Its columns are ``gameid``, ``playername``, ``position``, ``prop_type`` and ``pmf`` (index = count); rows are joined
    on the first four. Raises InvalidError if an asked row has no truth, or the file is none.
    """
    table = _read(truth)
    row_of = {key: row for row, key in enumerate(zip(*(table[name].to_pylist() for name in _KEY), strict=True))}
    pmfs = np.stack(table["pmf"].to_numpy(zero_copy_only=False))
    positions = [str(POSITIONS[at]) for at in rows.position[asked]]
    of_prop = {}
    for prop in PropType:
        keys = zip(rows.match_id[asked], rows.player_name[asked], positions, [str(prop)] * len(positions), strict=True)
        found = np.array([row_of.get(key, -1) for key in keys], dtype=np.int64)
        if (found < 0).any():
            first = np.flatnonzero(asked)[int((found < 0).argmax())]
            raise InvalidError(
                f"{truth} has no truth of {int((found < 0).sum())} of {len(found)} scored rows, the first is {prop} of "
                f"{rows.player_name[first]} in {rows.match_id[first]}; score the season that it was written with, or "
                "move it away to score without the oracle",
                "--data",
            )
        of_prop[prop] = pmfs[found]
    return Oracle(of_prop, np.cumsum(asked) - 1)


def _read(truth: Path) -> pa.Table:
    try:
        return pq.read_table(truth, columns=[*_KEY, "pmf"])
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are among them
        raise InvalidError(
            f"{truth} cannot be read as truth: {error}; write the season again, or move the file away", "--data"
        ) from error


def _folded(pmf: NDArray[np.float64], counts: int) -> NDArray[np.float64]:
    """The same distributions over 0 … counts-1, the tail in the last count."""
    wide = np.pad(pmf, ((0, 0), (0, max(counts - pmf.shape[1], 0))))
    folded = wide[:, :counts].copy()
    folded[:, -1] += wide[:, counts:].sum(axis=1)
    return folded
