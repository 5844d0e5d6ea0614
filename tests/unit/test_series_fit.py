"""Fitting series: what was simulated is found again, and a team's name or a player's rows do not count twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit

from stores.domain.props import FORMATS
from stores.features.schema import MODEL_FEATURES
from training.series_fit import MOST_SPREAD, fit_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

START = np.datetime64("2026-01-01", "us")
RATING, ROSTER = 0.5, 0.25  # log-odds of a map per unit of difference
SHARES = (0.2, 0.5, 0.3)


def played(make_rows: Callable[..., TrainingSet], spread: float, series: int = 8_000) -> TrainingSet:
    """Series between two teams, one player each: as many maps as their format needs, alike by what they share."""
    rng = np.random.default_rng(7)
    differences = rng.normal(0.0, 1.5, (series, 2))
    log_odds = (differences @ (RATING, ROSTER)) * np.sqrt(1.0 + np.pi * spread**2 / 8.0)
    chance = expit(log_odds + spread * rng.standard_normal(series))
    needed = rng.choice(FORMATS, series, p=SHARES) // 2 + 1
    first_won = rng.random((max(FORMATS), series)) < chance
    wins = np.cumsum(first_won, axis=0)
    games = np.arange(1, max(FORMATS) + 1)[:, None]
    over = np.maximum(wins, games - wins) >= needed
    open_before = np.vstack([np.ones((1, series), dtype=bool), ~over[:-1]])
    at = np.nonzero(open_before.T)
    return _rows(make_rows, differences, at[0], at[1] + 1, first_won.T[at])


def _rows(
    make_rows: Callable[..., TrainingSet],
    differences: NDArray[np.float64],
    series: NDArray[np.int64],
    game: NDArray[np.int64],
    first_won: NDArray[np.bool_],
) -> TrainingSet:
    """Both teams' rows of each map, one after the other, as each sees it."""
    maps = len(series)
    features = np.zeros((2 * maps, len(MODEL_FEATURES)), dtype=np.float32)
    side = np.tile([1.0, -1.0], maps)
    for column, name in enumerate(("rating_difference", "roster_difference")):
        features[:, MODEL_FEATURES.index(name)] = side * np.repeat(differences[series, column], 2)
    series, game = np.repeat(series, 2), np.repeat(game, 2)
    names = np.where(side > 0, "blue", "red")
    return make_rows(
        names.astype(object),
        START + series * np.timedelta64(1, "h"),
        features=features,
        won=np.repeat(first_won, 2) == (side > 0),
        series_id=series.astype(str).astype(object),
        match_id=np.array([f"{one}-{of}" for one, of in zip(series, game, strict=True)], dtype=object),
        game_number=game,
        team_id=np.array([f"{name} {one}" for name, one in zip(names, series, strict=True)], dtype=object),
    )


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_what_was_simulated_is_found(make_rows: Callable[..., TrainingSet], spread: float) -> None:
    """From 8,000 series: the worth of the ratings, what maps share, and how many series have which format.

    That only level series have a third map draws the weights towards zero: by 2% at a spread of 0.5, by 5% at 1.
    """
    found = fit_series(played(make_rows, spread))
    assert (found.rating_weight, found.roster_weight) == pytest.approx((RATING, ROSTER), rel=0.1)
    assert found.spread == pytest.approx(spread, abs=0.15)
    assert found.formats == pytest.approx(SHARES, abs=0.02)
    assert sum(found.formats) == pytest.approx(1.0)


def test_more_players_of_a_team_tell_nothing_more(make_rows: Callable[..., TrainingSet]) -> None:
    """Five rows of a team on a map are one map."""
    rows = played(make_rows, 0.5, series=300)
    five = rows.where(np.repeat(np.arange(len(rows)), 5))
    once, often = fit_series(rows), fit_series(five)
    assert often.rating_weight == pytest.approx(once.rating_weight, rel=1e-6)
    assert often.spread == pytest.approx(once.spread, abs=1e-3)
    assert often.formats == once.formats


def test_a_format_that_never_came_up_is_possible(make_rows: Callable[..., TrainingSet]) -> None:
    """One series of each kind is added: no format has the chance zero."""
    rows = played(make_rows, 0.0, series=100)
    short = rows.where(np.isin(rows.series_id, rows.series_id[rows.game_number == 1]) & (rows.game_number == 1))
    assert fit_series(short).formats == pytest.approx((101 / 103, 1 / 103, 1 / 103))


def test_without_teams_maps_share_nothing(make_rows: Callable[..., TrainingSet]) -> None:
    """Where no team is known, no course of a series is: the spread is zero and ratings still count."""
    rows = played(make_rows, 0.5, series=500)
    rows.team_id[:] = None
    found = fit_series(rows)
    assert found.spread == 0.0
    assert found.rating_weight > 0.3


def test_series_that_always_sweep_stay_in_bounds(make_rows: Callable[..., TrainingSet]) -> None:
    """However alike the maps of a series are, the spread ends at its bound."""
    rng = np.random.default_rng(3)
    series, game = np.repeat(np.arange(400), 2), np.tile([1, 2], 400)
    swept = np.repeat(rng.random(400) < 0.5, 2)
    rows = _rows(make_rows, np.zeros((400, 2)), series, game, swept)
    assert MOST_SPREAD - 0.01 < fit_series(rows).spread <= MOST_SPREAD
