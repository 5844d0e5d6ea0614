"""What several unit tests share: a small model with real trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import settings

from actors.ensemble import ModelParameters, PropEnsemble, PropParameters
from stores.domain.props import PropType
from stores.features.schema import MODEL_FEATURES
from training.dataset import TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

settings.register_profile("shared machine", deadline=None)  # a busy neighbour is no failure
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def small_model() -> PropEnsemble:
    """Trees of a moment's training for both props, with different sizes per role and a bent calibration."""
    rng = np.random.default_rng(5)
    features = rng.uniform(0.0, 20.0, size=(400, len(MODEL_FEATURES))).astype(np.float32)
    knots = np.linspace(0.0, 1.0, 21)
    boosters, props = {}, {}
    for at, prop in enumerate(PropType):
        counts = rng.poisson(1.0 + 0.2 * features[:, at] + 0.1 * features[:, -1])
        params = {"objective": "count:poisson", "max_depth": 3, "nthread": 1, "seed": 1}
        boosters[prop] = xgb.train(params, xgb.DMatrix(features, counts), num_boost_round=20)
        props[prop] = PropParameters(
            sizes=(4.0, 5.5, 6.0, 8.25, 3.1 + at),
            sum_exponent=0.7,
            calibration=tuple((knots ** (1.0 + 0.1 * at) + 0.02 * np.sin(2 * np.pi * knots)).tolist()),
        )
    return PropEnsemble(boosters, ModelParameters(props, map_continuation=(0.9, 0.55, 0.6, 0.45)))


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
        }
        ids = np.array(player_id, dtype=object)
        return TrainingSet(**(facts | columns), player_id=ids, player_name=ids, started_at=started_at)

    return make
