"""How good hyperparameters are: scores on games later than those that the trees and everything chosen with them saw.

The newest games, which the release gates judge by, take no part: what is chosen here is judged there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xgboost as xgb

from actors.compiled_trees import CompiledTrees
from actors.count_members import Trees, member_means
from actors.ensemble import COUNTS_PER_MAP, ModelParameters
from stores.domain import negative_binomial
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import POSITIONS
from training.baselines import position_means, rolling_means
from training.fitting import MIN_ROWS, VALIDATION_SHARE, WARM_UP_SHARE
from training.paired import clustered_mean
from training.prop_fit import best_size, fit_prop, question_pmfs
from training.scores import crps
from training.series_fit import fit_series
from training.subsets import ONE_MAP, split_by_time
from training.tree_fit import labelled, params_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from actors.series_results import SeriesParameters
    from training.boosting import BoostingParams, Labelled
    from training.dataset import TrainingSet
    from training.paired import ClusteredMean

FOLDS = 3
FIRST_SHARE = 0.5  # of the rows, the oldest: what the trees of the first fold learn; the rest are equal blocks
_SEARCHED = (Trees.CORRECTION, Trees.DIRECT)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Three times, oldest first, as masks of shape [rows]: trees learn ``fit``; ``score`` is scored.

    ``choose`` chooses how many trees, the weights of the members, the spread and the calibration. ``baseline`` is the
    CRPS of the rolling mean on the scored rows.
    """

    fit: NDArray[np.bool_]
    choose: NDArray[np.bool_]
    score: NDArray[np.bool_]
    series: SeriesParameters
    baseline: dict[PropType, float]


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """The rows that a search sees, and its folds, the oldest first."""

    rows: TrainingSet
    folds: tuple[Fold, ...]


def folds_by_time(rows: TrainingSet) -> Folds:
    """Expanding windows over all but the warm-up and the games of the release gates; no series lies in two blocks.

    Raises InvalidError if there are too few rows.
    """
    if len(rows) < MIN_ROWS:
        raise InvalidError(f"{len(rows)} rows are too few to search on; {MIN_ROWS} are needed (about 200 games)")
    rows = rows.where(rows.started_at >= np.sort(rows.started_at)[int(len(rows) * WARM_UP_SHARE)])
    rows, _ = split_by_time(rows, VALIDATION_SHARE)
    begins = rows.series_started_at
    shares = np.linspace(FIRST_SHARE, 1.0, FOLDS + 2)[:-1]
    borders = np.sort(begins)[(shares * len(rows)).astype(np.int64)] if len(rows) else begins
    block = np.searchsorted(borders, begins, side="right")
    if len(np.unique(block)) < FOLDS + 2:
        raise InvalidError(f"the games began on too few days for {FOLDS} folds; ingest more of them")
    return Folds(rows, tuple(_fold(rows, block, newest) for newest in range(1, FOLDS + 1)))


def _fold(rows: TrainingSet, block: NDArray[np.int64], choose: int) -> Fold:
    fit, score = block < choose, block == choose + 1
    past = rows.where(block <= choose + 1)
    known, of_score = block[block <= choose + 1] <= choose, block[block <= choose + 1] > choose
    baseline = {}
    for prop in PropType:
        means = rolling_means(past, prop, position_means(past, prop, known))[of_score]
        y, position = rows.counts[prop][score], rows.position[score]
        sizes = np.array([best_size(y[position == at], means[position == at]) for at in range(len(POSITIONS))])
        baseline[prop] = float(crps(negative_binomial.pmf(means, sizes[position], COUNTS_PER_MAP), y).mean())
    return Fold(fit, block == choose, score, fit_series(rows.where(fit)), baseline)


def losses_on_fold(rows: TrainingSet, fold: Fold, params: BoostingParams) -> NDArray[np.float64]:
    """The CRPS of every scored row's one-map distribution, of shape [props, n], from trees of these hyperparameters.

    Trains in this process on one core, without the trees of the draft.
    """
    fit, choose, score = (rows.where(mask) for mask in (fold.fit, fold.choose, fold.score))
    losses = []
    for prop in PropType:
        trees: dict[Trees, CompiledTrees] = {}
        for kind in _SEARCHED:
            older, newer = (labelled(part, prop, kind, trees) for part in (fit, choose))
            trees[kind] = CompiledTrees.of(_train_until_best(older, newer, params_of(kind, params)))
        parameters = fit_prop(choose, prop, member_means(prop, trees, choose.features), fold.series)
        means = member_means(prop, trees, score.features)
        pmfs = question_pmfs(score, prop, means, ModelParameters({prop: parameters}, fold.series))
        losses.append(crps(pmfs[ONE_MAP], score.counts[prop]))
    return np.stack(losses)


def _train_until_best(fit: Labelled, validation: Labelled, params: BoostingParams) -> xgb.Booster:
    """As training.boosting.train_until_best, in this process."""
    trees = xgb.train(
        {**params.xgboost(), "nthread": 1},
        _matrix(fit),
        num_boost_round=params.max_rounds,
        evals=[(_matrix(validation), "validation")],
        early_stopping_rounds=params.early_stopping_rounds,
        verbose_eval=False,
    )
    return trees[: trees.best_iteration + 1]


def _matrix(rows: Labelled) -> xgb.DMatrix:
    margin = None if rows.offsets is None else np.log(rows.offsets).astype(np.float32)
    return xgb.DMatrix(rows.features, rows.counts.astype(np.float32), base_margin=margin)


def fold_score(losses: NDArray[np.float64], fold: Fold) -> float:
    """The CRPS in CRPS of the rolling mean on the same rows, the mean of both props: 1 is no better than that."""
    return float((losses.mean(axis=1) / np.array([fold.baseline[prop] for prop in PropType])).mean())


def paired_gain(
    searched: Folds, ours: Sequence[NDArray[np.float64]], theirs: Sequence[NDArray[np.float64]]
) -> ClusteredMean:
    """By how much the mean `fold_score` of ``ours`` is below that of ``theirs``, with a series as one draw.

    Both hold `losses_on_fold` of every fold.
    """
    values, clusters = [], []
    for fold, mine, other in zip(searched.folds, ours, theirs, strict=True):
        unit = np.array([[fold.baseline[prop]] for prop in PropType])
        values.append((other - mine) / unit / mine.size)  # sums to the fold's share of the gain
        clusters.append(np.tile(searched.rows.series_id[fold.score], len(PropType)))
    flat = np.concatenate([one.ravel() for one in values])
    return clustered_mean(flat * len(flat) / len(searched.folds), np.concatenate(clusters))
