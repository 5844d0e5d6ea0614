"""The count model finds the factors that simulated kills were drawn from, where raw means mistake them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.features.belief import DAY_US
from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.kill_model import KillModel
from stores.features.schema import LEAGUE_STATE, POSITIONS, RESULTS, SHARED_STATS
from tests.unit.leagues import (
    HOUR_US,
    LEVEL,
    RESULT,
    ROLES,
    SHARES,
    START_US,
    League,
    draw_league,
    play,
    player_id,
    team_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

GAMES = 1200
LOST, WON = (RESULTS.index(result) for result in ("lost", "won"))


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """A league, its games, and what the model made of them. Teams have the shape [teams, 5 of TEAM_STATE]."""

    league: League
    games: list[PlayedGame]
    model: KillModel

    @property
    def now_us(self) -> int:
        """The end of the last game."""
        return self.games[-1].ended_us

    def teams(self) -> NDArray[np.float64]:
        """The snapshots of all teams."""
        return np.array([self.model.team(team_id(at), self.now_us) for at in range(len(self.league.attack))])

    def players(self) -> NDArray[np.float64]:
        """The snapshots of all players, of shape [teams, roles, stats, factor and variance]."""
        found = [
            [self.model.player(player_id(at, role), role, self.now_us) for role in range(ROLES)]
            for at in range(len(self.league.attack))
        ]
        return np.array(found).reshape(-1, ROLES, len(SHARED_STATS), 2)

    def shares(self) -> NDArray[np.float64]:
        """The role shares, of shape [stats, results, roles]."""
        return np.array(self.model.context("LCK", "16.01")[len(LEAGUE_STATE) :]).reshape(-1, len(RESULTS), ROLES)


@pytest.fixture(scope="module", params=range(3))
def season(request: pytest.FixtureRequest) -> Season:
    """A league in which the strong need not be the bloody, so that results confound the raw means."""
    rng = np.random.default_rng(request.param)
    league = draw_league(rng)
    games = play(league, rng, GAMES)
    return Season(league, games, modelled(games))


def modelled(games: Iterable[PlayedGame]) -> KillModel:
    """A model that saw these games."""
    model = KillModel()
    for one in games:
        model.observe(one)
    return model


def error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """The root mean square error of logarithms, beside their own average (which a league or a role takes up)."""
    gap = found - true
    return float(np.sqrt(np.mean((gap - gap.mean(axis=0)) ** 2)))


def raw_kills(season: Season, *, made: bool) -> NDArray[np.float64]:
    """The logarithm of each team's mean kills, made or allowed."""
    counts: dict[str | None, list[int]] = {}
    for one in season.games:
        for own, other in permutations(one.teams):
            counts.setdefault(own.team_id, []).append(own.kills if made else other.kills)
    return np.log([np.mean(counts[team_id(at)]) for at in range(len(season.league.attack))])


def raw_counts(season: Season, stat: str) -> NDArray[np.float64]:
    """The logarithm of each player's mean count, of shape [teams, roles]."""
    counts: dict[str, list[int]] = {}
    for one in season.games:
        for team in one.teams:
            for player in team.players:
                counts.setdefault(player.player_id, []).append(getattr(player, stat))
    return np.log(
        [[np.mean(counts[player_id(at, role)]) for role in range(ROLES)] for at in range(len(season.league.attack))]
    )


def test_attack_and_defence_are_found(season: Season) -> None:
    """Opponents and results are taken out: the error is small, and far below that of a raw mean."""
    found = np.log(season.teams())
    for column, true, made in ((0, season.league.attack, True), (2, season.league.defence, False)):
        assert error(found[:, column], true) < 0.08
        assert error(found[:, column], true) < 0.6 * error(raw_kills(season, made=made), true)


def test_the_length_of_a_teams_games_is_found(season: Season) -> None:
    """Fast and slow teams are told apart."""
    assert error(np.log(season.teams()[:, 4]), season.league.length) < 0.5 * season.league.length.std()


def test_factors_of_players_are_found(season: Season) -> None:
    """What a player makes of his team's kills is told from the team's kills themselves."""
    found = np.log(season.players()[..., 0])
    for at, stat in enumerate(SHARED_STATS):
        true = season.league.factors[stat]
        assert error(found[:, :, at], true) < 0.08, stat
        assert error(found[:, :, at], true) < 0.4 * error(raw_counts(season, stat), true), stat


def test_the_parts_of_players_are_found(season: Season) -> None:
    """A role's share and a player's factor are one number to the games: their product is right, won and lost."""
    found, shares = season.players()[..., 0], season.shares()
    for at, stat in enumerate(SHARED_STATS):
        for result in (LOST, WON):
            true = SHARES[stat][result] * np.exp(season.league.factors[stat])
            gap = np.log(shares[at, result] * found[:, :, at] / true)
            assert np.sqrt(np.mean(gap**2)) < 0.1, (stat, result)


def test_what_a_team_is_expected_to_kill_is_found(season: Season) -> None:
    """Level, attack, defence and result together, for every pair of teams and both results."""
    teams = season.teams()
    when_won, when_lost = season.model.context("LCK", "16.01")[:2]
    pace = np.outer(teams[:, 0], teams[:, 2])
    true = LEVEL * np.exp(season.league.attack[:, None] + season.league.defence)
    for kills, sign in ((when_won, 1), (when_lost, -1)):
        gap = np.log(kills * pace / (true * math.exp(sign * RESULT)))
        assert np.sqrt(np.mean(gap**2)) < 0.1
        assert abs(gap.mean()) < 0.06


def test_the_effect_of_a_result_is_found(season: Season) -> None:
    """How many kills winners have for one of the losers."""
    when_won, when_lost = season.model.context("LCK", "16.01")[:2]
    assert math.log(when_won / when_lost) / 2 == pytest.approx(RESULT, abs=0.02)


def test_the_variances_are_honest(season: Season) -> None:
    """Errors are of the size that the model says, and far smaller than it thought before the first game."""
    first = KillModel()
    for column, true in ((0, season.league.attack), (2, season.league.defence)):
        found = season.teams()
        gap = np.log(found[:, column]) - true
        z_scores = (gap - gap.mean()) / np.sqrt(found[:, column + 1])
        assert np.mean(z_scores**2) < 2.0
        assert (found[:, column + 1] < 0.3 * first.team(None, 0)[column + 1]).all()
    unknown = np.array(first.player("nobody", 0, 0)).reshape(-1, 2)
    for at, stat in enumerate(SHARED_STATS):
        factor, variance = season.players()[:, :, at].transpose(2, 0, 1)
        gap = np.log(factor) - season.league.factors[stat]
        assert np.mean((gap - gap.mean(axis=0)) ** 2 / variance) < 2.0, stat
        assert (variance < 0.3 * unknown[at, 1]).all(), stat


# --- by hand ---------------------------------------------------------------------------------------------------------
COUNTS = ((3, 2, 8), (2, 3, 11), (5, 1, 9), (6, 2, 7), (1, 3, 14))  # kills, deaths, assists by role


def side(name: str, team_kills: int, *, won: bool, factor: int = 1) -> PlayedTeam:
    """A team of five; ``factor`` multiplies what its players count."""
    players = tuple(
        PlayedBy(f"{name}-{at}", at, "", factor * kills, factor * deaths, factor * assists, 0.2, 30.0)
        for at, (kills, deaths, assists) in enumerate(COUNTS)
    )
    return PlayedTeam(name, won, team_kills, players)


def game(
    winner: PlayedTeam, loser: PlayedTeam, number: int = 0, league: str = "LCK", patch: str = "16.01"
) -> PlayedGame:
    """One team beats another in half an hour."""
    ended_us = START_US + number * HOUR_US
    return PlayedGame(f"g{number}", league, patch, ended_us - HOUR_US // 2, ended_us, (winner, loser))


USUAL = game(side("a", 17, won=True), side("b", 11, won=False))


def everything(model: KillModel, now_us: int) -> list[float]:
    """All snapshots of the teams a, b and c, of their players, and of the league."""
    values = model.context("LCK", "16.01")
    for name in "abc":
        values += model.team(name, now_us)
        for role in range(ROLES):
            values += model.player(f"{name}-{role}", role, now_us)
    return values


def test_what_is_unknown_is_average() -> None:
    """Unknown players, roles, teams, leagues and patches have the factor 1 and the variance of the first day."""
    model, first = modelled([USUAL] * 20), KillModel()
    later = START_US + 300 * DAY_US
    for player, role in (("nobody", 2), ("a-0", 3)):
        assert model.player(player, role, later) == first.player(player, role, 0)
        assert model.player(player, role, later)[::2] == [1.0] * len(SHARED_STATS)
    assert model.share_factor("kills", "nobody", 2) == model.share_factor("deaths", None, 0) == 1.0
    for team in (None, "newcomers"):
        attack, _, defence, _, length = model.team(team, later)
        assert (attack, defence, length) == (1.0, 1.0, 1.0)
        assert model.team(team, later) == first.team(team, 0)
    assert model.context("LPL", "")[2:4] == pytest.approx(first.context("LPL", "")[2:4])
    assert model.context("LCK", "16.09")[3] == 1.0


def test_asking_teaches_nothing() -> None:
    """Snapshots of anyone, at any moment, leave the model as it was."""
    model = modelled([USUAL])
    before = everything(model, START_US)
    for moment in (START_US + 400 * DAY_US, START_US):
        everything(model, moment)
        model.player("nobody", 1, moment)
        model.context("nowhere", "never")
    assert everything(model, START_US) == before


def test_the_factor_in_a_snapshot_is_the_players_own() -> None:
    """Who takes more than his role's share of kills has a factor above 1, whatever his team makes."""
    carry = replace(USUAL.teams[0].players[2], kills=9)
    players = tuple(carry if one.position == 2 else one for one in USUAL.teams[0].players)
    games = [replace(USUAL, teams=(replace(USUAL.teams[0], players=players), USUAL.teams[1]))] * 10
    model = modelled(games)
    assert model.share_factor("kills", "a-2", 2) == model.player("a-2", 2, START_US)[0] > 1.2
    doubled = [
        replace(one, teams=(side("a", 34, won=True, factor=2), side("b", 22, won=False, factor=2)))
        for one in [USUAL] * 10
    ]
    often, usual = modelled(doubled), modelled([USUAL] * 10)
    assert often.context("LCK", "16.01")[0] > 1.2 * usual.context("LCK", "16.01")[0]
    for role in range(ROLES):
        assert often.share_factor("kills", f"a-{role}", role) == pytest.approx(
            usual.share_factor("kills", f"a-{role}", role), rel=0.1
        )


def test_a_team_without_a_kill_has_no_shares() -> None:
    """Nothing is split: its players' kills and assists stay unknown, their deaths and the team's attack do not."""
    none = tuple(replace(one, kills=0, assists=0) for one in USUAL.teams[1].players)
    model = modelled([replace(USUAL, teams=(USUAL.teams[0], replace(USUAL.teams[1], kills=0, players=none)))])
    first = KillModel().player("b-2", 2, START_US)
    found = model.player("b-2", 2, START_US)
    assert found[:4] == first[:4]
    assert found[5] < first[5]
    assert 0.5 < model.team("b", START_US)[0] < 1.0
    assert model.player("a-2", 2, START_US)[4:] == first[4:]  # nor do the winners' deaths, of which there were none
    assert all(math.isfinite(one) and one > 0 for one in everything(model, START_US))


def test_games_without_any_kill_leave_everything_finite() -> None:
    """A hundred of them drive attack down, and no factor to zero or a variance below it."""
    none = [
        replace(one, kills=0, players=tuple(replace(two, kills=0, assists=0) for two in one.players))
        for one in USUAL.teams
    ]
    model = modelled([replace(USUAL, teams=(none[0], none[1]))] * 100)
    assert all(math.isfinite(one) and one > 0 for one in everything(model, START_US))


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_side_without_players_teaches_nothing(unknown: int) -> None:
    """Where the players of one team are missing, the model is what it was."""
    model = modelled([USUAL])
    before = everything(model, START_US)
    teams = list(USUAL.teams)
    teams[unknown] = replace(teams[unknown], players=())
    model.observe(replace(USUAL, teams=(teams[0], teams[1])))
    assert everything(model, START_US) == before


def test_a_missing_position_is_only_a_missing_player() -> None:
    """Four known players and the team still learn; the fifth stays average."""
    teams = (replace(USUAL.teams[0], players=USUAL.teams[0].players[1:]), USUAL.teams[1])
    model, whole = modelled([replace(USUAL, teams=teams)]), modelled([USUAL])
    assert model.player("a-0", 0, START_US) == KillModel().player("a-0", 0, START_US)
    assert model.team("a", START_US) == whole.team("a", START_US)
    assert model.player("a-1", 1, START_US) == pytest.approx(whole.player("a-1", 1, START_US), rel=0.01)
    assert model.player("a-1", 1, START_US)[1] < model.player("a-0", 0, START_US)[1]


def test_an_unknown_team_still_tells_of_its_players() -> None:
    """No attack or defence is learnt of a team without a name, and its opponent's are learnt all the same."""
    model = modelled([replace(USUAL, teams=(replace(USUAL.teams[0], team_id=None), USUAL.teams[1]))])
    assert model.team("a", START_US) == KillModel().team(None, START_US)
    assert model.team("b", START_US)[1] < KillModel().team(None, START_US)[1]
    assert model.player("a-2", 2, START_US)[1] < KillModel().player("a-2", 2, START_US)[1]


def test_one_absurd_count_is_no_sign_of_absurd_skill() -> None:
    """A support with thirty kills moves by no more than a bounded surprise."""
    players = tuple(replace(one, kills=30) if one.position == 4 else one for one in USUAL.teams[0].players)
    model = modelled([replace(USUAL, teams=(replace(USUAL.teams[0], players=players), USUAL.teams[1]))])
    assert 1.0 < model.share_factor("kills", "a-4", 4) < 1.6


def test_a_bloody_patch_has_the_greater_factor() -> None:
    """Patches are told apart by their kills; a game of unknown patch adds to none."""
    teams = {kills: (side("a", kills, won=True), side("b", kills - 4, won=False)) for kills in (12, 22)}
    games = [game(*teams[22 if at % 2 else 12], at, patch="16.02" if at % 2 else "16.01") for at in range(60)]
    model = modelled(games)
    calm, bloody = (model.context("LCK", patch)[3] for patch in ("16.01", "16.02"))
    assert bloody > 1.15 * calm
    nameless = modelled(replace(one, patch="") for one in games)
    assert [nameless.context("LCK", patch)[3] for patch in ("", "16.01")] == [1.0, 1.0]


def test_leagues_learn_apart() -> None:
    """The kills of one league say nothing of another's."""
    bloody = [game(side("a", 30, won=True), side("b", 20, won=False), at) for at in range(40)]
    calm = [game(side("c", 11, won=True), side("d", 7, won=False), at + 40, "LPL") for at in range(40)]
    model = modelled([*bloody, *calm])
    assert model.context("LCK", "")[0] > 1.5 * model.context("LPL", "")[0]


def test_a_pause_makes_players_and_teams_less_known() -> None:
    """Factors stay, variances grow."""
    model = modelled([USUAL] * 5)
    later = START_US + 60 * DAY_US
    for now, then in (
        (model.player("a-2", 2, START_US), model.player("a-2", 2, later)),
        (model.team("a", START_US)[:4], model.team("a", later)[:4]),
    ):
        assert now[::2] == then[::2]
        assert all(old < new for old, new in zip(now[1::2], then[1::2], strict=True))


drawn_games = st.lists(
    st.tuples(
        st.permutations("abc"),
        st.integers(0, 40),
        st.integers(0, 40),
        st.integers(0, 3),
        st.booleans(),
        st.permutations(range(ROLES)),
    ),
    max_size=8,
)


@given(drawn_games)
def test_the_order_of_teams_and_players_changes_nothing(
    drawn: list[tuple[list[str], int, int, int, bool, list[int]]],
) -> None:
    """Sides and seats are names: the same games give the same snapshots, but for the last bit of a sum."""
    games, turned = [], []
    for at, (names, kills, lost_kills, factor, swap, order) in enumerate(drawn):
        one = game(side(names[0], kills, won=True, factor=factor), side(names[1], lost_kills, won=False), at)
        teams = [replace(team, players=tuple(team.players[at] for at in order)) for team in one.teams]
        games.append(one)
        turned.append(replace(one, teams=(teams[1], teams[0]) if swap else (teams[0], teams[1])))
    now_us = START_US + len(games) * HOUR_US
    ours, theirs = (everything(modelled(each), now_us) for each in (games, turned))
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert all(math.isfinite(one) and one >= 0 for one in ours)


def test_the_context_lies_in_the_order_of_its_names() -> None:
    """League state, then shares by stat, result and role, each near what the first beliefs say."""
    values = KillModel().context("LCK", "16.01")
    assert len(values) == len(LEAGUE_STATE) + len(SHARED_STATS) * len(RESULTS) * len(POSITIONS)
    state = dict(zip(LEAGUE_STATE, values, strict=False))
    assert state["kills_when_won"] > state["kills_when_lost"]
    assert 25 < state["game_minutes"] < 40
    assert state["patch_factor"] == 1.0
    kills = np.array(values[len(LEAGUE_STATE) :]).reshape(-1, len(RESULTS), ROLES)[0]
    assert kills.sum(axis=1) == pytest.approx(1.0, abs=0.01)  # all kills of a team, won or lost
