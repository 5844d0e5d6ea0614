"""Fitting a prop's distribution: what was simulated is found again, and fitting and serving say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.count_members import Member, Trees, drafted_means, member_means
from actors.ensemble import COUNTS_PER_MAP, MapMeans, ModelParameters
from actors.series_results import SeriesParameters
from stores.domain import negative_binomial
from stores.domain.props import MapRange, PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES, POSITIONS
from training.prop_fit import (
    CALIBRATION_KNOTS,
    CALIBRATION_PULL,
    IDENTITY,
    MOST_CORRELATION,
    _calibration,
    actual_counts,
    best_size,
    fit_prop,
    pmfs_of,
    question_pmfs,
)
from training.scores import pit_curve
from training.subsets import MAPS_1_2, ONE_MAP, pairs_of_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from training.dataset import TrainingSet

KILLS = PropType.KILLS
START = np.datetime64("2026-01-01", "us")
EVEN = SeriesParameters(rating_weight=0.0, roster_weight=0.0, spread=0.0, formats=(0.2, 0.5, 0.3))
TEAM = len(POSITIONS)
KNOTS = np.linspace(0.0, 1.0, CALIBRATION_KNOTS)
SIZES = np.array([[2.0, 3.0, 4.0, 6.0, 9.0], [3.0, 5.0, 7.0, 10.0, 14.0]])


def two_maps(make_rows: Callable[..., TrainingSet], series: int) -> TrainingSet:
    """Series of two maps, ten players each, between even teams; series, map, side and role in this order."""
    at, game, side, role = (
        axis.ravel() for axis in np.meshgrid(range(series), range(2), range(2), range(TEAM), indexing="ij")
    )
    first_won = np.random.default_rng(1).random((series, 2)) < 0.5
    return make_rows(
        [f"{one}-{of}-{number}" for one, of, number in zip(at, side, role, strict=True)],
        START + at * np.timedelta64(1, "h"),
        series_id=at.astype(str).astype(object),
        match_id=np.array([f"{one}-{of}" for one, of in zip(at, game, strict=True)], dtype=object),
        game_number=game + 1,
        position=role,
        won=first_won[at, game] == (side == 0),
    )


def counted(rows: TrainingSet, counts: NDArray[np.int64]) -> TrainingSet:
    """The rows with these counts."""
    return replace(rows, counts={KILLS: counts})


def of_result(rows: TrainingSet, by_result: NDArray[np.float64]) -> NDArray[np.float64]:
    """What stands for the result that each row had, of shape [n], from [n, 2]."""
    return np.asarray(by_result[np.arange(len(rows)), rows.won.astype(np.int64)])


def true_means(rows: TrainingSet, rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of any size, higher when won, of shape [n, 2]."""
    return np.asarray(rng.uniform(1.5, 4.0, (len(rows), 1)) * np.array([1.0, 1.8]))


def members_of(*means: NDArray[np.float64]) -> dict[Member, NDArray[np.float64]]:
    """One of the means for each member."""
    return dict(zip(Member, means, strict=True))


@pytest.fixture(scope="module")
def drawn(make_rows: Callable[..., TrainingSet]) -> tuple[TrainingSet, dict[Member, NDArray[np.float64]]]:
    """Independent counts whose mean is 0.6 of one member and 0.4 of another; the third knows nothing of it."""
    rows = two_maps(make_rows, 3_000)
    rng = np.random.default_rng(2)
    first, second = true_means(rows, rng), true_means(rows, rng)
    mean = of_result(rows, 0.6 * first + 0.4 * second)
    size = SIZES[rows.won.astype(np.int64), rows.position]
    useless = rng.uniform(1.0, 8.0, (len(rows), 2))
    counts = rng.negative_binomial(size, size / (size + mean))
    return counted(rows, counts), members_of(first, useless, second)


def test_weights_and_sizes_are_found(drawn: tuple[TrainingSet, dict[Member, NDArray[np.float64]]]) -> None:
    """Each member's weight, nearly none for what is useless, and the size of each role in each result."""
    found = fit_prop(drawn[0], KILLS, drawn[1], EVEN)
    assert found.weights == pytest.approx((0.6, 0.0, 0.4), abs=0.05)
    assert np.array(found.before.sizes) == pytest.approx(SIZES, rel=0.25)
    assert np.log(np.array(found.before.sizes) / SIZES).mean() == pytest.approx(0.0, abs=0.05)
    assert found.after == found.before


def test_a_member_left_out_weighs_nothing(drawn: tuple[TrainingSet, dict[Member, NDArray[np.float64]]]) -> None:
    """Without the better of two members the other carries more, and what was left out has the weight zero."""
    best = next(iter(drawn[1]))
    whole = fit_prop(drawn[0], KILLS, drawn[1], EVEN)
    without = fit_prop(drawn[0], KILLS, drawn[1], EVEN, without=frozenset({best}))
    assert without.weights[0] == 0.0 < whole.weights[0]
    assert without.weights[2] > whole.weights[2]


def test_independent_counts_have_no_correlation(
    drawn: tuple[TrainingSet, dict[Member, NDArray[np.float64]]],
) -> None:
    """Counts drawn one by one are correlated with nothing."""
    found = fit_prop(drawn[0], KILLS, drawn[1], EVEN).before.correlations
    assert (found.maps, found.mates, found.foes) == pytest.approx((0.0, 0.0, 0.0), abs=0.02)


def test_correlations_are_found(make_rows: Callable[..., TrainingSet]) -> None:
    """Gamma parts that a player's maps, a team's players, or a map's players share, as correlations of counts.

    With gammas of shape s, counts of the mean m that share a part c have the correlation (m² c / s²) / (m + m² / s).
    """
    rows = two_maps(make_rows, 6_000)
    rng = np.random.default_rng(5)
    mean, shape, of_player, of_team, of_map = 4.0, 4.0, 1.0, 0.8, 0.6
    parts = (6_000, 2, 2, TEAM)
    rate = (
        rng.gamma(of_player, size=(parts[0], 1, 2, TEAM))
        + rng.gamma(of_team, size=(*parts[:3], 1))
        + rng.gamma(of_map, size=(*parts[:2], 1, 1))
        + rng.gamma(shape - of_player - of_team - of_map, size=parts)
    )
    counts = rng.poisson(mean * rate / shape).ravel()
    means = members_of(*[np.full((len(rows), 2), mean)] * len(Member))
    found = fit_prop(counted(rows, counts), KILLS, means, EVEN).before.correlations
    unit = (mean / shape) ** 2 / (mean + mean**2 / shape)
    expected = np.array([of_player, of_team + of_map, of_map]) * unit
    assert (found.maps, found.mates, found.foes) == pytest.approx(expected, abs=0.015)


@pytest.mark.filterwarnings("error")
def test_a_correlation_is_bounded_and_none_without_pairs(make_rows: Callable[..., TrainingSet]) -> None:
    """Counts that are all alike are taken for half correlated; one player alone has no mate, foe or second map."""
    rows = two_maps(make_rows, 200)
    same = np.random.default_rng(6).negative_binomial(3.0, 3.0 / 7.0, 200)
    means = members_of(*[np.full((len(rows), 2), 4.0)] * len(Member))
    alike = fit_prop(counted(rows, np.repeat(same, 20)), KILLS, means, EVEN).before.correlations
    assert (alike.maps, alike.mates, alike.foes) == (MOST_CORRELATION,) * 3
    alone = rows.where((rows.game_number == 1) & (rows.position == 0) & rows.won)
    few = {member: mean[: len(alone)] for member, mean in means.items()}
    found = fit_prop(alone, KILLS, few, EVEN).before.correlations
    assert (found.maps, found.mates, found.foes) == (0.0, 0.0, 0.0)


def test_a_true_model_needs_no_calibration(drawn: tuple[TrainingSet, dict[Member, NDArray[np.float64]]]) -> None:
    """What was fitted to counts of its own family is calibrated by nearly the identity."""
    curve = np.array(fit_prop(drawn[0], KILLS, drawn[1], EVEN).before.calibration)
    assert np.abs(curve - KNOTS).max() < 0.01
    assert (curve[0], curve[-1]) == (0.0, 1.0)
    assert (np.diff(curve) >= 0).all()


@pytest.mark.parametrize(("size", "sign"), [(1e4, 1.0), (1.5, -1.0)], ids=["too narrow", "too wide"])
def test_a_wrong_spread_is_bent_the_right_way(size: float, sign: float) -> None:
    """Outcomes fall into the tails of a narrow forecast more often than said, of a wide one less; then it is true."""
    rng = np.random.default_rng(8)
    means = rng.uniform(2.0, 8.0, 20_000)
    y = rng.negative_binomial(4.0, 4.0 / (4.0 + means))
    said = negative_binomial.pmf(means, np.full(len(means), size), COUNTS_PER_MAP)
    bend = np.array(_calibration(said, y)) - KNOTS
    assert sign * bend[10] > 0.02
    assert sign * bend[90] < -0.02
    cdf = np.interp(np.cumsum(said, axis=1), KNOTS, KNOTS + bend)
    again = pit_curve(np.diff(cdf, axis=1, prepend=0.0), y, KNOTS)
    assert np.abs(again - KNOTS).max() < 0.6 * np.abs(bend).max()


def test_few_rows_hardly_bend_the_calibration() -> None:
    """Where rows are few the curve stays near the raw cdf: it moves by the share of rows among rows and pull."""
    y = np.zeros(100, dtype=np.int64)
    said = negative_binomial.pmf(np.full(100, 6.0), np.full(100, 4.0), COUNTS_PER_MAP)
    seen = pit_curve(said, y, KNOTS)
    share = 100 / (100 + CALIBRATION_PULL)
    assert _calibration(said, y) == pytest.approx(share * seen + (1 - share) * KNOTS)
    assert _calibration(said[:0], y[:0]) == pytest.approx(KNOTS)


def test_the_fit_scores_what_is_served(make_rows: Callable[..., TrainingSet], small_model: PropEnsemble) -> None:
    """From the members' means the fit makes the very distributions that the ensemble answers with."""
    rng = np.random.default_rng(12)
    rows = two_maps(make_rows, 20)
    features = rng.uniform(0.0, 20.0, (len(rows), len(MODEL_FEATURES))).astype(np.float32)
    rows = replace(rows, features=features)
    of_members = member_means(KILLS, small_model.members[KILLS].trees, features)
    found = question_pmfs(rows, KILLS, of_members, small_model.parameters)
    first, second = pairs_of_maps(rows)
    assert (len(found[ONE_MAP]), len(found[MAPS_1_2])) == (len(rows), len(first))
    for at, (one, other) in enumerate(zip(first[:9], second[:9], strict=True)):
        both = small_model.map_means(KILLS, features[[one, other]])
        position = rows.position[[one]][:, None]
        (served,) = small_model.forecasts(KILLS, both, position, MapRange(1, 2))
        assert found[MAPS_1_2][at] == pytest.approx(served.calibrated.pmf, abs=1e-12)
        alone = small_model.map_means(KILLS, features[[one]])
        (served,) = small_model.forecasts(KILLS, alone, position, MapRange(1, 1))
        assert found[ONE_MAP][one] == pytest.approx(served.calibrated.pmf, abs=1e-12)


def test_the_spread_after_the_draft_is_that_of_the_drafted_means(
    drawn: tuple[TrainingSet, dict[Member, NDArray[np.float64]]], small_model: PropEnsemble
) -> None:
    """Sizes fit around what the draft's trees say of the rows whose champions are known, and around nothing else."""
    rows, means = drawn
    trees = small_model.members[KILLS].trees[Trees.DRAFT]
    draft = np.random.default_rng(6).uniform(0.5, 1.5, (len(rows), len(CHAMPION_FEATURES))).astype(np.float32)
    draft[::2] = np.nan
    found = fit_prop(replace(rows, draft=draft), KILLS, means, EVEN, draft=trees)
    assert found.before == fit_prop(rows, KILLS, means, EVEN).before
    known = rows.where(~np.isnan(draft[:, 0]))
    combined = np.tensordot(found.weights, np.stack(list(means.values())), axes=1)[1::2]
    corrected = drafted_means(trees, known.features, draft[1::2], combined)
    won = known.won & (known.position == 2)
    assert found.after.sizes[1][2] == pytest.approx(best_size(known.counts[KILLS][won], corrected[won, 1]))


def test_questions_are_answered_in_the_order_of_what_happened(
    make_rows: Callable[..., TrainingSet], small_model: PropEnsemble
) -> None:
    """Sums of maps 1 and 2 belong to the same player's counts, whoever else played only one of them."""
    rows = two_maps(make_rows, 30)
    rows = rows.where(np.random.default_rng(4).random(len(rows)) < 0.8)
    counts = np.random.default_rng(4).poisson(3.0, len(rows))
    sparse = counted(rows, counts)
    first, second = pairs_of_maps(sparse)
    assert actual_counts(sparse, KILLS, ONE_MAP).tolist() == counts.tolist()
    assert actual_counts(sparse, KILLS, MAPS_1_2).tolist() == (counts[first] + counts[second]).tolist()
    means = MapMeans(np.full(len(rows), 0.5), counts[:, None] + np.array([0.5, 0.5]))
    given = small_model.parameters.props[KILLS]
    spread = replace(given.before, calibration=IDENTITY, calibration_of_sums=IDENTITY)
    parameters = ModelParameters({KILLS: replace(given, before=spread)}, EVEN)
    for maps, pmf in pmfs_of(sparse, KILLS, means, parameters).items():
        per_map = 0.5 if maps == ONE_MAP else 1.0
        expected = actual_counts(sparse, KILLS, maps) + per_map
        assert pmf @ np.arange(pmf.shape[1]) == pytest.approx(expected, rel=1e-3)


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
