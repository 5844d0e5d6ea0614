"""From what the members expected of games they had not seen to the parameters of one prop's distribution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from actors.count_members import combined_means, drafted_means
from actors.count_sums import Correlations
from actors.ensemble import MapMeans, ModelParameters, PropEnsemble, PropParameters, Spread
from stores.domain import negative_binomial
from stores.domain.props import MapRange
from stores.features.schema import POSITIONS, RESULTS
from training.scores import pit_curve
from training.subsets import MAPS_1_2, ONE_MAP, pairs_of_maps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from actors.compiled_trees import CompiledTrees
    from actors.count_members import Member
    from actors.series_results import SeriesParameters
    from stores.domain.props import PropType
    from training.dataset import TrainingSet

CALIBRATION_KNOTS = 101
CALIBRATION_PULL = 2_000.0  # rows that the uncalibrated cdf weighs: below that the correction is mostly noise
STACKING_ROUNDS = 2  # weights and sizes in turn; a third moves neither in its third digit
IDENTITY = tuple(np.linspace(0.0, 1.0, CALIBRATION_KNOTS).tolist())
MOST_CORRELATION = 0.5


def fit_prop(  # noqa: PLR0913 — what happened, what was expected, and of which parts
    rows: TrainingSet,
    prop: PropType,
    means: Mapping[Member, NDArray[np.float64]],
    series: SeriesParameters,
    *,
    draft: CompiledTrees | None = None,
    without: frozenset[Member] = frozenset(),
) -> PropParameters:
    """Everything but trees, from out-of-time means of shape [n, 2] per member; those of ``without`` weigh nothing.

    The spread after the draft is that of the rows whose champions are known; that before it where ``draft`` is None.
    """
    members = np.stack(list(means.values()))
    kept = np.array([member not in without for member in means])
    weights = np.zeros(len(members))
    weights[kept], sizes = _stacked(rows, prop, members[kept])
    combined = combined_means(weights, members)
    before = _spread(rows, prop, MapMeans(series.win_probability(rows.features), combined), sizes, series)
    after = before
    known = np.zeros(len(rows), dtype=np.bool_) if draft is None else ~np.isnan(rows.draft[:, 0])
    if draft is not None and known.any():
        drafted = rows.where(known)
        corrected = drafted_means(draft, drafted.features, drafted.draft, combined[known])
        of_maps = MapMeans(series.win_probability(drafted.features), corrected)
        after = _spread(drafted, prop, of_maps, _sizes(drafted, prop, corrected), series)
    return PropParameters(tuple(weights.tolist()), before, after)


def question_pmfs(
    rows: TrainingSet, prop: PropType, means: Mapping[Member, NDArray[np.float64]], parameters: ModelParameters
) -> dict[str, NDArray[np.float64]]:
    """Calibrated distributions of every row's map, and of maps 1 and 2 of those who played both, [n, counts] each.

    ``means`` are those of the members, of shape [n, 2]; the same that `PropEnsemble` says of its own members before the
    draft.
    """
    stacked = combined_means(np.array(parameters.props[prop].weights), np.stack(list(means.values())))
    return pmfs_of(rows, prop, MapMeans(parameters.series.win_probability(rows.features), stacked), parameters)


def pmfs_of(
    rows: TrainingSet, prop: PropType, means: MapMeans, parameters: ModelParameters
) -> dict[str, NDArray[np.float64]]:
    """As `question_pmfs`, from the combined means of the rows."""
    ensemble = PropEnsemble({prop: {}}, ModelParameters({prop: parameters.props[prop]}, parameters.series))
    first, second = pairs_of_maps(rows)
    both = np.stack([first, second], axis=1).ravel()
    parts = {ONE_MAP: (np.arange(len(rows)), MapRange(1, 1)), MAPS_1_2: (both, MapRange(1, 2))}
    pmfs = {}
    for maps, (at, map_range) in parts.items():
        of_maps = MapMeans(means.win[at], means.counts[at], drafted=means.drafted)
        position = rows.position[at[:: len(map_range.maps)]][:, None]
        pmfs[maps] = ensemble.calibrated_pmf(prop, of_maps, position, map_range)
    return pmfs


def actual_counts(rows: TrainingSet, prop: PropType, maps: str) -> NDArray[np.int64]:
    """What happened, in the order of `question_pmfs`."""
    if maps == ONE_MAP:
        return rows.counts[prop]
    first, second = pairs_of_maps(rows)
    return np.asarray(rows.counts[prop][first] + rows.counts[prop][second])


def _stacked(
    rows: TrainingSet, prop: PropType, members: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of shape [members] and sizes of shape [2, positions] of least log score, given the results.

    Stacking by a proper score: Yao, Vehtari, Simpson and Gelman (2018), here of the means within one family.
    """
    y = rows.counts[prop]
    result = rows.won.astype(np.int64)
    given = members[:, np.arange(len(rows)), result]
    weights = np.full(len(members), 1.0 / len(members))
    sizes = np.ones((len(RESULTS), len(POSITIONS)))
    for _ in range(STACKING_ROUNDS):
        sizes = _sizes(rows, prop, combined_means(weights, members))
        weights = _weights(y, given, sizes[result, rows.position], weights)
    return weights, sizes


def _sizes(rows: TrainingSet, prop: PropType, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best size by result and position, of shape [2, positions]; `means` has the shape [n, 2]."""
    result = rows.won.astype(np.int64)
    mean = means[np.arange(len(rows)), result]
    sizes = np.ones((len(RESULTS), len(POSITIONS)))
    for won in range(len(RESULTS)):
        for at in range(len(POSITIONS)):
            part = (result == won) & (rows.position == at)
            sizes[won, at] = best_size(rows.counts[prop][part], mean[part])
    return sizes


def _spread(
    rows: TrainingSet, prop: PropType, means: MapMeans, sizes: NDArray[np.float64], series: SeriesParameters
) -> Spread:
    """Correlations of counts around their means, then the calibration of one map and of sums that this leaves."""
    by_result = (tuple(sizes[0].tolist()), tuple(sizes[1].tolist()))
    raw = Spread(by_result, _correlations(rows, prop, means.counts, sizes), IDENTITY, IDENTITY)
    pmfs = pmfs_of(rows, prop, means, ModelParameters({prop: PropParameters((), raw, raw)}, series))
    curves = {maps: _calibration(pmf, actual_counts(rows, prop, maps)) for maps, pmf in pmfs.items()}
    return replace(raw, calibration=curves[ONE_MAP], calibration_of_sums=curves[MAPS_1_2])


def _weights(
    y: NDArray[np.int64], given: NDArray[np.float64], sizes: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mean = combined_means(weights, given)
        slope = (mean - y) / mean * sizes / (sizes + mean)
        value = -negative_binomial.log_pmf(y, mean, sizes).mean()
        return float(value), given @ slope / len(y)

    bounds = [(0.0, 1.5)] * len(start)
    found = minimize(loss, np.maximum(start, 0.01), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def _correlations(
    rows: TrainingSet, prop: PropType, means: NDArray[np.float64], sizes: NDArray[np.float64]
) -> Correlations:
    """Moments of the standardised residuals, given the results; `means` has the shape [n, 2]."""
    result = rows.won.astype(np.int64)
    mean = means[np.arange(len(rows)), result]
    residual = rows.counts[prop] - mean
    deviation = np.sqrt(mean + mean**2 / sizes[result, rows.position])
    first, second = pairs_of_maps(rows)
    maps = _ratio(residual[first] @ residual[second], deviation[first] @ deviation[second])
    _, match = np.unique(rows.match_id.astype(str), return_inverse=True)
    moments = []
    for values in (residual, deviation):
        side, squares = np.zeros((2, match.max() + 1)), np.zeros((2, match.max() + 1))
        np.add.at(side, (result, match), values)
        np.add.at(squares, (result, match), values**2)
        moments.append(((side**2 - squares).sum(), (side[0] * side[1]).sum()))
    (mates, foes), (mates_scale, foes_scale) = moments
    return Correlations(maps, _ratio(mates, mates_scale), _ratio(foes, foes_scale))


def _ratio(value: Any, scale: Any) -> float:
    return float(np.clip(value / scale, -MOST_CORRELATION, MOST_CORRELATION)) if scale > 0 else 0.0


def _calibration(pmf: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[float, ...]:
    """The cdf that outcomes showed, at evenly spaced raw cdf values, drawn to the raw cdf where rows are few."""
    knots = np.linspace(0.0, 1.0, CALIBRATION_KNOTS)
    seen = pit_curve(pmf, y, knots) if len(y) else knots
    return tuple(((len(y) * seen + CALIBRATION_PULL * knots) / (len(y) + CALIBRATION_PULL)).tolist())


def best_size(y: NDArray[np.int64], means: NDArray[np.float64]) -> float:
    """The size of highest likelihood between 0.4 (very wide) and 400 (nearly Poisson)."""
    if not len(y):
        return 4.0  # the usual size of a role, where the validation saw none

    def loss(log_size: float) -> float:
        return -float(negative_binomial.log_pmf(y, means, np.full(len(y), np.exp(log_size))).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.4), np.log(400.0)), method="bounded").x))
