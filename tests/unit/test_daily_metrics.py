"""The figures of a model's day, against their definitions; and the reasons to train again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest

from stores.domain.feedback import ActualResult
from stores.domain.props import Side
from tests.examples import a_prediction
from training.daily_metrics import daily_performance, retrain_reason, with_drift
from training.outcomes import Outcome, Settlement
from training.watching.findings import DriftFinding, DriftKind, DriftReport

if TYPE_CHECKING:
    from collections.abc import Sequence


NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
DAY = NOON.date()
MODEL, OTHER = uuid4(), uuid4()
IDS = {"1": MODEL, "2": OTHER}


def came(over_percent: float, result: ActualResult | None, at: datetime = NOON, version: str = "1") -> Outcome:
    """A prediction that gave so much to OVER, and how it came; None is open."""
    side = Side.OVER if over_percent >= 50 else Side.UNDER
    prediction = a_prediction(
        at,
        prediction=side,
        confidence=max(over_percent, 100 - over_percent),
        model_version=version,
    )
    settlement = Settlement.OPEN if result is None else Settlement.SETTLED
    return Outcome(prediction=prediction, settlement=settlement, result=result)


def finding(kind: DriftKind, statistic: float | None, **changes: Any) -> DriftFinding:
    """A finding with the threshold 4."""
    facts: dict[str, Any] = {
        "name": "elo",
        "threshold": 4.0,
        "p_value": 0.5,
        "alarm": False,
        "n_rows": 9,
        "n_series": 1,
    }
    return DriftFinding(kind=kind, statistic=statistic, **(facts | changes))


def test_the_figures_of_a_day() -> None:
    """Three of five are right; pushes and open ones count only for what is known."""
    over, under = ActualResult.OVER, ActualResult.UNDER
    outcomes = [came(80, over), came(60, under), came(70, over), came(30, over), came(20, under)]
    outcomes += [came(90, ActualResult.PUSH), came(90, None), came(90, None)]
    (row,) = daily_performance(outcomes, IDS)
    assert (row.model_id, row.metric_date) == (MODEL, DAY)
    assert (row.total_predictions, row.over_predictions, row.under_predictions, row.correct_predictions) == (5, 3, 2, 3)
    assert row.accuracy == pytest.approx(3 / 5)
    assert (row.precision_score, row.recall_score, row.f1_score) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert row.auc_score == pytest.approx(5 / 6)  # of six pairs only the OVER given 30 lies below an UNDER given 60
    assert row.data_quality_score == pytest.approx(6 / 8)


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    """Counted pair by pair, ties half."""
    rng = np.random.default_rng(2)
    over = rng.integers(0, 11, size=60) * 10.0
    happened = rng.random(60) < 0.4
    outcomes = [
        came(float(p), ActualResult.OVER if up else ActualResult.UNDER) for p, up in zip(over, happened, strict=True)
    ]
    apart = over[happened][:, None] - over[~happened][None, :]
    (row,) = daily_performance(outcomes, IDS)
    assert row.auc_score == pytest.approx(((apart > 0) + 0.5 * (apart == 0)).mean())


def test_what_cannot_be_measured_is_none() -> None:
    """A day without a decided prediction, and one on which nothing but UNDER was said and came."""
    (none,) = daily_performance([came(80, None)], IDS)
    assert (none.accuracy, none.auc_score, none.total_predictions, none.data_quality_score) == (None, None, 0, 0.0)
    (unders,) = daily_performance([came(20, ActualResult.UNDER)], IDS)
    assert (unders.accuracy, unders.precision_score, unders.recall_score, unders.f1_score) == (1.0, None, None, None)


def test_days_and_versions_are_apart() -> None:
    """Days are those of UTC; a version that nobody registered has no row."""
    late = NOON.replace(hour=23, minute=59)
    outcomes = [
        came(80, ActualResult.OVER, late),
        came(80, ActualResult.OVER, late + timedelta(minutes=2)),
        came(80, ActualResult.OVER, late, "2"),
        came(80, ActualResult.OVER, late, "unknown"),
    ]
    found = {(row.metric_date, row.model_id): row.total_predictions for row in daily_performance(outcomes, IDS)}
    assert found == {(DAY, MODEL): 1, (DAY + timedelta(days=1), MODEL): 1, (DAY, OTHER): 1}


def test_todays_drift_has_a_row_though_nothing_was_asked() -> None:
    """The champion's row of today is made; others are left as they are."""
    report = DriftReport(
        (finding(DriftKind.PREDICTION, 2.0), finding(DriftKind.CALIBRATION, None, threshold=None)), 0.01
    )
    others = daily_performance([came(80, ActualResult.OVER, version="2")], IDS)
    kept, todays = with_drift(others, report, MODEL, DAY)
    assert [kept] == others
    assert (todays.model_id, todays.feature_drift_score, todays.target_drift_score) == (MODEL, 0.5, None)


@pytest.mark.parametrize(
    ("findings", "age", "reason"),
    [
        ((), timedelta(days=6, hours=23), None),
        ((), timedelta(days=7), "schedule: trained 7 days ago, due every 7"),
        ((finding(DriftKind.FEATURE, 9.0, alarm=True, p_value=0.001),), timedelta(0), "drift: feature elo"),
        (
            (
                finding(DriftKind.FEATURE, 9.0, alarm=True, p_value=0.002),
                finding(DriftKind.TARGET, 9.0, alarm=True, p_value=0.001, name="CRPS"),
                finding(DriftKind.STABILITY, 99.0),
            ),
            timedelta(days=30),
            "drift: target CRPS and 1 more",
        ),
    ],
)
def test_a_model_is_trained_again_by_drift_or_by_schedule(
    findings: Sequence[DriftFinding], age: timedelta, reason: str | None
) -> None:
    """Drift is named first, by its least likely finding."""
    assert retrain_reason(DriftReport(tuple(findings), 0.01), NOON - age, NOON, 7) == reason
