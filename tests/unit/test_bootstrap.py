"""Bootstrap intervals over series: what they hold, and each statistic beside rows that are really drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from training.evaluation.bootstrap import Figure, SeriesBootstrap
from training.scores import calibration_bins

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SEED = 11


@pytest.fixture
def series() -> NDArray[np.object_]:
    """Forty series of one to five rows each, their rows not next to one another."""
    rng = np.random.default_rng(3)
    return rng.permutation(np.repeat(np.arange(40), rng.integers(1, 6, 40))).astype(str).astype(object)


def drawn_rows(series: NDArray[np.object_], draws: int) -> list[NDArray[np.int64]]:
    """For each draw the rows themselves, every series as often as it was drawn."""
    names = np.unique(series.astype(str))
    counts = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    rows_of = [np.flatnonzero(series.astype(str) == name) for name in names]
    return [
        np.concatenate([np.repeat(rows, times) for rows, times in zip(rows_of, drawn, strict=True)]) for drawn in counts
    ]


def test_intervals_are_those_of_rows_drawn_again(series: NDArray[np.object_]) -> None:
    """A mean, a mean over some cells and a paired difference equal the same statistic of the drawn rows."""
    rng = np.random.default_rng(4)
    n, draws = len(series), 300
    values, other = rng.gamma(2.0, size=n), rng.gamma(3.0, size=n)
    cells, among = rng.uniform(size=(n, 7)), rng.uniform(size=(n, 7)) < 0.6
    bootstrap = SeriesBootstrap(series, draws, SEED)
    drawn = drawn_rows(series, draws)
    statistics: dict[Figure, Callable[[NDArray[np.int64]], Any]] = {
        bootstrap.mean(values): lambda rows: values[rows].mean(),
        bootstrap.mean(cells, among): lambda rows: cells[rows][among[rows]].mean(),
        bootstrap.difference_percent(values, other): lambda rows: 100 * (values[rows].mean() / other[rows].mean() - 1),
    }
    for figure, statistic in statistics.items():
        low, high = np.quantile([statistic(rows) for rows in drawn], (0.025, 0.975))
        assert figure.value == pytest.approx(statistic(np.arange(n)))
        assert (figure.low, figure.high) == pytest.approx((low, high))


def test_a_calibration_error_is_as_sure_as_its_gaps(series: NDArray[np.object_]) -> None:
    """The bins stay those of all rows; to both sides lies what the gaps of 95% of the drawn rows move by at most."""
    rng = np.random.default_rng(5)
    said = rng.uniform(size=(len(series), 3))
    happened = rng.uniform(size=said.shape) < said**2
    among = rng.uniform(size=said.shape) < 0.8
    found = SeriesBootstrap(series, 300, SEED).calibration_error(said, happened, among)
    bins = np.full(said.shape, -1)
    bins[among] = calibration_bins(said[among])

    def gaps(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = [(said[rows] - happened[rows])[bins[rows] == one].sum() for one in range(10)]
        return np.asarray(np.array(sums) / among[rows].sum())

    seen = gaps(np.arange(len(series)))
    drawn = [np.abs(gaps(rows) - seen).sum() for rows in drawn_rows(series, 300)]
    noise = np.quantile(drawn, 0.95)
    assert found.value == pytest.approx(np.abs(seen).sum())
    assert (found.low, found.high) == pytest.approx((max(found.value - noise, 0.0), found.value + noise))
    assert found.by_chance == pytest.approx(np.mean(drawn))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 300 simulated seasons whose series move all their rows, about 95% of the intervals hold the true mean of 0.

    Intervals that took rows for independent would hold it in about half: most of the variance lies between series.
    """
    rng = np.random.default_rng(6)
    names = np.repeat(np.arange(60), 10).astype(str).astype(object)
    held = {"series": 0, "rows": 0}
    for _ in range(300):
        values = rng.normal(size=60).repeat(10) + rng.normal(size=600)
        for kind, series in (("series", names), ("rows", np.arange(600).astype(str).astype(object))):
            figure = SeriesBootstrap(series, 200, int(rng.integers(2**31))).mean(values)
            held[kind] += figure.low <= 0.0 <= figure.high
    assert 0.90 < held["series"] / 300 < 0.98  # four sigmas around what 60 clusters and 200 draws give
    assert held["rows"] / 300 < 0.75


@pytest.mark.parametrize("skew", [0.0, 0.1])
def test_a_calibration_error_holds_the_truth(skew: float) -> None:
    """In at least 90 of 100 simulated seasons the interval holds the true error, be it 0 or 10 points."""
    rng = np.random.default_rng(7)
    names = np.repeat(np.arange(80), 10).astype(str).astype(object)
    held, figures = 0, []
    for _ in range(100):
        truth = rng.uniform(0.0, 0.9, size=(800, 2))
        happened = rng.uniform(size=truth.shape) < truth
        figure = SeriesBootstrap(names, 200, 1).calibration_error(truth + skew, happened, np.ones_like(happened))
        held += figure.low <= skew <= figure.high
        figures.append(figure)
    assert held >= 90
    if not skew:  # what a true forecast shows is what is said of it
        expected = np.mean([one.by_chance for one in figures])
        assert np.mean([one.value for one in figures]) == pytest.approx(expected, rel=0.1)


def test_the_same_rows_give_the_same_interval_and_no_rows_give_none(series: NDArray[np.object_]) -> None:
    """The seed is fixed; a method does not differ from itself; an empty selection is not a number."""
    values = np.random.default_rng(8).gamma(2.0, size=len(series))
    assert SeriesBootstrap(series).mean(values) == SeriesBootstrap(series).mean(values)
    bootstrap = SeriesBootstrap(series)
    assert bootstrap.difference_percent(values, values) == Figure(0.0, 0.0, 0.0)
    none = np.zeros(len(series), dtype=bool)
    assert np.isnan(bootstrap.mean(values, none).value)
    assert np.isnan(bootstrap.calibration_error(values, none, none).value)
