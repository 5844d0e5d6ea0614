"""Sums of counts given who won, beside brute force: convolutions, counts that are drawn, and formulas by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from actors.count_sums import Cells, Correlations, calibrated, sum_pmf
from actors.series_results import Courses
from stores.domain import negative_binomial
from stores.errors import InvalidError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.series_results import Results

INDEPENDENT = Correlations(maps=0.0, mates=0.0, foes=0.0)
WON, LOST = (True,), (False,)
ONE = np.ones(1)


def cells(means: object, sizes: object, same_side: list[bool]) -> Cells:
    """Cells of one question, from means by player, map and result, and sizes by player and result."""
    of_means, of_sizes = (np.array([values], dtype=np.float64) for values in (means, sizes))
    return Cells(of_means, of_sizes, np.array(same_side))


def some_cells(rng: np.random.Generator, rows: int, players: int, maps: int) -> Cells:
    """Cells of many questions; at random, who plays for which side."""
    sides = np.concatenate([[True], rng.random(players - 1) < 0.5])
    means, sizes = rng.uniform(0.05, 12.0, (rows, players, maps, 2)), rng.uniform(1.5, 30.0, (rows, players, 2))
    return Cells(means, sizes, sides)


def of_courses(
    asked: Cells, chances: dict[Results, NDArray[np.float64]], correlations: Correlations, counts: int
) -> NDArray[np.float64]:
    """The pmf of the sum over courses with these chances."""
    courses = Courses.of(tuple(chances), max(map(len, chances)))
    return sum_pmf(asked, courses, np.column_stack(list(chances.values())), correlations, counts)


def moments(pmf: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and variance."""
    counts = np.arange(len(pmf))
    mean = float(pmf @ counts)
    return mean, float(pmf @ counts**2) - mean**2


def variance(mean: float, size: float) -> float:
    """Of a negative binomial count."""
    return mean + mean**2 / size


def test_one_cell_is_the_mixture_over_the_results() -> None:
    """A player's map: the negative binomial of a won and that of a lost map, by the chance to win."""
    found = of_courses(
        cells([[[2.0, 4.5]]], [[3.0, 6.0]], [True]),
        {WON: np.array([0.7]), LOST: np.array([0.3])},
        Correlations(maps=0.4, mates=0.4, foes=0.4),
        40,
    )
    lost, won = negative_binomial.pmf(np.array([2.0, 4.5]), np.array([3.0, 6.0]), 40)
    assert found[0] == pytest.approx(0.7 * won + 0.3 * lost, abs=1e-15)


def test_independent_counts_are_nearly_convolved() -> None:
    """Without correlations mean and variance are those of the convolution, and the pmf is within 2% of it."""
    means, sizes = [3.0, 4.5, 1.0], [4.0, 6.0, 3.0]
    by_result = [[[mean, mean]] for mean in means], [[size, size] for size in sizes]
    (found,) = of_courses(cells(*by_result, [True] * 3), {WON: ONE}, INDEPENDENT, 180)
    exact = np.ones(1)
    for mean, size in zip(means, sizes, strict=True):
        exact = np.convolve(exact, negative_binomial.pmf(np.array([mean]), np.array([size]), 60)[0])
    assert moments(found) == pytest.approx(moments(exact), rel=1e-9)
    assert 0.5 * np.abs(found[: len(exact)] - exact).sum() < 0.02


@pytest.mark.parametrize(
    ("same_side", "maps", "correlations"),
    [
        ([True, True], 1, Correlations(maps=0.0, mates=0.3, foes=-0.2)),
        ([True, False], 1, Correlations(maps=0.0, mates=0.3, foes=-0.2)),
        ([True], 2, Correlations(maps=0.25, mates=0.3, foes=-0.2)),
        ([True, True, False, False], 3, Correlations(maps=0.1, mates=0.15, foes=-0.1)),
    ],
    ids=["mates", "foes", "maps", "all"],
)
def test_variances_add_up_with_every_covariance(same_side: list[bool], maps: int, correlations: Correlations) -> None:
    """The variance is that of all cells and of each pair of them, pair by pair; the mean does not know correlations."""
    rng = np.random.default_rng(3)
    players = len(same_side)
    means, sizes = rng.uniform(1.0, 6.0, (players, maps, 2)), rng.uniform(2.0, 8.0, (players, 2))
    course = tuple(bool(won) for won in rng.random(maps) < 0.5)
    at = [(player, one, int(course[one] == side)) for player, side in enumerate(same_side) for one in range(maps)]
    of_cells = [variance(means[cell], sizes[cell[0], cell[2]]) for cell in at]
    expected = sum(of_cells)
    for left, one in enumerate(at):
        for right, other in enumerate(at[:left]):
            by_map = correlations.maps if one[0] == other[0] else 0.0
            by_player = correlations.mates if same_side[one[0]] == same_side[other[0]] else correlations.foes
            correlation = by_map if one[1] != other[1] else by_player
            expected += 2.0 * correlation * float(np.sqrt(of_cells[left] * of_cells[right]))
    (found,) = of_courses(cells(means, sizes, same_side), {course: ONE}, correlations, 600)
    assert moments(found) == pytest.approx((sum(means[cell] for cell in at), expected), rel=1e-6)


def test_who_plays_for_the_other_side_has_the_other_result() -> None:
    """Where the asked side wins, an opponent's count is that of a lost map, map by map."""
    means = [[[1.0, 2.0], [1.0, 2.0]], [[10.0, 20.0], [10.0, 20.0]]]
    asked = cells(means, np.full((2, 2), 5.0), [True, False])
    (found,) = of_courses(asked, {(True, False): ONE}, INDEPENDENT, 400)
    assert moments(found)[0] == pytest.approx(2.0 + 1.0 + 10.0 + 20.0)


def test_a_map_that_is_not_played_counts_nothing() -> None:
    """A shorter course sums its own maps alone, and courses are mixed by their chances, row by row."""
    means = np.array([[[[1.0, 2.0], [4.0, 8.0]]]] * 2)
    asked = Cells(means, np.full((2, 1, 2), 5.0), np.array([True]))
    chances: dict[Results, NDArray[np.float64]] = {WON: np.array([0.0, 0.25]), (True, False): np.array([1.0, 0.75])}
    found = of_courses(asked, chances, INDEPENDENT, 200)
    assert [moments(row)[0] for row in found] == pytest.approx([6.0, 0.25 * 2.0 + 0.75 * 6.0])


def test_counts_that_are_drawn_have_these_moments() -> None:
    """Gamma-Poisson counts of two mates who share a part of their gamma: what is drawn is what the sum says.

    With gammas of shape s of which c is common, the rates' covariance is mean * mean' * c / s², so the correlation of
    the counts is that over both deviations.
    """
    rng = np.random.default_rng(11)
    means, shape, shared = np.array([3.0, 5.0]), 4.0, 1.5
    draws = 400_000
    common = rng.gamma(shared, size=(draws, 1))
    rates = means * (common + rng.gamma(shape - shared, size=(draws, 2))) / shape
    drawn = rng.poisson(rates).sum(axis=1)
    deviations = [np.sqrt(variance(mean, shape)) for mean in means]
    correlation = float(means.prod() * shared / shape**2 / np.prod(deviations))
    asked = cells([[[mean, mean]] for mean in means], np.full((2, 2), shape), [True, True])
    (found,) = of_courses(asked, {WON: ONE}, Correlations(maps=0.0, mates=correlation, foes=0.0), 200)
    mean, spread = moments(found)
    assert mean == pytest.approx(drawn.mean(), rel=0.005)
    assert spread == pytest.approx(drawn.var(), rel=0.01)
    seen = np.bincount(drawn, minlength=200)[:200] / draws
    assert 0.5 * np.abs(found - seen).sum() < 0.01


def test_a_sum_narrower_than_poisson_is_nearly_poisson() -> None:
    """Correlations that leave less variance than the mean are taken for a Poisson sum, never for none."""
    asked = cells([[[9.0, 9.0]], [[9.0, 9.0]]], np.full((2, 2), 400.0), [True, False])
    (found,) = of_courses(asked, {WON: ONE}, Correlations(maps=0.0, mates=0.0, foes=-0.5), 200)
    assert moments(found) == pytest.approx((18.0, 18.0), rel=0.01)


@settings(max_examples=60)
@given(st.integers(1, 10), st.integers(1, 5), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_a_question_alone_and_among_many_agree_to_the_bit(players: int, maps: int, rows: int, seed: int) -> None:
    """However many questions are asked at once, each gets the same bits."""
    rng = np.random.default_rng(seed)
    asked = some_cells(rng, rows, players, maps)
    chances = {tuple((rng.random(maps) < 0.5).tolist()): rng.random(rows) for _ in range(3)}
    correlations = Correlations(maps=0.08, mates=0.05, foes=-0.04)
    together = of_courses(asked, chances, correlations, 90)
    for row in range(rows):
        one = slice(row, row + 1)
        alone = of_courses(
            Cells(asked.means[one], asked.sizes[one], asked.same_side),
            {course: chance[one] for course, chance in chances.items()},
            correlations,
            90,
        )
        assert alone.tobytes() == together[one].tobytes()


@given(
    st.floats(0.02, 900.0), st.floats(0.4, 1e4), st.sampled_from([1, 2, 56, 112, 2800]), st.sampled_from([1.0, 1e-9])
)
def test_a_count_is_scipys_negative_binomial(mean: float, size: float, counts: int, chance: float) -> None:
    """To nine digits wherever it matters, from counts of nearly nothing to sums over ten players; the tail is kept."""
    asked = cells([[[mean, mean]]], [[size, size]], [True])
    (found,) = of_courses(asked, {WON: np.array([chance])}, INDEPENDENT, counts)
    share = size / (size + mean)
    assert found[:-1] == pytest.approx(chance * nbinom.pmf(np.arange(counts - 1), size, share), rel=1e-9, abs=1e-15)
    assert found[-1] == pytest.approx(chance * nbinom.sf(counts - 2, size, share), rel=1e-6, abs=1e-12)


@settings(max_examples=200)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60).filter(lambda some: sum(some) > 1e-3),
    st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=30),
)
def test_a_calibration_bends_the_cdf_as_interpolation_does(weights: list[float], table: list[float]) -> None:
    """Beside numpy's interpolation, made to rise and to end at 1."""
    pmf = np.array([weights]) / sum(weights)
    (found,) = calibrated(pmf, np.array(table))
    cdf = np.clip(np.interp(np.cumsum(pmf[0]), np.linspace(0.0, 1.0, len(table)), table), 0.0, 1.0)
    cdf[-1] = 1.0
    assert np.cumsum(found) == pytest.approx(np.maximum.accumulate(cdf), abs=1e-12)
    assert (found >= 0.0).all()


def test_what_does_not_fit_is_refused() -> None:
    """Machine code does not look at shapes, so that they are looked at before; what is unknown stays unknown."""
    asked = cells([[[2.0, 4.5]]], [[3.0, 6.0]], [True])
    for wrong in (
        Cells(asked.means, asked.sizes[:, :, :1], asked.same_side),
        Cells(asked.means, asked.sizes, np.array([True, True])),
        Cells(asked.means[..., :1], asked.sizes[..., :1], asked.same_side),
    ):
        with pytest.raises(InvalidError):
            of_courses(wrong, {WON: ONE}, INDEPENDENT, 40)
    chances: list[dict[Results, NDArray[np.float64]]] = [{(True, True): ONE}, {WON: np.ones(2)}]
    for wrong_chances in chances:
        with pytest.raises(InvalidError):
            of_courses(asked, wrong_chances, INDEPENDENT, 40)
    with pytest.raises(InvalidError):
        calibrated(np.ones((1, 1)), np.ones(1))
    assert np.isnan(calibrated(np.full((1, 3), np.nan), np.array([0.0, 0.5, 1.0]))).any()
