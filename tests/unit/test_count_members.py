"""The members: what each expects of a row, how they are combined, and what a known champion changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.count_members import (
    LEAST_MEAN,
    CountMembers,
    Member,
    Trees,
    draft_rows,
    member_means,
    offsets,
    result_rows,
)
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES
from tests.unit.conftest import structural_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble

KILLS = PropType.KILLS
each_prop = pytest.mark.parametrize("prop", PropType)


@pytest.fixture(scope="module")
def features() -> NDArray[np.float32]:
    """Fifty rows of any features."""
    return np.random.default_rng(9).uniform(0.0, 20.0, size=(50, len(MODEL_FEATURES))).astype(np.float32)


@pytest.fixture(scope="module")
def draft() -> NDArray[np.float32]:
    """Champions of every third row; of the others none is known."""
    known = np.random.default_rng(10).uniform(0.5, 1.5, size=(50, len(CHAMPION_FEATURES))).astype(np.float32)
    known[np.arange(50) % 3 > 0] = np.nan
    return known


@each_prop
def test_structural_means_are_columns(features: NDArray[np.float32], prop: PropType) -> None:
    """The player's own mean and his share of the team's, each lost and won; none is below the least."""
    low = features.copy()
    low[3] = 0.0
    for prefix, found in zip(("player", "expected"), structural_means(prop, low), strict=True):
        for at, result in enumerate(("lost", "won")):
            column = low[:, MODEL_FEATURES.index(f"{prefix}_{prop}_when_{result}")]
            assert found[:, at] == pytest.approx(np.maximum(column, LEAST_MEAN))
        assert found[3].tolist() == [LEAST_MEAN, LEAST_MEAN]


def test_what_is_unknown_stays_unknown(small_model: PropEnsemble, features: NDArray[np.float32]) -> None:
    """A mean that is not known is not taken for the least, and rows without all features are refused."""
    unknown = features.copy()
    unknown[7, MODEL_FEATURES.index("player_kills_when_won")] = np.nan
    means = small_model.members[KILLS].means(unknown)
    assert np.isnan(means[7]).tolist() == [False, True]
    assert np.isfinite(np.delete(means, 7, axis=0)).all()
    with pytest.raises(InvalidError, match="MODEL_FEATURES"):
        offsets(KILLS, features[:, 1:])


@each_prop
def test_trees_see_each_row_lost_and_won(
    small_model: PropEnsemble, features: NDArray[np.float32], prop: PropType
) -> None:
    """What trees say of a row's result stands in that result's column; the correction multiplies its offset."""
    trees = small_model.members[prop].trees
    found = member_means(prop, trees, features)
    assert list(found) == list(Member)
    for at, won in enumerate((False, True)):
        rows = np.column_stack([features, np.full(len(features), won, dtype=np.float32)])
        factor = trees[Trees.CORRECTION].predict(rows)
        assert found[Member.CORRECTION][:, at] == pytest.approx(offsets(prop, features)[:, at] * factor)
        assert found[Member.DIRECT][:, at] == pytest.approx(trees[Trees.DIRECT].predict(rows))
    own, shared = structural_means(prop, features)
    assert (found[Member.HIERARCHY] == shared).all()
    assert offsets(prop, features) ** 2 == pytest.approx(own * shared)


def test_the_rows_that_trees_learn_from(features: NDArray[np.float32]) -> None:
    """A row and, last, the result that it had."""
    won = np.arange(50) % 2 == 0
    rows = result_rows(features, won)
    assert rows.dtype == np.float32
    assert rows[:, :-1].tobytes() == features.tobytes()
    assert rows[:, -1].tolist() == won.tolist()


@each_prop
def test_weights_combine_the_members(small_model: PropEnsemble, features: NDArray[np.float32], prop: PropType) -> None:
    """The mean is the weighted sum; a weight of one alone is that member, and no mean is below the least."""
    trees = small_model.members[prop].trees
    of_members = list(member_means(prop, trees, features).values())
    weights = (0.3, 0.5, 0.25)
    expected = sum(weight * mean for weight, mean in zip(weights, of_members, strict=True))
    assert CountMembers(prop, trees, weights).means(features) == pytest.approx(expected)
    for at in range(len(Member)):
        alone = tuple(float(one == at) for one in range(len(Member)))
        assert CountMembers(prop, trees, alone).means(features) == pytest.approx(of_members[at])
    assert (CountMembers(prop, trees, (0.0,) * len(Member)).means(features) == LEAST_MEAN).all()


def test_without_a_champion_no_bit_changes(small_model: PropEnsemble, features: NDArray[np.float32]) -> None:
    """A draft of which nothing is known is no draft, and trees without a draft member do not look at one."""
    members = small_model.members[KILLS]
    before = members.means(features)
    unknown = np.full((len(features), len(CHAMPION_FEATURES)), np.nan, dtype=np.float32)
    assert members.means(features, unknown).tobytes() == before.tobytes()
    undrafted = dict(members.trees)
    del undrafted[Trees.DRAFT]
    some = CountMembers(KILLS, undrafted, members.weights)
    assert some.means(features, np.ones_like(unknown)).tobytes() == before.tobytes()


def test_a_champion_changes_its_own_row_alone(
    small_model: PropEnsemble, features: NDArray[np.float32], draft: NDArray[np.float32]
) -> None:
    """Rows of known champions are multiplied by what the draft's trees say of them; the others keep every bit."""
    members = small_model.members[KILLS]
    before, after = members.means(features), members.means(features, draft)
    known = ~np.isnan(draft[:, 0])
    assert after[~known].tobytes() == before[~known].tobytes()
    assert (after[known] != before[known]).all(axis=1).any()
    factor = members.trees[Trees.DRAFT].predict(draft_rows(features, draft, before)).reshape(2, -1).T
    assert after[known] == pytest.approx(before[known] * factor[known])


def test_the_draft_sees_champion_pool_role_mean_and_result(
    features: NDArray[np.float32], draft: NDArray[np.float32]
) -> None:
    """Eight columns, first all rows lost, then all won."""
    means = np.column_stack([np.arange(50), np.arange(50) + 100.0])
    rows = draft_rows(features, draft, means)
    assert rows.shape == (100, 8)
    seen = [MODEL_FEATURES.index(name) for name in ("player_pool_kills", "player_pool_assists", "position")]
    for at, half in enumerate((rows[:50], rows[50:])):
        assert half[:, :3].tobytes() == draft.tobytes()
        assert (half[:, 3:6] == features[:, seen]).all()
        assert (half[:, 6] == means[:, at]).all()
        assert (half[:, 7] == at).all()


@each_prop
def test_one_row_and_many_rows_agree_to_the_bit(
    small_model: PropEnsemble, features: NDArray[np.float32], draft: NDArray[np.float32], prop: PropType
) -> None:
    """A single question and a batch see the same means, whoever's champions are known."""
    members = small_model.members[prop]
    together = members.means(features, draft)
    for row in range(len(features)):
        alone = members.means(features[row : row + 1], draft[row : row + 1])
        assert alone.tobytes() == together[row].tobytes()
