"""Fitting: no row is scored by what its own outcome chose, and too few rows are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.count_members import Member
from actors.series_results import SeriesParameters
from stores.domain.props import PropType
from stores.errors import InvalidError
from training.boosting import BoostingCluster, BoostingParams
from training.fitting import _cross_fitted, _holdout_rows, fit_model
from training.subsets import MAPS_1_2, ONE_MAP, pairs_of_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

KILLS = PropType.KILLS
START = np.datetime64("2026-01-01", "us")
DAY = np.timedelta64(1, "D")
SERIES = 200
EVEN = SeriesParameters(rating_weight=0.0, roster_weight=0.0, spread=0.5, formats=(0.2, 0.5, 0.3))


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """Series of two maps, one a day, five players of the winner of each."""
    series, game, role = (axis.ravel() for axis in np.meshgrid(range(SERIES), (1, 2), range(5), indexing="ij"))
    opened = START + series * DAY
    return make_rows(
        [f"p{one}" for one in role],
        opened + game * np.timedelta64(1, "h"),
        series_started_at=opened,
        series_id=series.astype(str).astype(object),
        match_id=np.array([f"{one}-{of}" for one, of in zip(series, game, strict=True)], dtype=object),
        game_number=game,
        position=role,
        won=np.ones(len(series), dtype=np.bool_),
        kills=np.random.default_rng(3).poisson(4.0, len(series)),
    )


@pytest.fixture(scope="module")
def means(rows: TrainingSet) -> dict[Member, NDArray[np.float64]]:
    """What the members expect, each something else."""
    rng = np.random.default_rng(4)
    return {member: rng.uniform(2.0, 6.0, (len(rows), 2)) for member in Member}


@pytest.mark.parametrize("changed", [True, False], ids=["newer", "older"])
def test_each_half_is_scored_by_what_the_other_chose(
    rows: TrainingSet, means: dict[Member, NDArray[np.float64]], *, changed: bool
) -> None:
    """Other outcomes of a half change what is said of the other half, never a bit of what is said of its own."""
    newer = rows.series_started_at >= START + SERIES // 2 * DAY
    own = newer == changed
    kills = np.where(own, rows.counts[KILLS] * 3 + 1, rows.counts[KILLS])
    other = replace(rows, counts={KILLS: kills})
    before, after = (_cross_fitted(one, KILLS, means, EVEN, frozenset()) for one in (rows, other))
    pairs = own[pairs_of_maps(rows)[0]]
    for maps, part in ((ONE_MAP, own), (MAPS_1_2, pairs)):
        assert after[maps][part].tobytes() == before[maps][part].tobytes()
        assert (after[maps][~part] != before[maps][~part]).any(axis=1).all()
        assert after[maps].sum(axis=1) == pytest.approx(1.0)


def test_the_holdout_is_of_the_rows_that_were_scored(
    rows: TrainingSet, means: dict[Member, NDArray[np.float64]]
) -> None:
    """Every row, and every player's first map for the sum, with what happened."""
    pmfs = _cross_fitted(rows, KILLS, means, EVEN, frozenset())
    one, both = (_holdout_rows(rows, KILLS, maps, pmfs[maps]) for maps in (ONE_MAP, MAPS_1_2))
    first, second = pairs_of_maps(rows)
    assert one.match_id.tolist() == rows.match_id.tolist()
    assert one.actual.tolist() == rows.counts[KILLS].tolist()
    assert both.match_id.tolist() == rows.match_id[first].tolist()
    assert both.actual.tolist() == (rows.counts[KILLS][first] + rows.counts[KILLS][second]).tolist()
    assert (both.player_id == rows.player_id[second]).all()


def test_too_few_rows_are_refused(make_rows: Callable[..., TrainingSet]) -> None:
    """A handful of games holds no model, and the error says how many are needed."""
    with pytest.raises(InvalidError, match="200 games"):
        fit_model(make_rows(["a"], np.full(1, START)), BoostingParams(), BoostingCluster())
