"""The filter beside the exact Gaussian posterior, which numpy's linear algebra computes from the whole covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.features.belief import DAY_US, LONGEST_DRIFT_DAYS, Belief, learn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

means = st.floats(-5, 5)
variances = st.floats(1e-4, 10)
weights = st.floats(-3, 3)
noises = st.floats(1e-3, 100)


def posterior(
    prior_mean: Sequence[float],
    prior_variance: Sequence[float],
    weight: NDArray[np.float64],
    seen: NDArray[np.float64],
    noise: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of levels of independent priors, once weight · levels + noise is seen."""
    precision = np.diag(1.0 / np.array(prior_variance)) + weight.T @ weight / noise
    covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    mean = covariance @ (np.array(prior_mean) / np.array(prior_variance) + weight.T @ seen / noise)
    return np.asarray(mean), covariance


@given(means, variances, st.lists(st.tuples(weights, means), min_size=1, max_size=8), noises)
def test_one_level_is_the_exact_posterior(
    mean: float, variance: float, seen: list[tuple[float, float]], noise: float
) -> None:
    """One level leaves out no covariance: seeing values one by one is the same as solving for all of them at once."""
    belief = Belief(mean, variance, 0.0)
    for weight, value in seen:
        learn([(belief, weight)], value - weight * belief.mean, noise)
    design, values = np.array([[one] for one, _ in seen]), np.array([one for _, one in seen])
    exact, covariance = posterior([mean], [variance], design, values, noise)
    assert belief.mean == pytest.approx(exact[0], rel=1e-7, abs=1e-7)
    assert belief.variance == pytest.approx(covariance[0, 0], rel=1e-7)


@given(st.tuples(means, means), st.tuples(variances, variances), st.tuples(weights, weights), means, noises)
def test_two_levels_have_the_exact_marginals(
    mean: tuple[float, float], variance: tuple[float, float], weight: tuple[float, float], value: float, noise: float
) -> None:
    """From independent priors, both means and both variances are those of the joint posterior."""
    beliefs = [Belief(one, spread, 0.0) for one, spread in zip(mean, variance, strict=True)]
    surprise = value - sum(one * belief.mean for belief, one in zip(beliefs, weight, strict=True))
    learn(list(zip(beliefs, weight, strict=True)), surprise, noise)
    exact, covariance = posterior(mean, variance, np.array([weight]), np.array([value]), noise)
    assert [one.mean for one in beliefs] == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert [one.variance for one in beliefs] == pytest.approx(covariance.diagonal(), rel=1e-6)


def test_who_is_less_known_takes_more_of_the_surprise() -> None:
    """A newcomer moves, the veteran beside him hardly does; the signs are those of the weights."""
    newcomer, veteran = Belief(0.0, 0.9, 0.0), Belief(0.0, 0.1, 0.0)
    learn([(newcomer, 1.0), (veteran, -1.0)], 2.0, 1.0)
    assert (newcomer.mean, veteran.mean) == pytest.approx((0.9, -0.1))
    assert (newcomer.variance, veteran.variance) == pytest.approx((0.9 - 0.405, 0.1 - 0.005))


@given(
    variances,
    st.floats(0, 0.01),
    st.lists(st.tuples(st.floats(0, 400), weights, st.floats(-100, 100), noises), max_size=60),
)
def test_a_variance_is_never_negative(
    variance: float, daily: float, steps: list[tuple[float, float, float, float]]
) -> None:
    """Whatever is seen, after whatever pause: a finite mean and a variance of 0 or more that seeing never raises."""
    one, other = Belief(0.0, variance, daily), Belief(1.0, variance, 0.0)
    now_us = 0
    for days, weight, surprise, noise in steps:
        now_us += int(days * DAY_US)
        one.drift_to(now_us)
        before = one.variance, other.variance
        learn([(one, weight), (other, -1.0)], surprise, noise)
        assert 0.0 <= one.variance <= before[0]
        assert 0.0 <= other.variance <= before[1]
    assert math.isfinite(one.mean)
    assert math.isfinite(other.mean)


def test_what_is_known_fades_by_the_day() -> None:
    """Each day adds its variance, until the longest pause; the mean stays."""
    belief = Belief(0.7, 0.2, 0.01)
    belief.drift_to(50 * DAY_US)
    assert belief.variance == 0.2  # before the first game there is nothing to fade
    assert belief.variance_at(50 * DAY_US + DAY_US // 2) == pytest.approx(0.205)
    assert belief.variance_at(60 * DAY_US) == pytest.approx(0.3)
    longest = belief.variance_at(50 * DAY_US + int(LONGEST_DRIFT_DAYS) * DAY_US)
    assert longest == pytest.approx(0.2 + 0.01 * LONGEST_DRIFT_DAYS)
    assert belief.variance_at(5000 * DAY_US) == longest
    assert (belief.mean, belief.variance) == (0.7, 0.2)


@given(variances, st.floats(0, 0.01), st.lists(st.floats(0, 20), max_size=8))
def test_drift_counts_each_day_once(variance: float, daily: float, pauses: list[float]) -> None:
    """Many short steps add what one long step adds, up to the longest pause; asking changes nothing."""
    steps, whole = Belief(0.0, variance, daily), Belief(0.0, variance, daily)
    steps.drift_to(0)
    whole.drift_to(0)
    now_us = 0
    for pause in pauses:
        now_us += int(pause * DAY_US)
        asked = steps.variance_at(now_us)
        steps.drift_to(now_us)
        assert steps.variance == asked
    whole.drift_to(now_us)
    assert steps.variance == pytest.approx(whole.variance)
    assert steps.variance == pytest.approx(variance + daily * now_us / DAY_US)


def test_a_drifting_level_is_followed() -> None:
    """On a simulated random walk the filter's error is as large as its variance says, and below the noise."""
    rng = np.random.default_rng(3)
    noise, daily, days = 1.0, 0.02, 4000
    belief, level, errors, claimed = Belief(0.0, 1.0, daily), float(rng.normal()), [], []
    for day in range(days):
        level += float(rng.normal(0.0, math.sqrt(daily)))
        belief.drift_to(day * DAY_US)
        learn([(belief, 1.0)], level + float(rng.normal()) - belief.mean, noise)
        errors.append((belief.mean - level) ** 2)
        claimed.append(belief.variance)
    assert np.mean(errors) == pytest.approx(np.mean(claimed), rel=0.1)
    assert np.mean(errors) < 0.2 * noise
