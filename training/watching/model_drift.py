"""All that may drift about a model, in one report with one rate of false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.domain.feedback import ActualResult
from training.scores import over_probabilities
from training.watching.findings import DriftFinding, DriftKind, DriftReport
from training.watching.outcome_drift import Predicted, excess_findings, outcome_drift, over_excess
from training.watching.sample_drift import Sample, sample_drift
from training.watching.stability import stability_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from training.dataset import TrainingSet
    from training.outcomes import Outcome

    Forecast = Callable[[TrainingSet], Mapping[PropType, NDArray[np.float64]]]

FALSE_ALARM_RATE = 0.01
FAMILIES = 4  # features, predictions, outcomes of played games, answers that were served
SERVED = "served over frequency"


def model_drift(
    samples: tuple[TrainingSet, TrainingSet],
    names: Sequence[str],
    forecast: Forecast,
    served: Sequence[Outcome],
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> DriftReport:
    """What has drifted between the reference and the current rows, and between answers and their outcomes.

    ``names`` are those of the features; ``forecast`` gives the pmf per prop, of shape [n, counts]. The families share
    the rate equally (Bonferroni), and each of them holds its part.

    Series of a league's week share patch, form and opponents, so it is weeks of leagues that features and predictions
    are permuted by. Weeks of July 2025 to May 2026 against the games before them: by series all 36 would alarm at 1%,
    by leagues' weeks 1 of 26. Predictions of rows that the model was trained on spread a little wider than those of
    new rows: a model that learns by heart shows as a drift of its predictions.
    """
    reference, current = samples
    rate = false_alarm_rate / FAMILIES
    before, after = _sample(names, reference), _sample(names, current)
    said, outcomes = forecast(reference), forecast(current)
    lines = {prop: np.floor(_means(pmf).mean()) + 0.5 for prop, pmf in said.items()}
    predicted = {str(prop): Predicted(pmf, current.counts[prop]) for prop, pmf in outcomes.items()}
    return DriftReport(
        (
            *sample_drift(DriftKind.FEATURE, before, after, rate),
            *stability_indices(before, after, rate),
            *sample_drift(DriftKind.PREDICTION, _said(said, lines, reference), _said(outcomes, lines, current), rate),
            *outcome_drift(predicted, current.series_id, rate),
            *_served_drift(served, rate),
        ),
        false_alarm_rate,
    )


def _sample(names: Sequence[str], rows: TrainingSet) -> Sample:
    return Sample(names, rows.features, rows.series_id, _leagues_weeks(rows))


def _leagues_weeks(rows: TrainingSet) -> NDArray[np.str_]:
    """The league and the week in which the series of each row began."""
    weeks = rows.series_started_at.astype("datetime64[W]").astype(str)
    return np.char.add(np.char.add(rows.tournament.astype(str), " "), weeks)


def _means(pmf: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pmf @ np.arange(pmf.shape[1]))


def _said(pmfs: Mapping[PropType, NDArray[np.float64]], lines: Mapping[PropType, float], rows: TrainingSet) -> Sample:
    """Each row's expected count and the probability of more than a line, the same for all."""
    columns = {f"{prop} mean": _means(pmf) for prop, pmf in pmfs.items()}
    columns |= {
        f"{p} over {lines[p]}": over_probabilities(pmf, np.full(len(rows), lines[p])) for p, pmf in pmfs.items()
    }
    return Sample(list(columns), np.column_stack(list(columns.values())), rows.series_id, _leagues_weeks(rows))


def _served_drift(served: Sequence[Outcome], rate: float) -> tuple[DriftFinding, ...]:
    """Did OVER come as often as was answered? Asked of what the lake settled: feedback names no series."""
    decided = [outcome for outcome in served if outcome.decided and outcome.series_id is not None]
    over = np.array([outcome.over for outcome in decided])
    happened = np.array([outcome.result is ActualResult.OVER for outcome in decided], dtype=bool)
    return excess_findings(
        [over_excess(SERVED, over, happened)], np.array([outcome.series_id for outcome in decided], dtype=object), rate
    )
