"""The baselines against brute force: what a role does on average, and what a player did lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from stores.domain.props import PropType
from training.baselines import LEAST_GAMES, LEAST_MEAN, WINDOW_GAMES, known_games, position_means, rolling_means

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.dataset import TrainingSet

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2026-01-01", "us")


@pytest.fixture(scope="module")
def season(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """A hundred series of one to three maps between players who play often, seldom, or never score."""
    rng = np.random.default_rng(4)
    games = []
    for series in range(100):
        for game in range(int(rng.integers(1, 4))):
            games += [(series, game, player) for player in rng.choice(12, 4, replace=False, p=np.arange(12) / 66)]
    series, game, player = np.array(games).T
    opened = START + series * 24 * HOUR
    kills = np.where(player == 11, 0, rng.poisson(0.3 * player))
    return make_rows(
        [f"p{one:02}" for one in player],
        opened + game * HOUR,
        series_started_at=opened,
        series_id=series.astype(str).astype(object),
        game_number=game + 1,
        kills=kills,
        position=player % 5,
    )


def test_rolling_means_are_those_of_the_games_before_the_series(season: TrainingSet) -> None:
    """Each mean is that of the player's last games that began before the row's series, counted one by one."""
    fallback = np.arange(len(season), dtype=np.float64) + 100
    found = rolling_means(season, PropType.KILLS, fallback)
    kinds = set()
    for row in range(len(season)):
        earlier = [
            int(season.counts[PropType.KILLS][other])
            for other in range(len(season))
            if season.player_id[other] == season.player_id[row]
            and season.started_at[other] < season.series_started_at[row]
        ][-WINDOW_GAMES:]
        enough = len(earlier) >= LEAST_GAMES
        kinds.add((enough, len(earlier) == WINDOW_GAMES))
        assert found[row] == pytest.approx(max(np.mean(earlier), LEAST_MEAN) if enough else fallback[row])
    assert len(kinds) == 3  # too few games, enough, and a full window all occurred


def test_known_games_are_those_before_the_series(season: TrainingSet) -> None:
    """Counted one by one: the player's games that began before the row's series did."""
    found = known_games(season)
    for row in range(len(season)):
        own = season.player_id == season.player_id[row]
        assert found[row] == (own & (season.started_at < season.series_started_at[row])).sum()
    assert found.max() > WINDOW_GAMES


def test_games_of_the_own_series_are_not_used(season: TrainingSet) -> None:
    """Whatever happened on earlier maps of the same series, the mean of a later map is the same."""
    third = np.flatnonzero(season.game_number == 3)
    own = season.series_id == season.series_id[third[len(third) // 2]]
    changed = season.where(np.ones(len(season), dtype=bool))
    changed.counts[PropType.KILLS][own] += 50
    fallback = np.ones(len(season))
    before, after = (rolling_means(one, PropType.KILLS, fallback) for one in (season, changed))
    assert (before[own] == after[own]).all()
    assert (before != after).any()  # later series of the same players know it


def test_position_means_are_those_of_the_known_rows(season: TrainingSet) -> None:
    """Only known rows count, by role; a role without a known row gets the mean of all known rows."""
    kills = season.counts[PropType.KILLS]
    known = (season.started_at < START + 1_200 * HOUR) & (season.position != 4)
    found = position_means(season, PropType.KILLS, known)
    for at in range(4):
        assert found[season.position == at] == pytest.approx(kills[known & (season.position == at)].mean())
    assert found[season.position == 4] == pytest.approx(kills[known].mean())
