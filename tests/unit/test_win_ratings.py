"""Ratings find the strengths that simulated results were drawn from, and nothing hangs on who is named first."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stores.features.belief import DAY_US
from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.win_ratings import LEAST_INFORMATION, WinRatings
from tests.unit.leagues import HOUR_US, ROLES, START_US, League, draw_league, play, team_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COIN = math.log(2.0)
ROSTERS = {name: tuple(f"{name}{at}" for at in range(ROLES)) for name in "abc"}


def game(winner: str, loser: str, number: int = 0, rosters: Mapping[str, Sequence[str]] | None = None) -> PlayedGame:
    """One team beats another; the players are those of their rosters."""
    teams = tuple(
        PlayedTeam(
            name,
            won=name == winner,
            kills=10,
            players=tuple(
                PlayedBy(one, at, "", 2, 2, 5, 0.2, 30.0) for at, one in enumerate((rosters or ROSTERS)[name])
            ),
        )
        for name in (winner, loser)
    )
    ended_us = START_US + number * HOUR_US
    return PlayedGame(f"g{number}", "LCK", "16.01", ended_us - HOUR_US // 2, ended_us, (teams[0], teams[1]))


def rated(*games: PlayedGame) -> WinRatings:
    """Ratings that saw these games."""
    ratings = WinRatings()
    for one in games:
        ratings.observe(one)
    return ratings


def all_ratings(ratings: WinRatings, now_us: int) -> dict[str, tuple[float, float]]:
    """Mean and variance of every team and player."""
    return {f"team {one}": ratings.team(one, now_us) for one in sorted(ratings.teams)} | {
        one: ratings.player(one, now_us) for one in sorted(ratings.players)
    }


@pytest.fixture(scope="module", params=range(3))
def season(request: pytest.FixtureRequest) -> tuple[League, list[PlayedGame]]:
    """A league of known strengths, and 1200 of its games."""
    rng = np.random.default_rng(request.param)
    league = draw_league(rng)
    return league, play(league, rng, 1200)


def by_team(ratings: WinRatings, team: PlayedTeam) -> float:
    """The rating of the team that it was."""
    return ratings.team(team.team_id, START_US)[0]


def by_roster(ratings: WinRatings, team: PlayedTeam) -> float:
    """The strength of those who play for it now."""
    return ratings.roster_strength(one.player_id for one in team.players)


@pytest.mark.parametrize("strength", [by_team, by_roster])
def test_strengths_are_found(
    season: tuple[League, list[PlayedGame]], strength: Callable[[WinRatings, PlayedTeam], float]
) -> None:
    """Ranks agree with the truth, and the chance given to a result beforehand comes near that of the truth itself."""
    league, games = season
    true = {team_id(at): float(one) for at, one in enumerate(league.strength)}
    ratings, losses, least = WinRatings(), [], []
    for one in games:
        winner, loser = sorted(one.teams, key=lambda team: not team.won)
        given_odds = strength(ratings, winner) - strength(ratings, loser)
        losses.append(math.log1p(math.exp(-given_odds)))
        least.append(math.log1p(math.exp(true[str(loser.team_id)] - true[str(winner.team_id)])))
        ratings.observe(one)
    teams = {team.team_id: team for one in games for team in one.teams}
    found = [strength(ratings, teams[name]) for name in true]
    assert stats.spearmanr(found, list(true.values())).statistic > 0.85
    settled = slice(300, None)
    assert np.mean(losses[settled]) < np.mean(least[settled]) + 0.03
    assert np.mean(losses[settled]) < COIN - 0.02


def test_the_variance_is_an_honest_one(season: tuple[League, list[PlayedGame]]) -> None:
    """Few ratings lie beyond three standard deviations of the truth, and all are known better than at first."""
    league, games = season
    ratings = rated(*games)
    now_us = games[-1].ended_us
    means, variances = np.array([ratings.team(team_id(at), now_us) for at in range(len(league.strength))]).T
    errors = means - means.mean() - (league.strength - league.strength.mean())
    assert (np.abs(errors) < 3.0 * np.sqrt(variances)).mean() > 0.9
    assert (variances < 0.5 * WinRatings().team(None, now_us)[1]).all()


def test_one_win_by_hand() -> None:
    """From an even chance the information is 1/4: each takes its variance's part of a surprise of 2."""
    ratings = rated(game("a", "b"))
    (first, variance), now_us = WinRatings().team("a", START_US), START_US
    gain = variance / (2 * variance + 4.0)
    assert first == 0.0
    assert ratings.team("a", now_us) == pytest.approx((2.0 * gain, variance * (1.0 - gain)))
    assert ratings.team("b", now_us) == pytest.approx((-2.0 * gain, variance * (1.0 - gain)))
    spread = WinRatings().player("a0", now_us)[1]
    part = (spread / 5) / (2 * spread / 5 + 4.0)
    assert ratings.player("a0", now_us) == pytest.approx((2.0 * part, spread * (1.0 - part / 5)))
    assert ratings.roster_strength(ROSTERS["a"]) == pytest.approx(-ratings.roster_strength(ROSTERS["b"]))


@given(st.lists(st.tuples(st.permutations("abc"), st.booleans(), st.permutations(range(ROLES))), max_size=12))
def test_the_order_of_teams_and_players_changes_nothing(
    drawn: list[tuple[list[str], bool, list[int]]],
) -> None:
    """Sides and seats are names: the same results give the same ratings, but for the last bit of a sum."""
    games = [game(names[0], names[1], at) for at, (names, _, _) in enumerate(drawn)]
    turned = []
    for one, (_, swap, order) in zip(games, drawn, strict=True):
        teams = [replace(team, players=tuple(team.players[at] for at in order)) for team in one.teams]
        turned.append(replace(one, teams=(teams[1], teams[0]) if swap else (teams[0], teams[1])))
    now_us = START_US + len(games) * HOUR_US
    ours, theirs = (all_ratings(rated(*each), now_us) for each in (games, turned))
    assert ours.keys() == theirs.keys()
    for name, pair in ours.items():
        assert pair == pytest.approx(theirs[name], rel=1e-12, abs=1e-14)


@given(st.lists(st.sampled_from(["ab", "bc", "ca", "ba"]), max_size=15))
def test_what_one_team_wins_the_others_lose(results: list[str]) -> None:
    """Between teams that are equally known the mean stays 0, game by game; a mirror world has mirrored ratings."""
    ratings = rated(*(game(one[0], one[1], at) for at, one in enumerate(results)))
    mirror = rated(*(game(one[1], one[0], at) for at, one in enumerate(results)))
    now_us = START_US + len(results) * HOUR_US
    for name in ratings.teams:
        assert ratings.team(name, now_us)[0] == pytest.approx(-mirror.team(name, now_us)[0], abs=1e-12)
        assert ratings.team(name, now_us)[1] == pytest.approx(mirror.team(name, now_us)[1])


def test_a_sure_win_that_is_lost_by_hand() -> None:
    """However sure it was, its result has the least information: the move is bounded, and what is unknown shrinks."""
    ratings = WinRatings()
    ratings.teams["a"].mean, ratings.teams["b"].mean = 4.0, -4.0
    variance = ratings.team("a", START_US)[1]
    ratings.observe(game("b", "a"))
    chance = 1.0 / (1.0 + math.exp(8.0))
    gain = variance / (2.0 * variance + 1.0 / LEAST_INFORMATION)
    mean, left = ratings.team("a", START_US)
    assert mean == pytest.approx(4.0 - gain * (1.0 - chance) / LEAST_INFORMATION)
    assert left == pytest.approx(variance * (1.0 - gain))


@pytest.mark.parametrize("team", [None, "newcomers"])
def test_what_is_unknown_is_average(team: str | None) -> None:
    """An unknown team, player or roster has the mean 0 and the first variance; asking does not make it known."""
    ratings = rated(game("a", "b"))
    assert ratings.team(team, START_US + 400 * DAY_US) == WinRatings().team("a", 0)
    assert ratings.player("nobody", START_US) == WinRatings().player("a0", 0)
    assert ratings.player("nobody", START_US)[0] == 0.0
    assert ratings.roster_strength(()) == 0.0
    assert ratings.roster_strength(["a0", "nobody"]) == pytest.approx(ratings.player("a0", START_US)[0] / 2)
    assert set(ratings.teams) == {"a", "b"}
    assert "nobody" not in ratings.players


def test_a_game_of_an_unknown_team_is_one_of_its_players() -> None:
    """No team is rated by it, all players are."""
    nameless = game("a", "b")
    ratings = rated(replace(nameless, teams=(replace(nameless.teams[0], team_id=None), nameless.teams[1])))
    assert not ratings.teams
    assert ratings.player("a0", START_US)[0] > 0 > ratings.player("b0", START_US)[0]


def test_a_game_of_unknown_players_is_one_of_its_teams() -> None:
    """The players of one side alone learn nothing from a win over nobody."""
    half = game("a", "b")
    ratings = rated(replace(half, teams=(half.teams[0], replace(half.teams[1], players=()))))
    assert ratings.team("a", START_US)[0] > 0 > ratings.team("b", START_US)[0]
    assert not ratings.players


def test_strength_moves_with_a_transfer() -> None:
    """Five players who won for one team are as strong in another; the rating of the team stays behind."""
    ratings = rated(*(game("a", "b", at) for at in range(30)))
    champions, strength = ratings.team("a", START_US)[0], ratings.roster_strength(ROSTERS["a"])
    assert strength > 0.2
    swapped = {"b": ROSTERS["a"], "c": ROSTERS["c"]}
    ratings.observe(game("b", "c", 31, swapped))
    assert ratings.roster_strength(ROSTERS["a"]) > strength
    assert ratings.team("a", START_US)[0] == champions
    assert ratings.team("b", START_US + 31 * HOUR_US)[0] < 0
    one_moved = (*ROSTERS["c"][:4], ROSTERS["a"][4])
    assert ratings.roster_strength(one_moved) > ratings.roster_strength(ROSTERS["c"])


def test_a_pause_makes_a_rating_less_known() -> None:
    """The mean stays, the variance grows by the day."""
    ratings = rated(game("a", "b"))
    for rating in (partial(ratings.team, "a"), partial(ratings.player, "a0")):
        (mean, now), (same, tomorrow), (still, later) = (rating(START_US + days * DAY_US) for days in (0, 1, 100))
        assert mean == same == still
        assert tomorrow > now
        assert later - now == pytest.approx(100 * (tomorrow - now))
