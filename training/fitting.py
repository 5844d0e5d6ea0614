"""From point-in-time rows to a model: rounds, dispersion, calibration are chosen on later games than the trees saw."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from actors.ensemble import COUNTS_PER_MAP, ModelParameters, PropEnsemble, PropParameters
from stores.domain import negative_binomial
from stores.domain.props import MAX_MAP, PropType
from stores.errors import InvalidError
from stores.features.schema import POSITIONS
from training.baselines import position_means, rolling_means
from training.boosting import BoostingCluster, BoostingParams, Labelled, train_rounds, train_until_best
from training.scores import crps, log_scores, pit_curve

if TYPE_CHECKING:
    from collections.abc import Callable

    import xgboost as xgb
    from numpy.typing import NDArray

    from training.dataset import TrainingSet

VALIDATION_SHARE = 0.12  # of the series, the newest: about six weeks of a year and a half
WARM_UP_SHARE = 0.05  # the oldest rows know hardly any history
MIN_ROWS = 2_000  # fewer than this cannot hold a model of five roles
CALIBRATION_KNOTS = 101
CALIBRATION_PULL = 2_000.0  # rows that the uncalibrated cdf weighs: below that the correction is mostly noise
INDEPENDENT = 1.0


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The ensemble and what was measured while it was made."""

    ensemble: PropEnsemble
    metrics: dict[str, float]


def fit_model(
    rows: TrainingSet,
    params: BoostingParams,
    on: BoostingCluster,
    progress: Callable[[str], None] = lambda _: None,
) -> FittedModel:
    """Fit both props. ``progress`` hears of each step. Raises InvalidError if there are too few rows."""
    if len(rows) < MIN_ROWS:
        raise InvalidError(f"{len(rows)} rows are too few to train on; {MIN_ROWS} are needed (about 200 games)")
    rows = rows.where(rows.started_at >= np.sort(rows.started_at)[int(len(rows) * WARM_UP_SHARE)])
    fit, validation = split_by_time(rows, VALIDATION_SHARE)
    with ThreadPoolExecutor(len(PropType)) as at_once:  # a training mostly waits for its own actors
        fits = list(at_once.map(lambda prop: _fit_prop(prop, (fit, validation, rows), params, on, progress), PropType))
    metrics: dict[str, float] = {"rows": len(rows), "rows_validation": len(validation)}
    for of_prop in fits:
        metrics |= of_prop.metrics
    parameters = ModelParameters({one.prop: one.parameters for one in fits}, map_continuation(rows))
    return FittedModel(PropEnsemble({one.prop: one.trees for one in fits}, parameters), metrics)


@dataclass(frozen=True, slots=True)
class _FittedProp:
    prop: PropType
    trees: xgb.Booster
    parameters: PropParameters
    metrics: dict[str, float]


def _fit_prop(
    prop: PropType,
    parts: tuple[TrainingSet, TrainingSet, TrainingSet],
    params: BoostingParams,
    on: BoostingCluster,
    progress: Callable[[str], None],
) -> _FittedProp:
    """Choose on the older and the newer part, then train on all of it."""
    fit, validation, rows = parts
    progress(f"{prop}: choosing the number of trees")
    chosen = train_until_best(_labelled(fit, prop), _labelled(validation, prop), params, on)
    means = np.asarray(chosen.trees.inplace_predict(validation.features), dtype=np.float64)
    parameters = fit_parameters(validation, prop, means)
    progress(f"{prop}: training {chosen.rounds} trees on all games")
    trees = train_rounds(_labelled(rows, prop), chosen.rounds, params, on).trees
    metrics = {"rounds": float(chosen.rounds), **_validation_scores(rows, validation, prop, means, parameters)}
    return _FittedProp(prop, trees, parameters, {f"{prop}_{name}": value for name, value in metrics.items()})


def _validation_scores(
    rows: TrainingSet, validation: TrainingSet, prop: PropType, means: NDArray[np.float64], parameters: PropParameters
) -> dict[str, float]:
    """Scores on the newest series, which the trees did not see, beside the baselines on the same rows.

    Sizes were fitted on these rows and the calibration is left out; a back-test by `training.evaluate` has neither.
    """
    new = rows.series_started_at >= validation.series_started_at.min()
    by_role = position_means(rows, prop, ~new)
    by_player = rolling_means(rows, prop, by_role)
    y, position = rows.counts[prop][new], rows.position[new]
    methods = {"": means, "position_mean_": by_role[new], "rolling_mean_": by_player[new]}
    scores: dict[str, float] = {}
    for method, expected in methods.items():
        of_role = [best_size(y[position == at], expected[position == at]) for at in range(len(POSITIONS))]
        sizes = parameters.sizes if not method else of_role
        pmf = negative_binomial.pmf(expected, np.asarray(sizes)[position], COUNTS_PER_MAP)
        scores[f"validation_{method}log_score"] = float(log_scores(pmf, y).mean())
        scores[f"validation_{method}crps"] = float(crps(pmf, y).mean())
    return scores


def split_by_time(rows: TrainingSet, newest_share: float) -> tuple[TrainingSet, TrainingSet]:
    """The older and the newer series; never random, and no series on both sides."""
    starts = np.sort(rows.series_started_at)
    border = starts[int(len(rows) * (1.0 - newest_share))]
    return rows.where(rows.series_started_at < border), rows.where(rows.series_started_at >= border)


def fit_parameters(rows: TrainingSet, prop: PropType, means: NDArray[np.float64]) -> PropParameters:
    """Dispersion by position, growth of sums over maps, and the calibration, from out-of-time means of shape [n]."""
    y = rows.counts[prop]
    sizes = tuple(
        best_size(y[rows.position == index], means[rows.position == index]) for index in range(len(POSITIONS))
    )
    first, second = pairs_of_maps(rows)
    by_role = np.asarray(sizes)[rows.position[first]]
    exponent = _best_sum_exponent(y[first] + y[second], means[first] + means[second], by_role)
    singles = negative_binomial.pmf(means, np.asarray(sizes)[rows.position], COUNTS_PER_MAP)
    sums = negative_binomial.pmf(means[first] + means[second], by_role * 2**exponent, 2 * COUNTS_PER_MAP)
    curve = _pooled_calibration(((singles, y), (sums, y[first] + y[second])))
    return PropParameters(sizes, exponent, tuple(curve.tolist()))


def _pooled_calibration(parts: tuple[tuple[NDArray[np.float64], NDArray[np.int64]], ...]) -> NDArray[np.float64]:
    """The cdf that outcomes showed, at evenly spaced raw cdf values, drawn to the raw cdf where rows are few."""
    knots = np.linspace(0.0, 1.0, CALIBRATION_KNOTS)
    rows = sum(len(y) for _, y in parts)
    seen = sum((pit_curve(pmf, y, knots) * len(y) for pmf, y in parts), np.zeros(len(knots))) / max(rows, 1)
    return np.asarray((rows * seen + CALIBRATION_PULL * knots) / (rows + CALIBRATION_PULL))


def pairs_of_maps(rows: TrainingSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices of maps 1 and 2 of the same player in the same series."""
    at: dict[tuple[object, object, int], int] = {
        key: index
        for index, key in enumerate(zip(rows.series_id, rows.player_id, rows.game_number.tolist(), strict=True))
    }
    pairs = [
        (index, at[series, player, 2])
        for (series, player, game), index in at.items()
        if game == 1 and (series, player, 2) in at
    ]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def map_continuation(rows: TrainingSet) -> tuple[float, ...]:
    """For each map 1 to 4, the share of series that went on after it, with one series of each kind added."""
    lengths: dict[object, int] = {}
    for series, game in zip(rows.series_id, rows.game_number.tolist(), strict=True):
        lengths[series] = max(lengths.get(series, 0), game)
    played = np.array(list(lengths.values()))
    return tuple(float(((played > game).sum() + 1) / ((played >= game).sum() + 2)) for game in range(1, MAX_MAP))


def _labelled(rows: TrainingSet, prop: PropType) -> Labelled:
    return Labelled(rows.features, rows.counts[prop])


def best_size(y: NDArray[np.int64], means: NDArray[np.float64]) -> float:
    """The size of highest likelihood between 0.4 (very wide) and 400 (nearly Poisson)."""
    if not len(y):
        return 4.0  # the usual size of a role, where the validation saw none

    def loss(log_size: float) -> float:
        return -float(negative_binomial.log_pmf(y, means, np.full(len(y), np.exp(log_size))).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.4), np.log(400.0)), method="bounded").x))


def _best_sum_exponent(y: NDArray[np.int64], means: NDArray[np.float64], sizes: NDArray[np.float64]) -> float:
    if not len(y):
        return INDEPENDENT

    def loss(exponent: float) -> float:
        return -float(negative_binomial.log_pmf(y, means, sizes * 2**exponent).mean())

    return float(minimize_scalar(loss, bounds=(0.0, 1.5), method="bounded").x)
