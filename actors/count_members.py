"""The members that expect a player's count on a map, each for a lost and for a won map, and their combination.

- ``hierarchy``: kills of the team in such a result, times the player's share (stores.features.kill_model).
- ``correction``: trees that correct the geometric mean of ``hierarchy`` and the player's own mean in such a result
  (Poisson objective, the log of it as offset); the own mean gained nothing in the combination (docs/model.md).
- ``direct``: trees that know neither (Tweedie objective).
- ``draft``: trees that correct the combination for the champion, where it is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES, RESULTS
from stores.kernels import kernel, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from actors.compiled_trees import CompiledTrees

LEAST_MEAN = 0.02  # no offset may be zero


class Member(StrEnum):
    """Every member that takes part in the combination, in its order."""

    HIERARCHY = "hierarchy"
    CORRECTION = "correction"
    DIRECT = "direct"


class Trees(StrEnum):
    """The members that are boosted trees."""

    CORRECTION = "correction"
    DIRECT = "direct"
    DRAFT = "draft"


# columns of MODEL_FEATURES, of shape [player's own or expected, results]
STRUCTURAL = {
    prop: np.array(
        [
            [MODEL_FEATURES.index(f"{prefix}_{prop}_when_{result}") for result in RESULTS]
            for prefix in ("player", "expected")
        ]
    )
    for prop in PropType
}
OF_DRAFT = [MODEL_FEATURES.index(name) for name in ("player_pool_kills", "player_pool_assists", "position")]
DRAFT_WIDTH = len(CHAMPION_FEATURES) + len(OF_DRAFT) + 2  # of a row that `draft` sees: behind them mean and result


@dataclass(frozen=True, slots=True, eq=False)
class CountMembers:
    """The members of one prop. ``weights`` belong to Member, in its order."""

    prop: PropType
    trees: Mapping[Trees, CompiledTrees]
    weights: tuple[float, ...]

    def means(self, features: NDArray[np.float32], draft: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """The expected count when lost and when won, of shape [n, 2].

        ``features`` are MODEL_FEATURES, ``draft`` CHAMPION_FEATURES with NaN where no champion is known, both [n, ...].
        """
        mean = combined_means(np.array(self.weights), _of_all(self.prop, self.trees, features))
        if draft is None or Trees.DRAFT not in self.trees:
            return mean
        return drafted_means(self.trees[Trees.DRAFT], features, draft, mean)


def combined_means(weights: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """The members' weighted sum, of shape [...], from means of shape [members, ...]; none is below LEAST_MEAN."""
    mean = np.empty(members.shape[1:])
    combine()(plain(weights), plain(members).reshape(len(weights), -1), mean.reshape(-1))
    return mean


def drafted_means(
    trees: CompiledTrees, features: NDArray[np.float32], draft: NDArray[np.float32], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the trees ``draft`` make of the combination's ``means``, both of shape [n, 2], for known champions."""
    factors = trees.predict(draft_rows(features, draft, means)).reshape(len(RESULTS), -1).T
    return np.asarray(np.where(np.isnan(draft[:, :1]), means, means * factors))


def offsets(prop: PropType, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean that ``correction`` corrects, of shape [n, 2]."""
    ones = np.ones((len(features), len(RESULTS)))  # trees that say nothing
    return np.asarray(_members(prop, features, ones, ones)[list(Member).index(Member.CORRECTION)])


def member_means(
    prop: PropType, trees: Mapping[Trees, CompiledTrees], features: NDArray[np.float32]
) -> dict[Member, NDArray[np.float64]]:
    """What each member expects, of shape [n, 2]."""
    return dict(zip(Member, _of_all(prop, trees, features), strict=True))


def _of_all(prop: PropType, trees: Mapping[Trees, CompiledTrees], features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same as one array of shape [members, n, 2]."""
    factors = trees[Trees.CORRECTION].predict_by_result(features)
    return _members(prop, features, factors, trees[Trees.DIRECT].predict_by_result(features))


def _members(
    prop: PropType, features: NDArray[np.float32], factors: NDArray[np.float64], direct: NDArray[np.float64]
) -> NDArray[np.float64]:
    if features.shape[1] != len(MODEL_FEATURES):
        raise InvalidError(f"rows have the {len(MODEL_FEATURES)} MODEL_FEATURES, not {features.shape[1]}", "features")
    members = np.empty((len(Member), len(features), len(RESULTS)))
    fill_members()(plain(features), STRUCTURAL[prop], factors, direct, members)
    return members


@kernel("void(float32[:, ::1], int64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, :, ::1])")
def fill_members(
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    factors: NDArray[np.float64],
    direct: NDArray[np.float64],
    members: NDArray[np.float64],
) -> None:
    """``factors`` are what ``correction`` says, ``columns`` those of the structural means."""
    for row in range(len(features)):
        for result in range(len(RESULTS)):
            own = max(np.float64(features[row, columns[0, result]]), LEAST_MEAN)  # in this order NaN stays
            shared = max(np.float64(features[row, columns[1, result]]), LEAST_MEAN)
            members[0, row, result] = shared
            members[1, row, result] = math.sqrt(own * shared) * factors[row, result]
            members[2, row, result] = direct[row, result]


@kernel("void(float64[::1], float64[:, ::1], float64[::1])")
def combine(weights: NDArray[np.float64], members: NDArray[np.float64], mean: NDArray[np.float64]) -> None:
    for at in range(len(mean)):
        total = 0.0
        for member in range(len(weights)):
            total += weights[member] * members[member, at]
        mean[at] = max(total, LEAST_MEAN)


def result_rows(features: NDArray[np.float32], won: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The rows that trees learn from, the result as last column, of shape [n, features + 1]."""
    return np.column_stack([features, won.astype(np.float32)])


def draft_rows(
    features: NDArray[np.float32], draft: NDArray[np.float32], means: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The rows that ``draft`` sees, lost then won, of shape [2n, 8]: champion, own pool, role, mean, result."""
    known = draft.shape[1]
    rows = np.empty((len(RESULTS), len(features), known + len(OF_DRAFT) + 2), dtype=np.float32)
    rows[:, :, :known] = draft
    rows[:, :, known:-2] = features[:, OF_DRAFT]
    rows[:, :, -2] = means.T
    rows[:, :, -1] = np.arange(len(RESULTS))[:, None]
    return rows.reshape(-1, rows.shape[-1])
