"""From point-in-time rows to a model.

The newest games stay apart while the trees are trained. They choose the number of trees, the weights of the members,
the spread, and the calibration; each half of them is scored with what the other half chose, and these scores are what
the release gates see. Then the trees learn all games.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.count_members import Trees, member_means
from actors.ensemble import COUNTS_PER_MAP, ModelParameters, PropEnsemble, PropParameters
from stores.domain import negative_binomial
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import POSITIONS
from training.baselines import position_means, rolling_means
from training.holdout import Holdout, HoldoutRows, holdout_rows
from training.prop_fit import actual_counts, best_size, fit_prop, question_pmfs
from training.scores import crps, log_scores
from training.series_fit import fit_series
from training.subsets import ONE_MAP, pairs_of_maps, split_by_time
from training.tree_fit import TreeTrainer
from training.xgboost_ray_actors import kept_actors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from actors.compiled_trees import CompiledTrees
    from actors.count_members import Member
    from actors.series_results import SeriesParameters
    from training.boosting import BoostingCluster, BoostingParams
    from training.dataset import TrainingSet

VALIDATION_SHARE = 0.12  # of the series, the newest: about six weeks of a year and a half
WARM_UP_SHARE = 0.05  # the oldest rows know hardly any history
MIN_ROWS = 2_000  # fewer than this cannot hold a model of five roles


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The ensemble, what was measured while it was made, and what it said of games before it learnt them."""

    ensemble: PropEnsemble
    metrics: dict[str, float]
    holdout: Holdout


@dataclass(frozen=True, slots=True)
class _Split:
    """All rows, and the older and the newer part of them."""

    rows: TrainingSet
    fit: TrainingSet
    validation: TrainingSet


@dataclass(frozen=True, slots=True)
class _FittedProp:
    prop: PropType
    trees: Mapping[Trees, CompiledTrees]
    parameters: PropParameters
    metrics: dict[str, float]
    holdout: dict[str, HoldoutRows]


def fit_model(
    rows: TrainingSet,
    params: BoostingParams,
    on: BoostingCluster,
    progress: Callable[[str], None] = lambda _: None,
    *,
    without: frozenset[Member] = frozenset(),
) -> FittedModel:
    """Fit both props. ``progress`` hears of each step. Raises InvalidError if there are too few rows.

    Members of ``without`` weigh nothing in the combination; what is built on them stays as it is.
    """
    if len(rows) < MIN_ROWS:
        raise InvalidError(f"{len(rows)} rows are too few to train on; {MIN_ROWS} are needed (about 200 games)")
    rows = rows.where(rows.started_at >= np.sort(rows.started_at)[int(len(rows) * WARM_UP_SHARE)])
    fit, validation = split_by_time(rows, VALIDATION_SHARE)
    split = _Split(rows, fit, validation)
    before = fit_series(fit)
    trainer = TreeTrainer(params, on, progress)
    with kept_actors(), ThreadPoolExecutor(len(PropType)) as at_once:  # a training mostly waits for its own actors
        fits = list(at_once.map(lambda prop: _fit_prop(prop, split, before, trainer, without), PropType))
    metrics: dict[str, float] = {"rows": len(rows), "rows_validation": len(validation)}
    for of_prop in fits:
        metrics |= of_prop.metrics
    parameters = ModelParameters({one.prop: one.parameters for one in fits}, fit_series(rows))
    questions = {(one.prop, maps): scored for one in fits for maps, scored in one.holdout.items()}
    return FittedModel(
        PropEnsemble({one.prop: one.trees for one in fits}, parameters),
        metrics,
        Holdout(fit.series_started_at.max(), questions),
    )


def _fit_prop(
    prop: PropType, split: _Split, series: SeriesParameters, trainer: TreeTrainer, without: frozenset[Member]
) -> _FittedProp:
    """Choose on the older and the newer part, then train on all of it."""
    validation = split.validation
    chosen = trainer.choose(prop, split.fit, validation)
    means = member_means(prop, chosen.trees, validation.features)
    draft = chosen.trees.get(Trees.DRAFT)
    parameters = fit_prop(validation, prop, means, series, draft=draft, without=without)
    pmfs = _cross_fitted(validation, prop, means, series, without)
    trees = trainer.train(prop, split.rows, chosen.rounds)
    metrics = {
        **{f"rounds_{kind}": float(count) for kind, count in chosen.rounds.items()},
        **{f"weight_{member}": weight for member, weight in zip(means, parameters.weights, strict=True)},
        **_validation_scores(split, prop, pmfs[ONE_MAP]),
    }
    holdout = {maps: _holdout_rows(validation, prop, maps, pmf) for maps, pmf in pmfs.items()}
    return _FittedProp(prop, trees, parameters, {f"{prop}_{name}": value for name, value in metrics.items()}, holdout)


def _cross_fitted(
    rows: TrainingSet,
    prop: PropType,
    means: Mapping[Member, NDArray[np.float64]],
    series: SeriesParameters,
    without: frozenset[Member],
) -> dict[str, NDArray[np.float64]]:
    """What the parameters of the one half of the rows say of the other, in the order of `question_pmfs`."""
    newer = rows.series_started_at >= np.sort(rows.series_started_at)[len(rows) // 2]
    pmfs: dict[str, NDArray[np.float64]] = {}
    for half in (newer, ~newer):
        others = rows.where(~half)
        of_others = {member: mean[~half] for member, mean in means.items()}
        parameters = fit_prop(others, prop, of_others, series, without=without)
        said = question_pmfs(rows, prop, means, ModelParameters({prop: parameters}, series))
        for maps, pmf in said.items():
            here = half if maps == ONE_MAP else half[pairs_of_maps(rows)[0]]
            pmfs.setdefault(maps, np.zeros_like(pmf))[here] = pmf[here]
    return pmfs


def _holdout_rows(rows: TrainingSet, prop: PropType, maps: str, pmf: NDArray[np.float64]) -> HoldoutRows:
    at = np.arange(len(rows)) if maps == ONE_MAP else pairs_of_maps(rows)[0]
    return holdout_rows(rows, at, actual_counts(rows, prop, maps), pmf)


def _validation_scores(split: _Split, prop: PropType, pmf: NDArray[np.float64]) -> dict[str, float]:
    """Scores on the newest series, one map at a time, beside the baselines on the same rows."""
    rows = split.rows
    new = rows.series_started_at >= split.validation.series_started_at.min()
    by_role = position_means(rows, prop, ~new)
    by_player = rolling_means(rows, prop, by_role)
    y, position = rows.counts[prop][new], rows.position[new]
    pmfs = {"": pmf}
    for method, expected in (("position_mean_", by_role[new]), ("rolling_mean_", by_player[new])):
        of_role = [best_size(y[position == at], expected[position == at]) for at in range(len(POSITIONS))]
        pmfs[method] = negative_binomial.pmf(expected, np.asarray(of_role)[position], COUNTS_PER_MAP)
    scores: dict[str, float] = {}
    for method, of_method in pmfs.items():
        scores[f"validation_{method}log_score"] = float(log_scores(of_method, y).mean())
        scores[f"validation_{method}crps"] = float(crps(of_method, y).mean())
    return scores
