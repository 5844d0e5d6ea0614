"""The peer that most would build first: xgboost with the Poisson objective, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from training.evaluation.methods import Method
    from training.evaluation.peer_rows import PeerRows
    from training.evaluation.questions import Question

XGBOOST_POISSON = "xgboost Poisson"
PARAMS: dict[str, Any] = {"objective": "count:poisson", "eta": 0.1, "seed": 20260401, "nthread": 1}  # else the defaults
MAX_ROUNDS = 1_000
PATIENCE = 30


def poisson_trees(rows: PeerRows, prop: PropType) -> Method:
    """Stop early on the newest series, train that many rounds on all, and take the mean for a Poisson's.

    A sum over maps is Poisson around the summed means, as independent maps have it.
    """
    fit, validation = (xgb.DMatrix(part.features, part.counts[prop]) for part in (rows.fit, rows.validation))
    chosen = xgb.train(
        PARAMS,
        fit,
        MAX_ROUNDS,
        evals=[(validation, "validation")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    everything = xgb.DMatrix(
        np.concatenate([rows.fit.features, rows.validation.features]),
        np.concatenate([rows.fit.counts[prop], rows.validation.counts[prop]]),
    )
    trees = xgb.train(PARAMS, everything, chosen.best_iteration + 1)
    means = np.asarray(trees.inplace_predict(rows.asked.features), dtype=np.float64)[rows.asked_at]

    def pmf(question: Question) -> NDArray[np.float64]:
        return poisson_pmf(question.per_map(means).sum(axis=1), question.counts)

    return pmf


def poisson_pmf(means: NDArray[np.float64], counts: int) -> NDArray[np.float64]:
    """Probabilities of 0 … counts-1, of shape [n, counts]; the tail above is put into the last count."""
    probabilities = stats.poisson.pmf(np.arange(counts), means[:, None])
    probabilities[:, -1] += np.maximum(0.0, 1.0 - probabilities.sum(axis=1))
    return np.asarray(probabilities)
