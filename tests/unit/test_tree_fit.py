"""What the boosted members learn from: the result that a game had, the offset they correct, and champions if known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.count_members import CountMembers, Trees, draft_rows, member_means, offsets
from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES
from training.boosting import POISSON, TWEEDIE, BoostingParams
from training.tree_fit import EQUAL_WEIGHTS, labelled, params_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ensemble import PropEnsemble
    from training.dataset import TrainingSet

ROWS = 60
each_prop = pytest.mark.parametrize("prop", PropType)


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """Rows of any features, the champion of every third unknown."""
    rng = np.random.default_rng(6)
    draft = rng.uniform(0.5, 1.5, (ROWS, len(CHAMPION_FEATURES))).astype(np.float32)
    draft[::3] = np.nan
    return make_rows(
        [f"p{at}" for at in range(ROWS)],
        np.full(ROWS, np.datetime64("2026-01-01", "us")),
        features=rng.uniform(0.0, 20.0, (ROWS, len(MODEL_FEATURES))).astype(np.float32),
        won=rng.random(ROWS) < 0.5,
        kills=rng.poisson(3.0, ROWS),
        draft=draft,
    )


@each_prop
@pytest.mark.parametrize("kind", [Trees.CORRECTION, Trees.DIRECT])
def test_trees_learn_the_result_that_was(rows: TrainingSet, prop: PropType, kind: Trees) -> None:
    """Each row once, its result as the last column; only the correction has an offset, that of its result."""
    found = labelled(rows, prop, kind, {})
    assert found.features[:, :-1].tobytes() == rows.features.tobytes()
    assert (found.features[:, -1] == rows.won).all()
    assert found.counts.tolist() == rows.counts[prop].tolist()
    if kind is Trees.DIRECT:
        assert found.offsets is None
    else:
        expected = offsets(prop, rows.features)
        assert found.offsets is not None
        assert found.offsets.tolist() == np.where(rows.won, expected[:, 1], expected[:, 0]).tolist()


@each_prop
def test_the_draft_learns_known_champions(rows: TrainingSet, small_model: PropEnsemble, prop: PropType) -> None:
    """Rows without a champion are left out; the others are seen as in serving, in the result that they had."""
    trees = dict(small_model.members[prop].trees)
    del trees[Trees.DRAFT]
    found = labelled(rows, prop, Trees.DRAFT, trees)
    known = np.arange(ROWS) % 3 > 0
    features, won = rows.features[known], rows.won[known]
    means = CountMembers(prop, trees, EQUAL_WEIGHTS).means(features)
    lost_rows, won_rows = np.split(draft_rows(features, rows.draft[known], means), 2)
    assert found.features.tobytes() == np.where(won[:, None], won_rows, lost_rows).tobytes()
    assert found.counts.tolist() == rows.counts[prop][known].tolist()
    assert found.offsets is not None
    assert found.offsets.tolist() == np.where(won, means[:, 1], means[:, 0]).tolist()


def test_each_kind_has_its_own_randomness_and_loss() -> None:
    """The corrections are Poisson's, the direct trees Tweedie's with its power, the draft's the shallowest."""
    params = {kind: params_of(kind, BoostingParams(seed=5)) for kind in Trees}
    assert {kind: one.objective for kind, one in params.items()} == {
        Trees.CORRECTION: POISSON,
        Trees.DIRECT: TWEEDIE,
        Trees.DRAFT: POISSON,
    }
    assert len({one.seed for one in params.values()}) == len(Trees)
    assert params[Trees.DRAFT].max_depth < params[Trees.CORRECTION].max_depth
    settings = {kind: one.xgboost() for kind, one in params.items()}
    assert ["tweedie_variance_power" in one for one in settings.values()] == [False, True, False]
    assert ["base_score" in one for one in settings.values()] == [True, False, True]


def test_the_members_means_make_the_models(rows: TrainingSet, small_model: PropEnsemble) -> None:
    """Weighted as the model weighs them, the members' means are the model's."""
    members = small_model.members[PropType.KILLS]
    found = member_means(PropType.KILLS, members.trees, rows.features)
    combined = sum(weight * mean for weight, mean in zip(members.weights, found.values(), strict=True))
    assert combined == pytest.approx(members.means(rows.features))
