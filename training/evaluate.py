"""Back-test: train on what lies before a date, score what lies after it, beside the baselines on the same rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.ensemble import COUNTS_PER_MAP, PropEnsemble
from stores.domain import negative_binomial
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import POSITIONS
from training.baselines import position_means, rolling_means
from training.fitting import FittedModel, best_size, fit_model, pairs_of_maps
from training.scores import calibration_error, crps, log_scores, over_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from training.boosting import BoostingCluster, BoostingParams
    from training.dataset import TrainingSet

POSITION_MEAN = "position mean"
ROLLING_MEAN = "rolling mean"
RIFTLINE = "riftline"
CURVE_OFFSETS = (-3, -2, -1, 0, 1, 2, 3)  # lines around the player's own, as a bookmaker's ladder has them
PREDICTION_SCHEMA = pa.schema(
    [
        ("gameid", pa.string()),
        ("series_id", pa.string()),
        ("playername", pa.string()),
        ("position", pa.string()),
        ("prop_type", pa.string()),
        ("map_first", pa.int32()),
        ("map_last", pa.int32()),
        ("pmf", pa.list_(pa.float64())),
        ("actual", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the report. ``maps`` is ``one`` or ``1-2``; errors and accuracies are shares in [0, 1]."""

    prop_type: PropType
    maps: str
    method: str
    rows: int
    log_score: float
    crps: float
    calibration_error: float
    accuracy_own_line: float
    accuracy_curve: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The report: scores, the predictions behind them (PREDICTION_SCHEMA), and what was measured while fitting."""

    scores: tuple[Score, ...]
    predictions: pa.Table
    fitted: FittedModel

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {"scores": [asdict(score) for score in self.scores], "fit": self.fitted.metrics}


@dataclass(frozen=True, slots=True, eq=False)
class _Method:
    """Means per map of shape [n]; ``pmf_of`` takes means of shape [k, maps] and positions of shape [k]."""

    means: NDArray[np.float64]
    pmf_of: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """Rows that are scored together: one map each, or the sum of maps 1 and 2. Arrays have the length n."""

    maps: str
    rows: NDArray[np.int64]  # of the first map
    actual: NDArray[np.int64]
    last_map: NDArray[np.int64]
    lines: NDArray[np.float64]
    pmf: Mapping[str, NDArray[np.float64]]


def evaluate(  # noqa: PLR0913, PLR0917 — what, when, how, where and who is told
    rows: TrainingSet,
    since: date,
    until: date,
    params: BoostingParams,
    on: BoostingCluster,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Train on series that began before ``since``, score those that began in [since, until).

    Raises InvalidError if nothing is to be scored, or too little is left to train on.
    """
    start, end = np.datetime64(since), np.datetime64(until)
    known = rows.series_started_at < start  # by series: its maps are too alike to lie on both sides
    asked = (rows.series_started_at >= start) & (rows.series_started_at < end)
    if not asked.any():
        raise InvalidError(f"no game lies between {since} and {until}; the data spans {_span(rows)}", "--from")
    fitted = fit_model(rows.where(known), params, on, progress)
    progress("scoring")
    scores: list[Score] = []
    tables: list[pa.Table] = []
    for prop in PropType:
        for question in _questions(rows, prop, known, asked, fitted.ensemble):
            scores += [_score(question, prop, method) for method in question.pmf]
            tables.append(_predictions(rows, question, prop))
    return Evaluation(tuple(scores), pa.concat_tables(tables), fitted)


def _questions(
    rows: TrainingSet, prop: PropType, known: NDArray[np.bool_], asked: NDArray[np.bool_], ensemble: PropEnsemble
) -> list[_Question]:
    model = np.full(len(rows), np.nan)
    model[asked] = ensemble.means(prop, rows.features[asked])
    methods = {
        **_baselines(rows, prop, known),
        RIFTLINE: _Method(model, lambda means, position: _calibrated(ensemble, prop, means, position)),
    }
    first, second = pairs_of_maps(rows)
    both = asked[first] & asked[second]
    ranges = {"one": (np.flatnonzero(asked),), "1-2": (first[both], second[both])}
    return [_question(rows, prop, maps, parts, methods) for maps, parts in ranges.items()]


def _baselines(rows: TrainingSet, prop: PropType, known: NDArray[np.bool_]) -> dict[str, _Method]:
    by_role = position_means(rows, prop, known)
    by_player = rolling_means(rows, prop, by_role)
    return {
        POSITION_MEAN: _baseline(by_role, _sizes(rows.counts[prop], by_role, rows.position, known)),
        ROLLING_MEAN: _baseline(by_player, _sizes(rows.counts[prop], by_player, rows.position, known)),
    }


def _baseline(means: NDArray[np.float64], sizes: NDArray[np.float64]) -> _Method:
    def pmf_of(per_map: NDArray[np.float64], position: NDArray[np.int64]) -> NDArray[np.float64]:
        maps = per_map.shape[1]
        return negative_binomial.pmf(per_map.sum(axis=1), sizes[position] * maps, COUNTS_PER_MAP * maps)

    return _Method(means, pmf_of)


def _question(
    rows: TrainingSet,
    prop: PropType,
    maps: str,
    parts: Sequence[NDArray[np.int64]],
    methods: Mapping[str, _Method],
) -> _Question:
    """The rows ``parts[0]`` summed with those of the further parts, as all methods see them."""
    head = parts[0]
    per_map = {name: np.column_stack([method.means[part] for part in parts]) for name, method in methods.items()}
    return _Question(
        maps=maps,
        rows=head,
        actual=np.column_stack([rows.counts[prop][part] for part in parts]).sum(axis=1),
        last_map=rows.game_number[parts[-1]],
        lines=np.floor(per_map[ROLLING_MEAN].sum(axis=1)) + 0.5,
        pmf={name: method.pmf_of(per_map[name], rows.position[head]) for name, method in methods.items()},
    )


def _calibrated(
    ensemble: PropEnsemble, prop: PropType, means: NDArray[np.float64], position: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What the ensemble says of sums over played maps, of shape [n, counts], from means of shape [n, maps]."""
    return ensemble.calibrate(prop, ensemble.sum_pmf(prop, means, position, COUNTS_PER_MAP * means.shape[1]))


def _sizes(
    y: NDArray[np.int64], means: NDArray[np.float64], position: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The baseline's own best dispersion per role, so that it is beaten for its means and not for its spread."""
    return np.array(
        [best_size(y[known & (position == at)], means[known & (position == at)]) for at in range(len(POSITIONS))]
    )


def _score(question: _Question, prop: PropType, method: str) -> Score:
    pmf, y = question.pmf[method], question.actual
    own = over_probabilities(pmf, question.lines)
    ladder = [question.lines + offset for offset in CURVE_OFFSETS]
    right = [((over_probabilities(pmf, line) >= 0.5) == (y > line))[line > 0] for line in ladder]
    overs = np.concatenate([over_probabilities(pmf, line)[line > 0] for line in ladder])
    happened = np.concatenate([(y > line)[line > 0] for line in ladder])
    return Score(
        prop_type=prop,
        maps=question.maps,
        method=method,
        rows=len(y),
        log_score=float(log_scores(pmf, y).mean()),
        crps=float(crps(pmf, y).mean()),
        calibration_error=calibration_error(overs, happened),
        accuracy_own_line=float(((own >= 0.5) == (y > question.lines)).mean()),
        accuracy_curve=float(np.concatenate(right).mean()),
    )


def _predictions(rows: TrainingSet, question: _Question, prop: PropType) -> pa.Table:
    at = question.rows
    pmf = question.pmf[RIFTLINE]
    flat = pa.array(pmf.ravel())
    offsets = pa.array(np.arange(len(pmf) + 1, dtype=np.int32) * pmf.shape[1])
    names = np.array([str(position) for position in POSITIONS], dtype=object)
    return pa.table(
        [
            pa.array(rows.match_id[at], pa.string()),
            pa.array(rows.series_id[at], pa.string()),
            pa.array(rows.player_name[at], pa.string()),
            pa.array(names[rows.position[at]], pa.string()),
            pa.array([str(prop)] * len(at), pa.string()),
            pa.array(rows.game_number[at], pa.int32()),
            pa.array(question.last_map, pa.int32()),
            pa.ListArray.from_arrays(offsets, flat),
            pa.array(question.actual, pa.int32()),
        ],
        schema=PREDICTION_SCHEMA,
    )


def _span(rows: TrainingSet) -> str:
    if not len(rows):
        return "nothing"
    return f"{rows.started_at.min().astype('datetime64[D]')} to {rows.started_at.max().astype('datetime64[D]')}"
