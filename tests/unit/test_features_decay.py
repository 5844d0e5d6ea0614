"""Decayed means: the weight of a game halves after exactly a half-life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stores.features.decay import DecayedMeans

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAN = float("nan")


def test_a_half_life_of_one_game_is_exact() -> None:
    """Games weigh 1, a half, a quarter."""
    means = DecayedMeans((1,), 1)
    for value in (8.0, 4.0, 2.0):
        means.observe(np.array([value]))
    assert means.weights.tolist() == [[1.75]]
    assert means.sums.tolist() == [[8 / 4 + 4 / 2 + 2]]


@given(st.integers(1, 60))
def test_the_weight_halves_after_the_half_life(half_life: int) -> None:
    """So many games later the first game weighs a half."""
    means = DecayedMeans((half_life,), 1)
    means.observe(np.array([1.0]))
    for _ in range(half_life):
        means.observe(np.array([0.0]))
    assert means.sums[0, 0] == pytest.approx(0.5, rel=1e-12)


def test_what_is_missing_is_no_observation() -> None:
    """NaN adds neither to the sum nor to the weight, but time goes on for its stat too."""
    means = DecayedMeans((1,), 2)
    means.observe(np.array([4.0, 6.0]))
    means.observe(np.array([2.0, NAN]))
    assert means.weights.tolist() == [[1.5, 0.5]]
    assert means.sums.tolist() == [[4.0, 3.0]]


def test_the_shortest_is_drawn_to_the_longer_and_that_to_the_prior() -> None:
    """The chain of pulls, by hand: one game of 10 and a prior of 1."""
    means = DecayedMeans((2, 8), 1)
    means.observe(np.array([10.0]))
    longest = (10 + 4 * 1) / (1 + 4)
    shortest = (10 + 3 * longest) / (1 + 3)
    assert means.shrunk(np.array([1.0]), (3, 4)).ravel().tolist() == pytest.approx([shortest, longest])


def test_without_games_every_horizon_is_the_prior() -> None:
    """Nobody is average until he played."""
    prior = np.array([0.1, 13.0])
    shrunk = DecayedMeans((4, 12, 40), 2).shrunk(prior, (1.5, 3.0, 6.0))
    assert shrunk == pytest.approx(np.tile(prior, (3, 1)))


@given(arrays(np.float64, (12, 3), elements=st.floats(0, 50)), arrays(np.float64, 3, elements=st.floats(0, 50)))
def test_a_mean_lies_between_what_was_seen_and_the_prior(
    games: NDArray[np.float64], prior: NDArray[np.float64]
) -> None:
    """Shrinking never leaves the range of games and prior, and does not change what is remembered."""
    means = DecayedMeans((4, 12), 3)
    for game in games:
        means.observe(game)
    seen = np.vstack([games, prior])
    before = means.sums.copy()
    shrunk = means.shrunk(prior, (1.5, 3.0))
    assert (shrunk >= seen.min(axis=0) - 1e-9).all()
    assert (shrunk <= seen.max(axis=0) + 1e-9).all()
    assert np.array_equal(means.sums, before)
