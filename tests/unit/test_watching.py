"""The statistics of a watch against their definitions, and what it does where there is little to test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from scipy.stats import chi2

from stores.domain import negative_binomial
from training.watching.families import Counted, draws_for, family_findings
from training.watching.findings import DriftFinding, DriftKind, DriftReport
from training.watching.outcome_drift import LEAST_SERIES, Excess, Predicted, excess_findings, outcome_drift
from training.watching.sample_drift import LEAST_UNITS, Sample, sample_drift
from training.watching.stability import BINS, stability_indices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAMES = ("a", "b")


def sample(seed: int, series: int, rows: int = 10, shift: float = 0.0) -> Sample:
    """Two columns; the first is shifted."""
    rng = np.random.default_rng(seed)
    values = rng.normal([shift, 0.0], size=(series * rows, 2))
    return Sample(NAMES, values, np.repeat(np.arange(series), rows))


def features(reference: Sample, current: Sample, rate: float = 0.01, seed: int = 0) -> tuple[DriftFinding, ...]:
    """The drift of features."""
    return sample_drift(DriftKind.FEATURE, reference, current, rate, seed)


def alarms(findings: Sequence[DriftFinding]) -> list[bool]:
    """Which of them alarm."""
    return [finding.alarm for finding in findings]


@pytest.mark.parametrize("rate", [0.01, 0.0025, 0.05, 0.003])
def test_a_family_alarms_exactly_where_its_p_value_says_so(rate: float) -> None:
    """Statistic above threshold and p-value at most the rate are the same, ties and extremes included."""
    draws = np.sort(np.random.default_rng(1).normal(size=draws_for(rate)))
    statistics = np.concatenate([draws[-12:], draws[-12:] + 1e-12, [-9.0, 9.0]])
    labels = [(DriftKind.FEATURE, str(at)) for at in range(len(statistics))]
    for found in family_findings(labels, statistics, draws, rate, Counted(1, 1)):
        assert found.p_value is not None
        assert found.alarm == (found.p_value <= rate + 1e-12)


def test_rows_in_another_order_are_the_same_sample() -> None:
    """Only which rows share a series matters, not where they stand or what the series are called."""
    reference, current = sample(1, 40), sample(2, 12, shift=0.5)
    order = np.random.default_rng(3).permutation(len(current.values))
    names = np.array([f"series {at:03}" for at in range(12)], dtype=object)
    other = Sample(NAMES, current.values[order], names[current.series][order])
    for found, expected in zip(features(reference, other), features(reference, current), strict=True):
        assert found.statistic == pytest.approx(expected.statistic)  # another order of the same sum
        assert (found.p_value, found.alarm, found.n_series) == (expected.p_value, expected.alarm, expected.n_series)


def test_a_drift_is_named_by_its_column() -> None:
    """The other column stays quiet, and the same seed finds the same."""
    found = features(sample(1, 60), sample(2, 30, shift=1.0))
    assert alarms(found) == [True, False]
    assert found == features(sample(1, 60), sample(2, 30, shift=1.0))
    assert (found[0].n_rows, found[0].n_series) == (300, 30)


def test_any_rising_scale_of_a_column_finds_the_same() -> None:
    """Ranks are what is compared, so an exponential of a column drifts as much as the column."""
    reference, current = sample(1, 40), sample(2, 12, shift=0.3)
    before, after = (Sample(NAMES, np.exp(one.values), one.series) for one in (reference, current))
    assert features(before, after) == features(reference, current)


def test_one_odd_series_is_no_drift() -> None:
    """A column that a single series of the current ones lacks does not alarm; one that all of them lack does."""
    reference, current = sample(1, 400), sample(2, 5)
    values = current.values.copy()
    values[:10, 1] = np.nan
    assert alarms(features(reference, Sample(NAMES, values, current.series))) == [False, False]
    values[:, 1] = np.nan
    assert alarms(features(reference, Sample(NAMES, values, current.series))) == [False, True]


def test_columns_that_never_move_are_quiet() -> None:
    """Constants, and what is missing everywhere."""
    before, after = (Sample(NAMES, np.tile([3.0, np.nan], (n * 10, 1)), np.repeat(np.arange(n), 10)) for n in (30, 10))
    assert [found.statistic for found in features(before, after)] == [0.0, 0.0]
    assert alarms(features(before, after)) == [False, False]


def test_what_each_series_has_in_the_same_shares_is_quiet() -> None:
    """Such as the role: it does not vary between series at all."""
    roles = [Sample(("role",), np.tile(np.arange(5.0), 2 * n)[:, None], np.repeat(np.arange(n), 10)) for n in (30, 10)]
    (found,) = features(roles[0], roles[1])
    (index,) = stability_indices(roles[0], roles[1])
    assert (found.statistic, found.alarm) == (0.0, False)
    assert index.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(("reference", "current"), [(100, LEAST_UNITS - 1), (19, 10), (100, 0), (0, 0)])
def test_too_few_series_say_so_and_never_alarm(reference: int, current: int) -> None:
    """Nothing is tested, whatever the rows look like."""
    found = features(sample(1, reference), sample(2, current, shift=99.0))
    assert alarms(found) == [False, False]
    assert [one.statistic for one in found] == [None, None]
    assert "too few" in found[0].note


def test_blocks_stand_for_their_series() -> None:
    """Series that move together are no evidence apart: what alarms by series does not by the blocks they lie in."""
    rng = np.random.default_rng(5)
    blocks = np.repeat(np.arange(50), 10)  # of ten series each, all alike
    shared = rng.normal(size=(50, 2))[blocks]
    old, new = slice(0, 440), slice(440, 500)
    before, after = (Sample(NAMES, shared[part], np.arange(500)[part], blocks[part]) for part in (old, new))
    assert any(alarms(features(Sample(NAMES, before.values, before.series), Sample(NAMES, after.values, after.series))))
    assert not any(alarms(features(before, after)))
    assert features(before, after)[0].n_series == 60


def test_a_stability_index_is_its_formula() -> None:
    """Σ (q - p) ln(q / p) over deciles of the reference, and χ² (1/n + 1/m) for rows that are independent."""
    rng = np.random.default_rng(6)
    before, after = rng.normal(size=4_000), rng.normal(0.3, size=3_000)
    columns = [Sample(("x",), of[:, None], np.arange(len(of))) for of in (before, after)]
    (found,) = stability_indices(columns[0], columns[1], 0.01)
    edges = np.quantile(before, np.arange(1, BINS) / BINS)
    p, q = (np.bincount(np.searchsorted(edges, of), minlength=BINS) / len(of) for of in (before, after))
    assert found.statistic == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=0.01)
    assert found.threshold == pytest.approx(chi2.ppf(0.99, BINS - 1) * (1 / 4_000 + 1 / 3_000), rel=0.1)
    assert (found.alarm, found.kind) == (False, DriftKind.STABILITY)


def test_alike_rows_raise_the_threshold_of_the_index() -> None:
    """Ten copies of each row are worth one: the threshold is that of a tenth of the rows, the index is the same."""
    rng = np.random.default_rng(7)
    single = [Sample(("x",), rng.normal(size=(n, 1)), np.arange(n)) for n in (900, 700)]
    copies = [Sample(("x",), np.repeat(of.values, 10, axis=0), np.repeat(of.series, 10)) for of in single]
    (alone,), (many,) = (stability_indices(before, after) for before, after in (single, copies))
    assert alone.threshold is not None
    assert many.threshold == pytest.approx(alone.threshold, rel=0.05)
    assert many.statistic == pytest.approx(alone.statistic, rel=0.05)


def forecasts(series: int, rows: int = 10) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same pmf in every row, and the series of the rows."""
    n = series * rows
    return negative_binomial.pmf(np.full(n, 3.0), np.full(n, 4.0), 60), np.repeat(np.arange(series), rows)


def test_every_score_of_an_outcome_has_the_expectation_zero() -> None:
    """Over all outcomes as often as predicted, no statistic is far from 0: it is the scores that are centred."""
    pmf, _ = forecasts(1, 1)
    times = np.round(pmf[0] * 200_000).astype(np.int64)  # so often each count happens, to the rounding
    y = np.repeat(np.arange(60), times)
    every = np.broadcast_to(pmf, (len(y), 60))
    found = outcome_drift({"kills": Predicted(every, y)}, np.arange(len(y)), 0.05)
    values = {it.name.removeprefix("kills "): it.statistic for it in found}
    assert abs(values["over frequency"] or 0.0) < 0.05
    assert abs(values["CRPS above its expectation"] or 0.0) < 0.05
    assert not any(alarms(found))


def test_outcomes_above_their_predictions_are_found() -> None:
    """All series get one kill more than was said."""
    pmf, series = forecasts(40)
    y = np.random.default_rng(8).choice(60, p=pmf[0] / pmf[0].sum(), size=len(pmf))
    quiet = outcome_drift({"kills": Predicted(pmf, y)}, series)
    found = {it.name: it for it in outcome_drift({"kills": Predicted(pmf, y + 1)}, series)}
    assert not any(alarms(quiet))
    assert found["kills PIT level"].alarm
    assert found["kills over frequency"].alarm
    assert {it.kind for it in quiet} == {DriftKind.CALIBRATION, DriftKind.TARGET}


def test_a_score_that_only_counts_upwards_is_never_found_below() -> None:
    """One-sided: a fall is no alarm, the same rise is."""
    scores = np.full(300, 1.0) + np.random.default_rng(9).normal(size=300)
    series = np.repeat(np.arange(30), 10)
    up, down = (Excess(DriftKind.TARGET, "x", sign * scores, one_sided=True) for sign in (1.0, -1.0))
    assert alarms(excess_findings([up], series, 0.01)) == [True]
    assert alarms(excess_findings([down], series, 0.01)) == [False]
    both = Excess(DriftKind.TARGET, "x", -scores)
    assert alarms(excess_findings([both], series, 0.01)) == [True]


@pytest.mark.parametrize("series", [0, LEAST_SERIES - 1])
def test_outcomes_of_few_series_are_not_tested(series: int) -> None:
    """Even the impossible alarms nobody then."""
    pmf, of_series = forecasts(series)
    found = outcome_drift({"kills": Predicted(pmf, np.full(len(pmf), 59))}, of_series)
    assert not any(alarms(found))
    assert all(f"{LEAST_SERIES} are needed" in one.note for one in found)


def test_a_report_is_json_and_knows_how_far_it_is_from_an_alarm() -> None:
    """A score of 1 is the threshold; kinds without a test have none."""
    found = features(sample(1, 60), sample(2, 30, shift=1.0))
    report = DriftReport((*found, *features(sample(1, 60), sample(2, 0))), 0.01)
    read = orjson.loads(orjson.dumps(report.to_json()))
    assert (read["alarm"], read["false_alarm_rate"], len(read["findings"])) == (True, 0.01, 4)
    assert set(read["findings"][0]) >= {
        "kind",
        "name",
        "statistic",
        "threshold",
        "p_value",
        "alarm",
        "n_rows",
        "n_series",
    }
    assert found[0].statistic is not None
    assert found[0].threshold is not None
    assert report.score(DriftKind.FEATURE) == pytest.approx(found[0].statistic / found[0].threshold)
    assert report.score(DriftKind.TARGET) is None
    assert not DriftReport((), 0.01).alarm
