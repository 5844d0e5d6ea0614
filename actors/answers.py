"""From a question to its answer: one distribution answers every line.

Pure but for its inputs: the same question, features and model give the same answer to the bit, whoever asks and however
(single, batch or curve).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from actors.ensemble import Forecast, sum_of
from actors.forecast_kernel import CURVE_FIGURES, Evidence, read_curve, read_line
from actors.questions import Question, SeriesQuestion
from stores.domain.props import DataTier, Side
from stores.errors import RiftlineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from actors.feature_view import FeatureView
    from actors.line_ups import Inferred
    from actors.published import PlayerEntry
    from stores.domain.props import MapRange, PropRequest, PropType

COVERAGE = 0.8  # of the interval


class Predictor(Protocol):
    """What an answer needs of a model, wherever that is."""

    def predict(
        self, prop: PropType, evidence: Evidence, map_range: MapRange, *, drafted: bool, best_of: int | None = None
    ) -> tuple[list[Forecast], list[float]]:
        """See `actors.ensemble.PropEnsemble.predict`."""
        ...


class Answer(NamedTuple):
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


class CurvePoints(NamedTuple):
    """What a curve says of each of its lines. Percentages as in `Answer`, that of OVER too."""

    predictions: list[Side]
    confidences: list[float]
    over_probabilities: list[float]
    expected_stats: list[float]


class Outlook(NamedTuple):
    """All that a question's distribution rests on; any line can be answered from it."""

    forecast: Forecast
    data_tier: DataTier
    players: tuple[PlayerEntry, ...]
    series: tuple[SeriesQuestion, ...]
    inferred: Inferred
    warnings: tuple[str, ...]

    def at_line(self, line: float) -> Answer:
        """The answer to one line."""
        base, calibrated = self.forecast.base.pmf, self.forecast.calibrated.pmf
        over, confidence, base_confidence, push, mean, low, high = _read_line()(base, calibrated, line, COVERAGE)
        return Answer(
            Side.OVER if over else Side.UNDER,
            confidence,
            base_confidence,
            push,
            mean,
            (low, high),
            self.data_tier,
            self.inferred,
            self.warnings,
        )

    def curve(self, lines: Sequence[float]) -> CurvePoints:
        """What is said of many lines; they cost hardly more than one."""
        figures = np.empty((CURVE_FIGURES, len(lines)))
        mean = _read_curve()(self.forecast.calibrated.pmf, np.array(lines, dtype=np.float64), figures)
        over, confidences, over_probabilities = figures.tolist()
        sides = [Side.OVER if one else Side.UNDER for one in over]
        return CurvePoints(sides, confidences, over_probabilities, [mean] * len(lines))


_read_line = cache(read_line.unchecked)
_read_curve = cache(read_curve.unchecked)


def look(request: PropRequest, view: FeatureView, model: Predictor) -> Outlook:
    """Find the evidence and forecast the sum. Raises what `Question` raises."""
    question = Question(request, view)
    series = question.series()
    return _outlook(question, series, predict(series, model))


def look_all(requests: Sequence[PropRequest], view: FeatureView, model: Predictor) -> list[Outlook | RiftlineError]:
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
        question.warnings(predicted[0].reached),
    )


class Predicted(NamedTuple):
    """The distribution of one series' sum, and the chance that the last map of its range is played."""

    forecast: Forecast
    reached: float


def predict(series: Sequence[SeriesQuestion], model: Predictor) -> list[Predicted]:
    """One prediction per series, in order; those of the same shape are computed together."""
    if len(series) == 1:
        return list(_predict_alike(series, model))
    alike: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(series):
        alike.setdefault((one.prop, one.drafted, one.map_range, one.best_of, one.same_side), []).append(at)
    predicted: dict[int, Predicted] = {}
    for of_shape in alike.values():
        predicted.update(zip(of_shape, _predict_alike([series[at] for at in of_shape], model), strict=True))
    return [predicted[at] for at in range(len(series))]


def _predict_alike(series: Sequence[SeriesQuestion], model: Predictor) -> Iterable[Predicted]:
    first = series[0]
    evidence = _evidence(series)
    return map(
        Predicted,
        *model.predict(first.prop, evidence, first.map_range, drafted=first.drafted, best_of=first.best_of),
    )


def _evidence(series: Sequence[SeriesQuestion]) -> Evidence:
    """What is known of series of one shape."""
    if len(series) == 1:  # read where it lies
        return series[0].evidence
    player, team, opponent, league, draft, position, _ = zip(*[one.evidence for one in series], strict=True)
    return Evidence(
        np.concatenate(player),
        np.concatenate(team),
        np.concatenate(opponent),
        np.concatenate(league),
        np.concatenate(draft),
        np.concatenate(position),
        series[0].evidence.same_side,
    )


def curve_lines(forecast: Forecast) -> list[float]:
    """The half lines from 0.5 up to where OVER has become all but impossible (one in a thousand)."""
    return [count + 0.5 for count in range(forecast.calibrated.quantile(0.999) + 1)]
