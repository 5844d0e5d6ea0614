"""One distribution answers every line, the push, the interval and the sum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.distribution import CountDistribution
from stores.domain.props import Side

FAIR = CountDistribution(np.array([0.25, 0.5, 0.25]))


def _normal(weights: list[float]) -> CountDistribution:
    array = np.array(weights)
    return CountDistribution(array / array.sum())


weights = st.floats(0.0, 1.0, allow_subnormal=False) | st.sampled_from([0.0, 1e-300, 1e-17, 1.0])
distributions = st.lists(weights, min_size=1, max_size=60).filter(lambda some: sum(some) > 1e-3).map(_normal)


@given(distributions)
def test_over_never_rises_along_the_lines(one: CountDistribution) -> None:
    """Along whole and half lines the curve never rises, not even by a rounding, and stays a probability."""
    curve = [one.over_probability(halves / 2) for halves in range(-1, 2 * len(one.pmf) + 2)]
    assert all(after <= before for before, after in itertools.pairwise(curve))
    assert curve[0] == 1.0
    assert curve[-1] == 0.0


@given(distributions, st.integers(0, 122).map(lambda halves: halves / 2))
def test_the_likelier_side_is_answered(one: CountDistribution, line: float) -> None:
    """Side and probability agree with the curve, and over, push and under are all there is."""
    answer = one.at_line(line)
    over = one.over_probability(line)
    assert answer.probability >= 0.5
    assert answer.side is (Side.OVER if over >= 0.5 else Side.UNDER)
    assert answer.probability == (over if answer.side is Side.OVER else 1.0 - over)
    assert over * (1.0 - answer.push) == pytest.approx(one.pmf[np.arange(len(one.pmf)) > line].sum(), abs=1e-9)


@given(distributions, st.integers(0, 60))
def test_only_whole_lines_push(one: CountDistribution, count: int) -> None:
    """The push is the count's own probability at a whole line and exactly nothing at a half one."""
    assert one.at_line(count + 0.5).push == 0.0
    assert one.at_line(float(count)).push == (one.pmf[count] if count < len(one.pmf) else 0.0)


def test_the_push_is_taken_out_of_both_sides() -> None:
    """A fair whole line is even, with half of all bets returned."""
    answer = FAIR.at_line(1.0)
    assert (answer.side, answer.probability, answer.push) == (Side.OVER, 0.5, 0.5)
    assert FAIR.at_line(0.5).probability == 0.75
    assert (FAIR.at_line(1.5).side, FAIR.at_line(1.5).probability) == (Side.UNDER, 0.75)


def test_a_line_that_decides_nothing_is_even() -> None:
    """If every bet is returned, neither side is likelier."""
    sure = CountDistribution(np.array([0.0, 0.0, 1.0]))
    answer = sure.at_line(2.0)
    assert (answer.probability, answer.push) == (0.5, 1.0)


@given(distributions, st.floats(0.0, 0.999))
def test_an_interval_covers(one: CountDistribution, coverage: float) -> None:
    """The interval holds at least its coverage and is central: no tail is larger than half of the rest."""
    low, high = one.interval(coverage)
    assert 0 <= low <= high < len(one.pmf)
    assert one.pmf[low : high + 1].sum() >= coverage - 1e-9
    assert one.pmf[:low].sum() <= (1 - coverage) / 2 + 1e-9
    assert one.pmf[high + 1 :].sum() <= (1 - coverage) / 2 + 1e-9


@given(distributions, st.floats(0.0, 1.0))
def test_a_quantile_is_the_smallest_count_that_reaches(one: CountDistribution, probability: float) -> None:
    """The cdf reaches the probability there and not before."""
    cdf = np.cumsum(one.pmf)
    count = one.quantile(probability)
    assert cdf[count] >= min(probability, cdf[-1]) - 1e-9
    assert count == 0 or cdf[count - 1] < probability


def test_the_last_quantile_is_a_count() -> None:
    """Probabilities that sum to a little less than 1 still end at the last count."""
    assert CountDistribution(np.array([0.5, 0.5 - 1e-9])).quantile(1.0) == 1


@given(distributions, distributions)
def test_a_sum_adds_means_and_loses_nothing(one: CountDistribution, other: CountDistribution) -> None:
    """The sum of two independent counts."""
    total = one.plus(other)
    assert total.mean == pytest.approx(one.mean + other.mean, abs=1e-9)
    assert total.pmf.sum() == pytest.approx(1.0, abs=1e-9)
    assert len(total.pmf) == len(one.pmf) + len(other.pmf) - 1


def test_two_coins() -> None:
    """Two fair coins show one head half of the time."""
    coin = CountDistribution(np.array([0.5, 0.5]))
    assert coin.plus(coin).pmf.tolist() == [0.25, 0.5, 0.25]
    assert coin.plus(coin).mean == 1.0
