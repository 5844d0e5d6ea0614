"""What a champion makes of its role, on cases small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.features.champions import PULL_GAMES, ChampionHistory
from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.schema import CHAMPION_FEATURES
from tests.unit.leagues import HOUR_US, START_US

MID, SUPPORT = 2, 4


def game(*mids: tuple[str, int, int], support: str = "Thresh") -> PlayedGame:
    """Two teams whose mid laners play (champion, kills, assists); each has a support as well."""
    teams = tuple(
        PlayedTeam(
            f"t{at}",
            won=at == 0,
            kills=12,
            players=(
                PlayedBy(f"mid{at}", MID, champion, kills, 2, assists, 0.2, 30.0),
                PlayedBy(f"sup{at}", SUPPORT, support, 1, 2, 10, 0.1, 80.0),
            ),
        )
        for at, (champion, kills, assists) in enumerate(mids)
    )
    return PlayedGame("g", "LCK", "16.01", START_US - HOUR_US, START_US, (teams[0], teams[1]))


def history(*games: PlayedGame) -> ChampionHistory:
    """Champions as these games showed them."""
    made = ChampionHistory()
    for one in games:
        made.observe(one)
    return made


USUAL = game(("Ahri", 6, 4), ("Azir", 2, 8))


def test_one_game_by_hand() -> None:
    """The role has 4 kills and 6 assists a game; each champion's games are drawn to 1 by so many average ones."""
    made = history(USUAL)
    assert len(made.snapshot("Ahri", MID)) == len(CHAMPION_FEATURES)
    assert made.snapshot("Ahri", MID) == pytest.approx(
        ((6 / 4 + PULL_GAMES) / (1 + PULL_GAMES), (4 / 6 + PULL_GAMES) / (1 + PULL_GAMES), 1)
    )
    assert made.snapshot("Azir", MID) == pytest.approx(
        ((2 / 4 + PULL_GAMES) / (1 + PULL_GAMES), (8 / 6 + PULL_GAMES) / (1 + PULL_GAMES), 1)
    )


def test_many_games_outweigh_the_pull() -> None:
    """After hundreds of games the factor is near the plain ratio, and between it and 1 all the way."""
    factors = [history(*[USUAL] * games).snapshot("Ahri", MID)[0] for games in (0, 1, 10, 100, 600)]
    assert factors == sorted(factors)
    assert factors[0] == 1.0
    assert factors[-1] == pytest.approx(6 / 4, rel=0.05)
    assert factors[-1] < 6 / 4


@pytest.mark.parametrize(("champion", "position"), [("Aatrox", MID), ("", MID), ("Ahri", SUPPORT)])
def test_what_was_not_played_is_average(champion: str, position: int) -> None:
    """A champion that nobody played in this role has factors of 1 and no game; asking does not make it known."""
    made = history(USUAL)
    assert made.snapshot(champion, position) == (1.0, 1.0, 0.0)
    assert set(made.known) == {("Ahri", MID), ("Azir", MID), ("Thresh", SUPPORT)}


def test_roles_are_counted_apart() -> None:
    """A champion in two roles is two champions; a role's average holds only its own players."""
    made = history(game(("Neeko", 6, 4), ("Azir", 2, 8), support="Neeko"))
    assert made.snapshot("Neeko", SUPPORT) == (1.0, 1.0, 2.0)  # both supports of the game, so it is the average
    assert made.snapshot("Neeko", MID)[2] == 1.0
    assert made.snapshot("Neeko", MID)[0] > 1.0


def test_an_unknown_champion_tells_nothing() -> None:
    """Neither of a champion nor of its role."""
    nameless = game(("", 20, 0), ("Azir", 2, 8))
    assert history(nameless).snapshot("Azir", MID) == (1.0, 1.0, 1.0)
    assert history(USUAL, nameless).snapshot("Ahri", MID) == history(USUAL, game(("", 0, 9), ("Azir", 2, 8))).snapshot(
        "Ahri", MID
    )


def test_a_role_without_a_kill_has_no_ratio() -> None:
    """Nothing is divided by nothing; the games are counted."""
    assert history(game(("Ahri", 0, 4), ("Azir", 0, 8))).snapshot("Ahri", MID) == (1.0, 1.0, 1.0)


def test_a_pool_by_hand() -> None:
    """The mean of the factors over games, an unknown pick left out, and how many different ones there are."""
    made = history(*[USUAL] * 12)
    ahri, azir = made.snapshot("Ahri", MID), made.snapshot("Azir", MID)
    kills, assists, different = made.pool(["Ahri", "Azir", "", "Ahri"], MID)
    assert kills == pytest.approx((2 * ahri[0] + azir[0]) / 3)
    assert assists == pytest.approx((2 * ahri[1] + azir[1]) / 3)
    assert different == 2.0


@pytest.mark.parametrize("champions", [[], ["", ""]])
def test_an_empty_pool_is_average(champions: list[str]) -> None:
    """A player without a known pick has factors of 1 and no champion."""
    assert history(USUAL).pool(champions, MID) == (1.0, 1.0, 0.0)


@given(st.lists(st.tuples(st.sampled_from(["Ahri", "Azir", ""]), st.integers(0, 15), st.booleans()), max_size=12))
def test_the_order_of_games_teams_and_players_changes_nothing(drawn: list[tuple[str, int, bool]]) -> None:
    """Counts are sums: the same games in any order give the same factors, to the bit."""
    games = [game((champion, kills, 5), ("Azir", 3, kills)) for champion, kills, _ in drawn]
    turned = []
    for one, (_, _, swap) in zip(games, drawn, strict=True):
        first, second = (replace(team, players=team.players[::-1]) for team in one.teams)
        turned.append(replace(one, teams=(second, first) if swap else (first, second)))
    ours, theirs = history(*games), history(*turned[::-1])
    assert set(ours.known) == set(theirs.known)
    for champion, position in ours.known:
        assert ours.snapshot(champion, position) == theirs.snapshot(champion, position)
