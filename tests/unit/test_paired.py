"""The paired comparison, against plain formulas and over simulated draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.paired import ClusteredMean, clustered_mean, holm


def names(count: int, each: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    """The cluster of each row, as ids are held."""
    return np.repeat(np.arange(count).astype(str), each).astype(object)


def test_one_row_a_cluster_is_the_t_test_of_paired_differences() -> None:
    """With a cluster for each row, mean, error and p-value are those of Student's one-sided test."""
    values = np.random.default_rng(1).normal(0.2, 1.0, 60)
    found = clustered_mean(values, names(60))
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(stats.sem(values))
    for margin in (0.0, 0.15):
        plain = stats.ttest_1samp(values, margin, alternative="greater")
        assert found.p_above(margin) == pytest.approx(plain.pvalue)


def test_copies_of_a_row_say_nothing_new() -> None:
    """Every row five times over within its cluster: the same mean and error as once."""
    values = np.random.default_rng(2).normal(size=40)
    once, often = clustered_mean(values, names(40)), clustered_mean(np.repeat(values, 5), names(40, 5))
    assert (often.mean, often.standard_error) == pytest.approx((once.mean, once.standard_error))
    assert (often.rows, often.clusters) == (200, 40)


@given(st.integers(0, 1_000))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    """Shuffled rows with their clusters have the same mean and error."""
    rng = np.random.default_rng(seed)
    values, clusters = rng.normal(size=50), rng.integers(0, 9, 50).astype(str).astype(object)
    order = rng.permutation(50)
    found, shuffled = clustered_mean(values, clusters), clustered_mean(values[order], clusters[order])
    assert (found.mean, found.standard_error) == pytest.approx((shuffled.mean, shuffled.standard_error))


def test_alike_rows_do_not_fake_certainty() -> None:
    """Rows of a series that move together, mean zero: 5% of 2,000 tests are below 0.05; of rows alone far more."""
    rng = np.random.default_rng(3)
    clusters = names(60, 20).astype(str)
    drawn = [np.repeat(rng.normal(size=60), 20) + 0.5 * rng.normal(size=1200) for _ in range(2_000)]
    clustered = np.mean([clustered_mean(values, clusters).p_above() <= 0.05 for values in drawn])
    alone = np.mean([stats.ttest_1samp(values, 0.0, alternative="greater").pvalue <= 0.05 for values in drawn])
    assert clustered == pytest.approx(0.05, abs=0.015)
    assert alone > 0.25


def test_what_shows_nothing_refuses_nothing() -> None:
    """No row, one cluster, and no difference at all have no evidence; the same difference everywhere is certain."""
    assert clustered_mean(np.array([]), names(0)) == ClusteredMean(0.0, 0.0, 0, 0)
    assert clustered_mean(np.array([5.0, 6.0]), names(1, 2)).p_above() == 1.0
    assert clustered_mean(np.zeros(9), names(9)).p_above() == 1.0
    assert clustered_mean(np.ones(9), names(9)).p_above(0.5) == 0.0


def test_holm_is_the_textbook_example() -> None:
    """The smallest p-value is held to alpha / n, the next to alpha / (n - 1), and the first that holds ends it."""
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.04, 0.001], 0.05) == [True, True]
    assert holm([0.026, 0.026], 0.05) == [False, False]
    assert holm([], 0.05) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_lies_between_bonferroni_and_none(p_values: list[float], alpha: float) -> None:
    """What Bonferroni refuses falls, nothing above alpha falls, and any falls only if the smallest would alone."""
    refused = holm(p_values, alpha)
    for p, falls in zip(p_values, refused, strict=True):
        assert falls >= (p <= alpha / len(p_values))
        assert falls <= (p <= alpha)
    assert any(refused) == (min(p_values) <= alpha / len(p_values))
