"""The negative binomial agrees with scipy's and loses no probability."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom

from stores.domain import negative_binomial

means = st.floats(0.01, 60.0)
sizes = st.floats(0.4, 5_000.0)
pairs = st.lists(st.tuples(means, sizes), min_size=1, max_size=8)


@given(pairs, st.integers(2, 120))
def test_it_is_scipys(rows: list[tuple[float, float]], counts: int) -> None:
    """Every count below the last has scipy's probability, the last one has all that is left."""
    mean, size = np.array(rows).T
    ours = negative_binomial.pmf(mean, size, counts)
    theirs = nbinom.pmf(np.arange(counts), size[:, None], (size / (size + mean))[:, None])
    assert ours.shape == (len(rows), counts)
    assert np.allclose(ours[:, :-1], theirs[:, :-1], rtol=1e-8, atol=1e-14)
    tail = nbinom.sf(counts - 2, size, size / (size + mean))
    assert np.allclose(ours[:, -1], tail, rtol=1e-6, atol=1e-9)


@given(pairs, st.integers(1, 120))
def test_it_sums_to_one(rows: list[tuple[float, float]], counts: int) -> None:
    """However few the counts, nothing is lost and nothing is negative."""
    mean, size = np.array(rows).T
    ours = negative_binomial.pmf(mean, size, counts)
    assert (ours >= 0).all()
    assert np.allclose(ours.sum(axis=1), 1.0, rtol=0, atol=1e-10)


@given(means, sizes, st.integers(0, 80))
def test_the_log_agrees(mean: float, size: float, count: int) -> None:
    """The logarithm is scipy's too, where the probability itself would vanish as well."""
    ours = negative_binomial.log_pmf(np.array([count]), np.array([mean]), np.array([size]))
    theirs = nbinom.logpmf(count, size, size / (size + mean))
    assert np.allclose(ours, theirs, rtol=1e-8, atol=1e-8)


def test_mean_and_variance() -> None:
    """Variance = mean + mean² / size."""
    mean, size = 3.0, 4.0
    pmf = negative_binomial.pmf(np.array([mean]), np.array([size]), 200)[0]
    counts = np.arange(200)
    assert np.isclose(pmf @ counts, mean)
    assert np.isclose(pmf @ (counts - mean) ** 2, mean + mean**2 / size)


def test_rows_do_not_depend_on_one_another() -> None:
    """One row alone has the same bits as among others."""
    rng = np.random.default_rng(3)
    mean, size = rng.uniform(0.1, 12, 50), rng.uniform(0.4, 400, 50)
    together = negative_binomial.pmf(mean, size, 56)
    alone = np.vstack([negative_binomial.pmf(mean[[row]], size[[row]], 56) for row in range(50)])
    assert together.tobytes() == alone.tobytes()
