"""From a question to its answer: one distribution answers every line.

Pure but for its inputs: the same question, features and model give the same answer to the bit, whoever asks and however
(single, batch or curve).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.ensemble import Forecast, sum_of
from actors.questions import Inferred, Question, SeriesQuestion
from actors.series_results import SURE_MAPS
from stores.domain.props import DataTier, Side
from stores.errors import RiftlineError
from stores.features.schema import MODEL_FEATURES
from stores.features.vector import assemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from actors.ensemble import MapMeans, PropEnsemble
    from actors.feature_view import FeatureView
    from actors.published import PlayerEntry
    from stores.domain.props import PropRequest

GAME_NUMBER = MODEL_FEATURES.index("game_number")
COVERAGE = 0.8  # of the interval
PERCENT_DIGITS = 4  # enough to compare, short enough to read; rounding is part of the answer, so it reproduces


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one line. Percentages are in [0, 100]; the push is left out of the confidences and given apart."""

    prediction: Side
    confidence: float
    base_model_confidence: float
    push_probability: float
    expected_stat: float
    confidence_interval: tuple[float, float]
    data_tier: DataTier
    inferred: Inferred
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a question's distribution rests on; any line can be answered from it."""

    forecast: Forecast
    data_tier: DataTier
    players: tuple[PlayerEntry, ...]
    series: tuple[SeriesQuestion, ...]
    inferred: Inferred
    warnings: tuple[str, ...]

    def at_line(self, line: float) -> Answer:
        """The answer to one line."""
        calibrated = self.forecast.calibrated
        said = calibrated.at_line(line)
        base_over = self.forecast.base.over_probability(line)
        low, high = calibrated.interval(COVERAGE)
        return Answer(
            prediction=said.side,
            confidence=_percent(said.probability),
            base_model_confidence=_percent(base_over if said.side is Side.OVER else 1.0 - base_over),
            push_probability=_percent(said.push),
            expected_stat=round(calibrated.mean, PERCENT_DIGITS),
            confidence_interval=(float(low), float(high)),
            data_tier=self.data_tier,
            inferred=self.inferred,
            warnings=self.warnings,
        )

    def over_percent(self, line: float) -> float:
        """The calibrated probability of OVER in %, the push left out."""
        return _percent(self.forecast.calibrated.over_probability(line))


def look(request: PropRequest, view: FeatureView, model: PropEnsemble) -> Outlook:
    """Find the evidence and forecast the sum. Raises what `Question` raises."""
    question = Question(request, view)
    series = question.series()
    return _outlook(question, series, predict(series, model))


def look_all(requests: Sequence[PropRequest], view: FeatureView, model: PropEnsemble) -> list[Outlook | RiftlineError]:
    """What `look` gives or raises for each request, to the bit; what is alike is computed together."""
    asked = [_asked(request, view) for request in requests]
    series = {at: one.series() for at, one in enumerate(asked) if isinstance(one, Question)}
    predicted = iter(predict([one for of_question in series.values() for one in of_question], model))
    return [
        one if isinstance(one, RiftlineError) else _outlook(one, series[at], [next(predicted) for _ in series[at]])
        for at, one in enumerate(asked)
    ]


def _asked(request: PropRequest, view: FeatureView) -> Question | RiftlineError:
    try:
        return Question(request, view)
    except RiftlineError as error:
        return error


def _outlook(question: Question, series: Sequence[SeriesQuestion], predicted: Sequence[Predicted]) -> Outlook:
    return Outlook(
        sum_of([one.forecast for one in predicted]),
        question.tier,
        question.players,
        tuple(series),
        question.inferred(),
        tuple(question.warnings(predicted[0].reached)),
    )


class Predicted(NamedTuple):
    """The distribution of one series' sum, and the chance that the last map of its range is played."""

    forecast: Forecast
    reached: float


def predict(series: Sequence[SeriesQuestion], model: PropEnsemble) -> list[Predicted]:
    """One prediction per series, in order; those of the same shape are computed together."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(series):
        alike.setdefault((one.prop, one.drafted, one.map_range, one.best_of, one.same_side), []).append(at)
    predicted: dict[int, Predicted] = {}
    for of_shape in alike.values():
        predicted.update(zip(of_shape, _predict_alike([series[at] for at in of_shape], model), strict=True))
    return [predicted[at] for at in range(len(series))]


def _predict_alike(series: Sequence[SeriesQuestion], model: PropEnsemble) -> Iterable[Predicted]:
    first = series[0]
    position = np.array([[share.position for share in one.shares] for one in series])
    means = _means(series, position.ravel(), model)
    forecasts = model.forecasts(
        first.prop, means, position, first.map_range, same_side=np.array(first.same_side), best_of=first.best_of
    )
    return map(Predicted, forecasts, _reached(means, first, model))


def _means(series: Sequence[SeriesQuestion], position: NDArray[np.int64], model: PropEnsemble) -> MapMeans:
    """What is expected of each share on each map, by series; all are of one shape, ``position`` is by share."""
    shares = [share for one in series for share in one.shares]
    map_range = series[0].map_range
    maps = np.arange(map_range.first, map_range.last + 1)
    snapshots = zip(*[share.evidence for share in shares], strict=True)
    player, team, opponent, league = [np.concatenate(rows).reshape(len(shares), -1) for rows in snapshots]
    first_map = assemble(player, team, opponent, league, position, maps[:1].repeat(len(shares)))
    features = first_map.repeat(len(maps), axis=0)
    features.reshape(len(shares), len(maps), -1)[:, :, GAME_NUMBER] = maps
    draft = None
    if series[0].drafted:
        draft = np.array([share.draft for share in shares], dtype=np.float32).repeat(len(maps), axis=0)
    return model.map_means(series[0].prop, features, draft)


def _reached(means: MapMeans, series: SeriesQuestion, model: PropEnsemble) -> Iterable[float]:
    """The chance that the last map of the range is played once the first one is, by series."""
    map_range = series.map_range
    if map_range.last <= max(SURE_MAPS, map_range.first):  # nearly every question: nothing to work out
        return itertools.repeat(1.0)
    win = means.win.reshape(-1, len(series.shares), len(map_range.maps))[:, 0]
    courses, chances = model.parameters.series.result_chances(win, map_range, series.best_of)
    whole = np.flatnonzero(courses.played == len(map_range.maps)).tolist()
    reached: list[float] = sum((chances[:, at] for at in whole), np.zeros(len(win))).tolist()
    return reached


def curve_lines(forecast: Forecast) -> list[float]:
    """The half lines from 0.5 up to where OVER has become all but impossible (one in a thousand)."""
    return [count + 0.5 for count in range(forecast.calibrated.quantile(0.999) + 1)]


def _percent(probability: float) -> float:
    return round(100.0 * probability, PERCENT_DIGITS)
