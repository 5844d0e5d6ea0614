"""The members that expect a player's count on a map, each for a lost and for a won map, and their combination.

- ``results``: the player's own mean when his team lost and when it won, drawn to his role.
- ``hierarchy``: kills of the team in such a result, times the player's share (stores.features.kill_model).
- ``correction``: trees that correct the geometric mean of these two (Poisson objective, their log mean as offset).
- ``direct``: trees that know neither (Tweedie objective).
- ``draft``: trees that correct the combination for the champion, where it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from stores.features.schema import MODEL_FEATURES, RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xgboost as xgb
    from numpy.typing import NDArray

    from stores.domain.props import PropType

LEAST_MEAN = 0.02  # no offset may be zero


class Member(StrEnum):
    """Every member that takes part in the combination, in its order."""

    RESULTS = "results"
    HIERARCHY = "hierarchy"
    CORRECTION = "correction"
    DIRECT = "direct"


class Trees(StrEnum):
    """The members that are boosted trees."""

    CORRECTION = "correction"
    DIRECT = "direct"
    DRAFT = "draft"


_POOL = [MODEL_FEATURES.index(f"player_{name}") for name in ("pool_kills", "pool_assists")]
_POSITION = MODEL_FEATURES.index("position")


@dataclass(frozen=True, slots=True, eq=False)
class CountMembers:
    """The members of one prop. ``weights`` belong to Member, in its order."""

    prop: PropType
    trees: Mapping[Trees, xgb.Booster]
    weights: tuple[float, ...]

    def means(self, features: NDArray[np.float32], draft: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """The expected count when lost and when won, of shape [n, 2].

        ``features`` are MODEL_FEATURES, ``draft`` CHAMPION_FEATURES with NaN where no champion is known, both [n, ...].
        """
        of_members = member_means(self.prop, self.trees, features)
        mean = np.zeros((len(features), len(RESULTS)))
        for member, weight in zip(Member, self.weights, strict=True):
            mean += weight * of_members[member]
        mean = np.maximum(mean, LEAST_MEAN)
        if draft is None or Trees.DRAFT not in self.trees:
            return mean
        return drafted_means(self.trees[Trees.DRAFT], features, draft, mean)


def drafted_means(
    trees: xgb.Booster, features: NDArray[np.float32], draft: NDArray[np.float32], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the trees ``draft`` make of the combination's ``means``, both of shape [n, 2], for known champions."""
    known = ~np.isnan(draft[:, 0])
    corrected = means.copy()
    if known.any():
        corrected[known] *= _by_result(trees, draft_rows(features[known], draft[known], means[known]))
    return corrected


def structural_means(prop: PropType, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the members ``results`` and ``hierarchy`` expect, each of shape [n, 2]."""
    own, shared = (
        [MODEL_FEATURES.index(f"{prefix}_{prop}_when_{result}") for result in RESULTS]
        for prefix in ("player", "expected")
    )
    return (
        np.maximum(features[:, own].astype(np.float64), LEAST_MEAN),
        np.maximum(features[:, shared].astype(np.float64), LEAST_MEAN),
    )


def offsets(prop: PropType, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean that ``correction`` corrects, of shape [n, 2]."""
    own, shared = structural_means(prop, features)
    return np.sqrt(own * shared)


def member_means(
    prop: PropType, trees: Mapping[Trees, xgb.Booster], features: NDArray[np.float32]
) -> dict[Member, NDArray[np.float64]]:
    """What each member expects, of shape [n, 2]."""
    own, shared = structural_means(prop, features)
    return {
        Member.RESULTS: own,
        Member.HIERARCHY: shared,
        Member.CORRECTION: offsets(prop, features) * _by_result(trees[Trees.CORRECTION], result_rows(features)),
        Member.DIRECT: _by_result(trees[Trees.DIRECT], result_rows(features)),
    }


def result_rows(features: NDArray[np.float32], won: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """The rows that trees see, the result as last column: [n, features + 1] for a known result, else first all lost,
    then all won, of shape [2n, features + 1].
    """
    if won is not None:
        return np.column_stack([features, won.astype(np.float32)])
    result = np.repeat(np.arange(len(RESULTS), dtype=np.float32), len(features))
    return np.column_stack([np.tile(features, (len(RESULTS), 1)), result])


def draft_rows(
    features: NDArray[np.float32], draft: NDArray[np.float32], means: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The rows that ``draft`` sees, lost then won, of shape [2n, 8]: champion, own pool, role, mean, result."""
    known = np.column_stack([draft, features[:, _POOL], features[:, _POSITION]])
    both = [np.column_stack([known, means[:, at], np.full(len(known), at)]) for at in range(len(RESULTS))]
    return np.concatenate(both).astype(np.float32)


def _by_result(trees: xgb.Booster, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Predictions of rows that lie lost first, then won, as [n, 2]."""
    predicted = np.asarray(trees.inplace_predict(rows), dtype=np.float64)
    return np.ascontiguousarray(predicted.reshape(len(RESULTS), -1).T)
