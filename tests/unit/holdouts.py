"""A world whose pre-match distributions are known, and what methods that see it more or less clearly say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from stores.domain import negative_binomial
from stores.domain.props import PropType
from training.holdout import Holdout, HoldoutRows
from training.scores import crps, log_scores
from training.subsets import ONE_MAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAYERS = 10
COUNTS = 56
SIZE = 5.0
ROLE_MEANS = {PropType.KILLS: (2.7, 3.1, 3.5, 4.4, 0.8), PropType.ASSISTS: (4.5, 7.0, 5.5, 5.0, 9.0)}
CUT = np.datetime64("2026-03-01", "us")
DAY = np.timedelta64(1, "D")
TEAM_CORRELATION = 0.3  # of the normal scores of teammates on a map


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Two maps of each series: true means of shape [series, players], outcomes [maps, series, players]."""

    means: dict[PropType, NDArray[np.float64]]
    outcomes: dict[PropType, NDArray[np.int64]]

    @property
    def series(self) -> int:
        """How many series are played."""
        return len(self.means[PropType.KILLS])


def play(seed: int, series: int) -> World:
    """Outcomes that are exactly negative binomial, and alike within a team and a map (a Gaussian copula)."""
    rng = np.random.default_rng(seed)
    means, outcomes = {}, {}
    for prop, of_role in ROLE_MEANS.items():
        means[prop] = np.tile(of_role, 2) * np.exp(0.25 * rng.standard_normal((series, PLAYERS)))
        of_team = np.repeat(rng.standard_normal((2, series, 2)), 5, axis=2)
        own = rng.standard_normal((2, series, PLAYERS))
        uniform = stats.norm.cdf(np.sqrt(TEAM_CORRELATION) * of_team + np.sqrt(1 - TEAM_CORRELATION) * own)
        cdf = np.cumsum(negative_binomial.pmf(means[prop].ravel(), np.full(means[prop].size, SIZE), COUNTS), axis=1)
        drawn = [(one.ravel()[:, None] > cdf).sum(axis=1).reshape(series, PLAYERS) for one in uniform]
        outcomes[prop] = np.minimum(np.stack(drawn), COUNTS - 1)
    return World(means, outcomes)


def seen(world: World, seed: int, blur: float = 0.1) -> dict[PropType, NDArray[np.float64]]:
    """The means as a method sees them that errs by ``blur`` (of the logarithm), of shape [series, players]."""
    rng = np.random.default_rng((seed, 1))
    return {prop: means * np.exp(blur * rng.standard_normal(means.shape)) for prop, means in world.means.items()}


def holdout(
    world: World,
    means: dict[PropType, NDArray[np.float64]],
    size: float = SIZE,
    until: np.datetime64 = CUT,
) -> Holdout:
    """What a method says of the world that sees these means and takes the counts for as wide as ``size`` says."""
    questions = {}
    for prop in PropType:
        y = world.outcomes[prop]
        one = [rows(world, at, y[at], _pmf(means[prop], size, COUNTS)) for at in range(2)]
        questions[prop, ONE_MAP] = joined(one)
        questions[prop, "1-2"] = rows(world, 0, y.sum(axis=0), _pmf(2 * means[prop], 2 * size, 2 * COUNTS))
    return Holdout(until, questions)


def baseline_scores(world: World) -> dict[str, float]:
    """The training metrics of a rolling mean that sees the means much less clearly than a model."""
    said = holdout(world, seen(world, 9, blur=0.25))
    metrics = {}
    for prop in PropType:
        one = said.for_question(prop, ONE_MAP)
        for name, score in (("crps", crps), ("log_score", log_scores)):
            metrics[f"{prop}_validation_rolling_mean_{name}"] = float(score(one.probabilities(), one.actual).mean())
    return metrics


def rows(world: World, game: int, actual: NDArray[np.int64], pmf: NDArray[np.float64]) -> HoldoutRows:
    """The rows of one map of every series, from outcomes of shape [series, players]."""
    series = np.repeat(np.arange(world.series), PLAYERS)
    player = np.tile(np.arange(PLAYERS), world.series)
    return HoldoutRows(
        series_id=np.array([f"s{one}" for one in series], dtype=object),
        match_id=np.array([f"s{one}g{game}" for one in series], dtype=object),
        player_id=np.array([f"p{one % 40}-{at}" for one, at in zip(series, player, strict=True)], dtype=object),
        position=player % 5,
        league=np.array(["LCK", "LPL", "LEC", "LCS"], dtype=object)[series % 4],
        games_known=known_games(series),
        series_started_at=CUT + (series + 1) * DAY,
        actual=actual.ravel(),
        pmf=pmf.astype(np.float32),
    )


def known_games(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """The evidence behind the players of a series: 0 to 63 games, a fifth of the series with fewer than eight."""
    return series % 10 * 7


def joined(parts: list[HoldoutRows]) -> HoldoutRows:
    """The rows of all parts, one after the other."""
    columns = HoldoutRows.__slots__
    return HoldoutRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def _pmf(means: NDArray[np.float64], size: float, counts: int) -> NDArray[np.float64]:
    return negative_binomial.pmf(means.ravel(), np.full(means.size, size), counts)
