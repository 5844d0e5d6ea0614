"""How each model version did on each day, from what became of the predictions it gave; and when to train again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from stores.domain.feedback import ActualResult
from stores.domain.model_performance import DailyPerformance
from stores.domain.props import Side
from training.outcomes import Settlement
from training.watching.findings import DriftKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from numpy.typing import NDArray

    from stores.roles.model_performance import ModelPerformance
    from training.outcomes import Outcome
    from training.watching.findings import DriftReport


def daily_performance(outcomes: Sequence[Outcome], model_ids: Mapping[str, UUID]) -> list[DailyPerformance]:
    """One row per model version and UTC day on which it predicted, by day; versions without an id are left out.

    Counts and scores are of the predictions that were right or wrong (settled, no push). OVER is the positive class.
    ``data_quality_score`` is the share of all the day's predictions of which it is known what became of them.
    """
    of_day: defaultdict[tuple[date, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        version = outcome.prediction.model_version
        if version in model_ids:
            of_day[outcome.prediction.created_at.astimezone(UTC).date(), version].append(outcome)
    return [_performance(model_ids[version], day, of_day[day, version]) for day, version in sorted(of_day)]


async def write_daily_performance(store: ModelPerformance, rows: Sequence[DailyPerformance]) -> None:
    """Put the rows in place of those before; a drift that is not measured again stays as it was. Idempotent."""
    for model_id in dict.fromkeys(row.model_id for row in rows):
        of_model = {row.metric_date: row for row in rows if row.model_id == model_id}
        before = {row.metric_date: row for row in await store.between(model_id, min(of_model), max(of_model))}
        for day, row in of_model.items():
            await store.put(_with_drift_of(row, before.get(day)))


def with_drift(
    rows: Sequence[DailyPerformance], report: DriftReport, model_id: UUID, today: date
) -> list[DailyPerformance]:
    """The rows with today's drift in the champion's row of today, which is made where it predicted nothing.

    A drift score is the largest statistic in units of its threshold: 1 is the alarm.
    """
    key = (model_id, today)
    others = [row for row in rows if (row.model_id, row.metric_date) != key]
    own = [row for row in rows if (row.model_id, row.metric_date) == key]
    todays = own[0] if own else DailyPerformance(model_id=model_id, metric_date=today)
    measured = replace(
        todays,
        feature_drift_score=report.score(DriftKind.FEATURE, DriftKind.PREDICTION),
        target_drift_score=report.score(DriftKind.CALIBRATION, DriftKind.TARGET),
    )
    return [*others, measured]


def retrain_reason(report: DriftReport, last_trained: datetime, now: datetime, schedule_days: int) -> str | None:
    """Why a model that was trained then should be trained again now; None if there is no reason. Drift comes first."""
    drifted = [finding for finding in report.findings if finding.alarm]
    if drifted:
        most = min(drifted, key=lambda it: 1.0 if it.p_value is None else it.p_value)
        others = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
        return f"drift: {most.kind} {most.name}{others}"
    age = now - last_trained
    if age >= timedelta(days=schedule_days):
        return f"schedule: trained {age.days} days ago, due every {schedule_days}"
    return None


def _performance(model_id: UUID, day: date, outcomes: Sequence[Outcome]) -> DailyPerformance:
    decided = [outcome for outcome in outcomes if outcome.decided]
    over = np.array([outcome.over for outcome in decided])
    said = np.array([outcome.prediction.prediction is Side.OVER for outcome in decided], dtype=bool)
    happened = np.array([outcome.result is ActualResult.OVER for outcome in decided], dtype=bool)
    hits, right = int((said & happened).sum()), int((said == happened).sum())
    known = sum(outcome.settlement is not Settlement.OPEN for outcome in outcomes)
    return DailyPerformance(
        model_id=model_id,
        metric_date=day,
        accuracy=_share(right, len(decided)),
        precision_score=_share(hits, int(said.sum())),
        recall_score=_share(hits, int(happened.sum())),
        f1_score=_share(2 * hits, int(said.sum() + happened.sum())),
        auc_score=_auc(over, happened),
        total_predictions=len(decided),
        over_predictions=int(said.sum()),
        under_predictions=int((~said).sum()),
        correct_predictions=right,
        data_quality_score=_share(known, len(outcomes)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _auc(over: NDArray[np.float64], happened: NDArray[np.bool_]) -> float | None:
    """The chance that an OVER was given more than an UNDER, a tie being half one (Mann and Whitney 1947)."""
    overs, unders = int(happened.sum()), int((~happened).sum())
    if not overs or not unders:
        return None
    ranks = float(rankdata(over)[happened].sum())
    return (ranks - overs * (overs + 1) / 2) / (overs * unders)


def _with_drift_of(row: DailyPerformance, before: DailyPerformance | None) -> DailyPerformance:
    if before is None:
        return row
    return replace(
        row,
        feature_drift_score=_first(row.feature_drift_score, before.feature_drift_score),
        target_drift_score=_first(row.target_drift_score, before.target_drift_score),
    )


def _first(measured: float | None, before: float | None) -> float | None:
    return before if measured is None else measured
