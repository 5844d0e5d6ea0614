"""From a question to its answer: one distribution answers every line.

Pure but for its inputs: the same question, features and model give the same answer to the bit, whoever asks and however
(single, batch or curve).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.ensemble import Forecast, sum_of
from actors.questions import Inferred, Question, SeriesQuestion
from actors.series_results import SURE_MAPS
from stores.domain.props import DataTier, Side
from stores.errors import RiftlineError
from stores.features.vector import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.ensemble import MapMeans, PropEnsemble
    from actors.feature_view import FeatureView
    from actors.published import PlayerEntry
    from stores.domain.props import MapRange, PropRequest, PropType

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
    (found,) = look_all([request], view, model)
    if isinstance(found, RiftlineError):
        raise found
    return found


def look_all(requests: Sequence[PropRequest], view: FeatureView, model: PropEnsemble) -> list[Outlook | RiftlineError]:
    """What `look` gives or raises for each request, to the bit, with one walk through the trees per prop."""
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
    """One prediction per series, in order; those of the same shape are computed together.

    The trees are walked once per prop, and once more for series whose draft is known beside others.
    """
    predicted: dict[int, Predicted] = {}
    for prop, drafted in dict.fromkeys((one.prop, one.drafted) for one in series):
        of_prop = [at for at, one in enumerate(series) if (one.prop, one.drafted) == (prop, drafted)]
        means = dict(zip(of_prop, _means(prop, [series[at] for at in of_prop], model), strict=True))
        shapes = {at: (series[at].map_range, series[at].best_of, series[at].same_side) for at in of_prop}
        for shape in dict.fromkeys(shapes.values()):
            alike = [at for at in of_prop if shapes[at] == shape]
            map_range, best_of, same_side = shape
            joined = replace(
                means[alike[0]],
                win=np.concatenate([means[at].win for at in alike]),
                counts=np.concatenate([means[at].counts for at in alike]),
            )
            positions = np.array([[share.position for share in series[at].shares] for at in alike])
            forecasts = model.forecasts(
                prop, joined, positions, map_range, same_side=np.array(same_side), best_of=best_of
            )
            reached = _reached(joined, len(same_side), map_range, best_of, model)
            predicted.update(zip(alike, map(Predicted, forecasts, reached), strict=True))
    return [predicted[at] for at in range(len(series))]


def _means(prop: PropType, series: Sequence[SeriesQuestion], model: PropEnsemble) -> list[MapMeans]:
    """What is expected of each share on each map, by series, from one walk; all have a draft or none has."""
    lengths = [len(one.shares) * len(one.map_range.maps) for one in series]
    shares = [(share, one.map_range) for one in series for share in one.shares]
    repeats = np.array([len(map_range.maps) for _, map_range in shares])
    snapshots = zip(*(share.evidence for share, _ in shares), strict=True)
    player, team, opponent, league = (np.repeat(np.stack(rows), repeats, axis=0) for rows in snapshots)
    positions = np.repeat([share.position for share, _ in shares], repeats)
    maps = np.concatenate([map_range.maps for _, map_range in shares])
    features = assemble(player, team, opponent, league, positions, maps)
    draft = None
    if series[0].drafted:
        draft = np.repeat(np.stack([share.draft for share, _ in shares]), repeats, axis=0).astype(np.float32)
    means = model.map_means(prop, features, draft)
    borders = np.cumsum(lengths)[:-1]
    parts = zip(np.split(means.win, borders), np.split(means.counts, borders), strict=True)
    return [replace(means, win=win, counts=counts) for win, counts in parts]


def _reached(
    means: MapMeans, players: int, map_range: MapRange, best_of: int | None, model: PropEnsemble
) -> list[float]:
    """The chance that the last map of the range is played once the first one is."""
    if map_range.last <= max(SURE_MAPS, map_range.first):  # nearly every question: nothing to work out
        return [1.0] * (len(means.win) // (players * len(map_range.maps)))
    win = means.win.reshape(-1, players, len(map_range.maps))[:, 0]
    chances = model.parameters.series.result_chances(win, map_range, best_of)
    whole = [chance for course, chance in chances.items() if len(course) == len(map_range.maps)]
    return np.sum(whole, axis=0).tolist() if whole else [0.0] * len(win)


def curve_lines(forecast: Forecast) -> list[float]:
    """The half lines from 0.5 up to where OVER has become all but impossible (one in a thousand)."""
    return [count + 0.5 for count in range(forecast.calibrated.quantile(0.999) + 1)]


def _percent(probability: float) -> float:
    return round(100.0 * probability, PERCENT_DIGITS)
