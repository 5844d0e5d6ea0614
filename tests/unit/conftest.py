"""What several unit tests share: a small model with real trees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import settings

from actors.compiled_trees import CompiledTrees
from actors.count_members import LEAST_MEAN, CountMembers, Trees, draft_rows, offsets, result_rows
from actors.count_sums import Correlations
from actors.ensemble import ModelParameters, PropEnsemble, PropParameters, Spread
from actors.series_results import SeriesParameters
from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES, RESULTS
from training.dataset import TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WEIGHTS = (0.4, 0.4, 0.2)  # of the members of the small model

settings.register_profile("shared machine", deadline=None)  # a busy neighbour is no failure
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def small_model() -> PropEnsemble:
    """Trees of a moment's training for both props, sizes of their own per result and role, and a bent calibration."""
    rng = np.random.default_rng(5)
    features = rng.uniform(0.0, 20.0, size=(400, len(MODEL_FEATURES))).astype(np.float32)
    won = rng.random(len(features)) < 0.5
    knots = np.linspace(0.0, 1.0, 21)
    trees, props = {}, {}
    for at, prop in enumerate(PropType):
        offset = offsets(prop, features)[np.arange(len(features)), won.astype(np.int64)]
        counts = rng.poisson(0.3 * offset + 0.1 * features[:, at] + 2.0 * won)
        trees[prop] = _some_trees(prop, features, won, counts, rng)
        before = Spread(
            sizes=((3.5, 5.0, 5.5, 7.25, 2.8 + at), (4.0, 5.5, 6.0, 8.25, 3.1 + at)),
            correlations=Correlations(maps=0.08, mates=0.05, foes=-0.04),
            calibration=tuple((knots ** (1.0 + 0.1 * at) + 0.02 * np.sin(2 * np.pi * knots)).tolist()),
            calibration_of_sums=tuple((knots ** (1.0 + 0.05 * at) + 0.01 * np.sin(2 * np.pi * knots)).tolist()),
        )
        after = replace(before, sizes=((4.5, 6.0, 6.5, 8.25, 3.8), (5.0, 6.5, 7.0, 9.25, 4.1)))
        props[prop] = PropParameters(WEIGHTS, before, after)
    series = SeriesParameters(rating_weight=0.03, roster_weight=-0.02, spread=0.5, formats=(0.1, 0.6, 0.3))
    return PropEnsemble(trees, ModelParameters(props, series))


def structural_means(prop: PropType, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The player's own mean and what the member ``hierarchy`` expects, each of shape [n, 2], by their columns."""
    own, shared = (
        [MODEL_FEATURES.index(f"{prefix}_{prop}_when_{result}") for result in RESULTS]
        for prefix in ("player", "expected")
    )
    return (
        np.maximum(features[:, own].astype(np.float64), LEAST_MEAN),
        np.maximum(features[:, shared].astype(np.float64), LEAST_MEAN),
    )


def _some_trees(
    prop: PropType,
    features: NDArray[np.float32],
    won: NDArray[np.bool_],
    counts: NDArray[np.int64],
    rng: np.random.Generator,
) -> dict[Trees, CompiledTrees]:
    """Every kind of trees, on the rows that serving shows them."""
    at, result = np.arange(len(features)), won.astype(np.int64)
    seen = result_rows(features, won)
    trees = {
        Trees.CORRECTION: _trained("count:poisson", seen, counts, offsets(prop, features)[at, result]),
        Trees.DIRECT: _trained("reg:tweedie", seen, counts, np.ones(len(features))),
    }
    draft = rng.uniform(0.5, 1.5, size=(len(features), len(CHAMPION_FEATURES))).astype(np.float32)
    means = CountMembers(prop, trees, WEIGHTS).means(features)
    drafted = draft_rows(features, draft, means).reshape(2, len(features), -1)[result, at]
    trees[Trees.DRAFT] = _trained("count:poisson", drafted, rng.poisson(counts * draft[:, 0]), means[at, result])
    return trees


def _trained(
    objective: str, rows: NDArray[np.float32], counts: NDArray[np.int64], means: NDArray[np.float64]
) -> CompiledTrees:
    params = {"objective": objective, "max_depth": 3, "nthread": 1, "seed": 1, "base_score": 1.0}
    return CompiledTrees.of(xgb.train(params, xgb.DMatrix(rows, counts, base_margin=np.log(means)), num_boost_round=20))


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., TrainingSet]:
    """Builds a training set from columns of the length n; what is left out is the same for all rows."""

    def make(player_id: Sequence[object], started_at: NDArray[np.datetime64], **columns: Any) -> TrainingSet:
        n = len(player_id)
        kills = columns.pop("kills", np.zeros(n, dtype=np.int64))
        facts: dict[str, Any] = {
            "features": np.zeros((n, len(MODEL_FEATURES)), dtype=np.float32),
            "counts": {PropType.KILLS: kills, PropType.ASSISTS: kills * 2},
            "position": np.zeros(n, dtype=np.int64),
            "game_number": np.ones(n, dtype=np.int64),
            "series_started_at": started_at,
            "series_id": np.arange(n).astype(str).astype(object),
            "match_id": np.arange(n).astype(str).astype(object),
            "tournament": np.full(n, "LCK", dtype=object),
            "won": np.zeros(n, dtype=np.bool_),
            "team_id": np.full(n, None, dtype=object),
            "draft": np.full((n, len(CHAMPION_FEATURES)), np.nan, dtype=np.float32),
        }
        ids = np.array(player_id, dtype=object)
        return TrainingSet(**(facts | columns), player_id=ids, player_name=ids, started_at=started_at)

    return make
