"""Fits who wins: what rating differences are worth, what the maps of a series share, and how long series are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from actors.series_results import SeriesParameters
from stores.domain.props import FORMATS
from stores.features.schema import MODEL_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.dataset import TrainingSet

MOST_SPREAD = 1.5  # log-odds; beyond it a series would be decided on its first map
_DIFFERENCES = [MODEL_FEATURES.index(name) for name in ("rating_difference", "roster_difference")]
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


def fit_series(rows: TrainingSet) -> SeriesParameters:
    """Maximum likelihood on all rows; the ratings in them are from before each series."""
    weights = _rating_weights(rows)
    return SeriesParameters(
        rating_weight=float(weights[0]),
        roster_weight=float(weights[1]),
        spread=_spread(rows, weights),
        formats=_formats(rows),
    )


def _rating_weights(rows: TrainingSet) -> NDArray[np.float64]:
    """Logistic regression without intercept: a meeting has no side that is named first."""
    winners = np.flatnonzero(rows.won)
    _, first = np.unique(rows.match_id[winners].astype(str), return_index=True)
    differences = rows.features[winners[first]][:, _DIFFERENCES].astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0.0, -differences @ weights).mean())

    return np.asarray(minimize(loss, np.array([0.4, 0.5]), method="BFGS").x)


def _spread(rows: TrainingSet, weights: NDArray[np.float64]) -> float:
    """The deviation of a series' log-odds around its ratings that makes the courses of series likeliest."""
    log_odds, won, series = _maps_of_series(rows, weights)
    if not len(series):
        return 0.0

    def loss(spread: float) -> float:
        centre = log_odds * np.sqrt(1.0 + np.pi * spread**2 / 8.0)
        given = np.log(expit(np.where(won, 1.0, -1.0)[:, None] * (centre[:, None] + spread * _NODES)))
        of_series = np.zeros((series.max() + 1, len(_NODES)))
        np.add.at(of_series, series, given)
        return -float(np.log(np.exp(of_series) @ (_WEIGHTS / _WEIGHTS.sum())).mean())

    return float(minimize_scalar(loss, bounds=(0.0, MOST_SPREAD), method="bounded").x)


def _maps_of_series(
    rows: TrainingSet, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Every map as one team sees it, always the same of a series: log-odds, result, number of the series."""
    known = np.flatnonzero([team is not None for team in rows.team_id])
    names = rows.team_id[known].astype(str)
    _, series = np.unique(rows.series_id[known].astype(str), return_inverse=True)
    seen_by = np.full(series.max(initial=-1) + 1, "", dtype=names.dtype)
    seen_by[series[::-1]] = names[::-1]  # the first row of each series
    of_team = names == seen_by[series]
    chosen, series = known[of_team], series[of_team]
    _, first = np.unique(rows.match_id[chosen].astype(str), return_index=True)
    chosen = chosen[first]
    log_odds = rows.features[chosen][:, _DIFFERENCES].astype(np.float64) @ weights
    return log_odds, rows.won[chosen], series[first]


def _formats(rows: TrainingSet) -> tuple[float, ...]:
    """The share of each format, told by how many maps the winner of a series won; one series of each kind is added."""
    maps: dict[object, dict[object, set[object]]] = {}
    for row in np.flatnonzero(rows.won):
        teams = maps.setdefault(rows.series_id[row], {})
        teams.setdefault(rows.team_id[row], set()).add(rows.match_id[row])
    most = np.array([max(len(won) for won in teams.values()) for teams in maps.values()])
    counts = np.array([(2 * np.minimum(most, 3) - 1 == format_).sum() + 1.0 for format_ in FORMATS])
    return tuple((counts / counts.sum()).tolist())
