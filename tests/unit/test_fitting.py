"""Fitting: time is never mixed, and what was simulated is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.props import PropType
from stores.errors import InvalidError
from training.boosting import BoostingCluster, BoostingParams
from training.fitting import (
    CALIBRATION_KNOTS,
    best_size,
    fit_model,
    fit_parameters,
    map_continuation,
    pairs_of_maps,
    split_by_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")


def objects(values: Any) -> NDArray[np.object_]:
    """Ids as the training set holds them."""
    return np.asarray(values).astype(str).astype(object)


@given(
    lengths=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=2, max_size=40),
    share=st.floats(0.05, 0.6),
)
def test_a_split_never_cuts_a_series(
    make_rows: Callable[..., TrainingSet], lengths: list[tuple[int, int]], share: float
) -> None:
    """Every series lies on one side, all of the older side began before all of the newer, and nothing is lost."""
    series = np.repeat(np.arange(len(lengths)), [maps for _, maps in lengths])
    opened = START + np.array([day for day, _ in lengths])[series] * 24 * HOUR
    game = np.concatenate([np.arange(maps) for _, maps in lengths])
    rows = make_rows(objects(series), opened + game * HOUR, series_started_at=opened, series_id=objects(series))
    older, newer = split_by_time(rows, share)
    assert len(older) + len(newer) == len(rows)
    assert len(newer) >= share * len(rows) - 1
    assert not set(older.series_id) & set(newer.series_id)
    if len(older):
        assert older.series_started_at.max() < newer.series_started_at.min()


def test_pairs_are_maps_one_and_two_of_the_same_player(make_rows: Callable[..., TrainingSet]) -> None:
    """Pairs are found in any order; a player who joins on map 2, or leaves after map 1, is in none."""
    facts = [("s1", "b", 2), ("s1", "a", 1), ("s1", "b", 1), ("s1", "a", 2), ("s1", "a", 3), ("s2", "a", 1)]
    facts += [("s3", "c", 1), ("s3", "d", 2)]
    rows = make_rows(
        [player for _, player, _ in facts],
        np.full(len(facts), START),
        series_id=objects([series for series, _, _ in facts]),
        game_number=np.array([game for _, _, game in facts]),
    )
    first, second = pairs_of_maps(rows)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 3), (2, 0)]
    none = pairs_of_maps(rows.where(rows.game_number == 1))
    assert [len(part) for part in none] == [0, 0]


def test_map_continuation_counts_series(make_rows: Callable[..., TrainingSet]) -> None:
    """Ten series of 2, 3, 5 and 1 maps, counted by hand with one of each kind added; players do not count twice."""
    lengths = [2, 2, 2, 2, 3, 3, 3, 3, 5, 1]
    series = np.repeat(np.arange(10), [2 * maps for maps in lengths])
    game = np.concatenate([np.tile(np.arange(maps) + 1, 2) for maps in lengths])
    player = np.concatenate([np.repeat(["a", "b"], maps) for maps in lengths])
    rows = make_rows(player, np.full(len(game), START), series_id=objects(series), game_number=game)
    assert map_continuation(rows) == pytest.approx(((9 + 1) / 12, (5 + 1) / 11, (1 + 1) / 7, (1 + 1) / 3))


@pytest.mark.parametrize("size", [1.5, 5.0, 20.0])
def test_the_size_is_found_again(size: float) -> None:
    """From 40,000 simulated counts of many means, the size is found within a tenth."""
    rng = np.random.default_rng(1)
    means = rng.uniform(1.0, 8.0, 40_000)
    y = rng.negative_binomial(size, size / (size + means))
    assert best_size(y, means) == pytest.approx(size, rel=0.1)


def test_counts_without_overdispersion_get_the_largest_size() -> None:
    """Poisson counts are nearly Poisson; no row at all is the usual size of a role."""
    rng = np.random.default_rng(1)
    means = rng.uniform(1.0, 8.0, 20_000)
    assert best_size(rng.poisson(means), means) > 100
    assert best_size(np.array([], dtype=np.int64), np.array([])) == 4.0


def two_maps(make_rows: Callable[..., TrainingSet], kills: NDArray[np.int64]) -> TrainingSet:
    """Rows of maps 1 and 2: ``kills`` has the shape [series, 2]."""
    series = np.repeat(np.arange(len(kills)), 2)
    return make_rows(
        objects(series),
        START + series * HOUR,
        series_id=objects(series),
        game_number=np.tile([1, 2], len(kills)),
        kills=kills.ravel(),
        position=series % 5,
    )


def test_independent_maps_have_the_exponent_one(make_rows: Callable[..., TrainingSet]) -> None:
    """Maps that know nothing of one another: the size of the sum is twice that of a map."""
    rng = np.random.default_rng(2)
    kills = rng.negative_binomial(5.0, 5.0 / 9.0, size=(30_000, 2))
    found = fit_parameters(two_maps(make_rows, kills), PropType.KILLS, np.full(60_000, 4.0))
    assert found.sum_exponent == pytest.approx(1.0, abs=0.1)
    assert found.sizes == pytest.approx([5.0] * 5, rel=0.15)


def test_one_shared_factor_has_the_exponent_zero(make_rows: Callable[..., TrainingSet]) -> None:
    """A day's form that both maps share: the sum is as wide as one map of twice the mean."""
    rng = np.random.default_rng(3)
    form = rng.gamma(5.0, 1 / 5.0, size=(30_000, 1))
    kills = rng.poisson(4.0 * form, size=(30_000, 2))
    found = fit_parameters(two_maps(make_rows, kills), PropType.KILLS, np.full(60_000, 4.0))
    assert found.sum_exponent == pytest.approx(0.0, abs=0.1)


def test_a_true_model_needs_no_calibration(make_rows: Callable[..., TrainingSet]) -> None:
    """The table of a model whose means are true is the diagonal, that of one who says too much bends away."""
    rng = np.random.default_rng(4)
    means = rng.uniform(1.0, 8.0, 40_000)
    rows = two_maps(make_rows, rng.negative_binomial(5.0, 5.0 / (5.0 + means)).reshape(-1, 2))
    knots = np.linspace(0, 1, CALIBRATION_KNOTS)
    true = np.array(fit_parameters(rows, PropType.KILLS, means).calibration)
    assert np.abs(true - knots).max() < 0.01
    assert (true[0], true[-1]) == (0.0, 1.0)
    bent = np.array(fit_parameters(rows, PropType.KILLS, means * 1.3).calibration)
    assert (bent - knots).max() > 0.05
    assert (np.diff(bent) >= 0).all()


def test_too_few_rows_are_refused(make_rows: Callable[..., TrainingSet]) -> None:
    """A handful of games holds no model, and the error says how many are needed."""
    with pytest.raises(InvalidError, match="200 games"):
        fit_model(make_rows(["a"], np.full(1, START)), BoostingParams(), BoostingCluster())
