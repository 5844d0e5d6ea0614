"""Scores against their definitions, calibration against models that are true or skewed by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stores.domain import negative_binomial
from stores.domain.distribution import CountDistribution
from training.scores import (
    LEAST_PROBABILITY,
    calibration_bins,
    calibration_error,
    central_intervals,
    crps,
    log_scores,
    over_probabilities,
    pit_curve,
)

WEIGHTS = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=12)


@given(WEIGHTS, st.integers(0, 11))
def test_crps_is_the_distance_less_half_the_spread(weights: list[float], outcome: int) -> None:
    """CRPS = E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007), computed by brute force."""
    pmf = np.array(weights) / sum(weights)
    y = min(outcome, len(pmf) - 1)
    k = np.arange(len(pmf))
    distance = float(pmf @ np.abs(k - y))
    spread = float(pmf @ np.abs(k[:, None] - k[None, :]) @ pmf)
    assert crps(pmf[None, :], np.array([y]))[0] == pytest.approx(distance - spread / 2, abs=1e-12)


def test_a_sure_forecast_is_scored_by_its_distance() -> None:
    """All weight on 3 costs nothing if 3 happens, and 4 if 7 does."""
    sure = np.zeros((2, 10))
    sure[:, 3] = 1.0
    assert crps(sure, np.array([3, 7])).tolist() == [0.0, 4.0]


def test_log_scores_are_those_of_the_probability_given() -> None:
    """Minus the log of what was given; the tail counts for the last entry, the impossible stays finite."""
    pmf = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    found = log_scores(pmf, np.array([1, 9, 2]))
    assert found == pytest.approx([np.log(4), np.log(4), -np.log(LEAST_PROBABILITY)])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 12.0), st.floats(0.5, 100.0))
def test_the_pit_of_a_true_model_is_uniform(seed: int, mean: float, size: float) -> None:
    """Counts drawn from the forecast give the identity, up to the noise of their number."""
    n, counts = 2_000, 160
    pmf = negative_binomial.pmf(np.full(n, mean), np.full(n, size), counts)
    y = stats.nbinom.rvs(size, size / (size + mean), size=n, random_state=seed)
    knots = np.linspace(0, 1, 21)
    curve = pit_curve(pmf, np.minimum(y, counts + 40), knots)
    assert np.abs(curve - knots).max() < 0.06  # five sigmas
    assert (np.diff(curve) >= 0).all()
    assert (curve[0], curve[-1]) == (0.0, 1.0)


def test_the_pit_shows_a_forecast_that_is_too_high() -> None:
    """If less happens than was said, outcomes lie low in their forecasts."""
    y = stats.poisson.rvs(2.0, size=5_000, random_state=1)
    pmf = negative_binomial.pmf(np.full(5_000, 4.0), np.full(5_000, 1e6), 60)
    assert pit_curve(pmf, y, np.array([0.0, 0.5, 1.0]))[1] > 0.8


def test_over_probabilities_sum_what_lies_above_the_line() -> None:
    """Each row has its own line."""
    pmf = np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    assert over_probabilities(pmf, np.array([0.5, 1.5])) == pytest.approx([0.9, 0.7])


def test_a_perfect_forecast_has_no_calibration_error() -> None:
    """Where 25 percent are said and 25 percent happen, and where all is certain, the error is 0."""
    happened = np.tile([True, False, False, False], 250)
    assert calibration_error(np.full(1_000, 0.25), happened) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(happened.astype(float), happened) == 0.0
    assert calibration_error(np.array([]), np.array([], dtype=bool)) == 0.0


def test_a_skew_is_measured_in_full() -> None:
    """What is said ten points too high is ten points off, and skews of both signs do not cancel."""
    happened = np.tile([True, False], 500)
    assert calibration_error(np.full(1_000, 0.6), happened) == pytest.approx(0.1)
    said = np.repeat([0.2, 0.9], 500)
    assert calibration_error(said, happened) == pytest.approx((0.3 + 0.4) / 2)


def test_calibration_bins_hold_equal_rows_in_order() -> None:
    """Ten bins of seven rows each, and no probability of a bin lies above one of the next."""
    said = np.random.default_rng(2).permutation(np.linspace(0.01, 0.99, 70))
    bins = calibration_bins(said)
    assert np.bincount(bins).tolist() == [7] * 10
    for lower in range(9):
        assert said[bins == lower].max() < said[bins == lower + 1].min()


@given(WEIGHTS, st.sampled_from([0.5, 0.8, 0.95]))
def test_intervals_are_those_that_answers_give(weights: list[float], level: float) -> None:
    """Both ends are the ones of the served distribution, and the mass held is that between them: at least the level."""
    pmf = np.array(weights) / sum(weights)
    least, greatest, held = central_intervals(np.stack([pmf, pmf[::-1]]), level)
    for at, one in enumerate((pmf, pmf[::-1])):
        assert (least[at], greatest[at]) == CountDistribution(one).interval(level)
        assert held[at] == pytest.approx(one[least[at] : greatest[at] + 1].sum())
        assert held[at] >= level - 1e-9


def test_the_interval_of_a_die_is_counted_by_hand() -> None:
    """Of six equal faces the central 50% are 2 to 5, which hold four sixths, and the central 80% all six."""
    die = np.full((1, 6), 1 / 6)
    assert [found.tolist() for found in central_intervals(die, 0.5)[:2]] == [[1], [4]]
    assert central_intervals(die, 0.5)[2] == pytest.approx([4 / 6])
    assert [found.tolist() for found in central_intervals(die, 0.8)[:2]] == [[0], [5]]
