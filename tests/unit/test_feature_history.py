"""What is remembered of players, teams, leagues and patches, on cases small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stores.features.belief import DAY_US
from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.history import FeatureHistory
from stores.features.players import STRENGTHS
from stores.features.schema import CONTEXT_FEATURES, PLAYER_FEATURES, PLAYER_STATS, POSITIONS, RATINGS, TEAM_FEATURES
from stores.features.teams import ELO_STEP, PATCH_PULL, ROLE_PULL, START_ELO, LeagueHistory, elo_gain

MINUTE_US = 60_000_000
START_US = 20_000 * DAY_US
NAN = float("nan")
TOP, MID = 0, 2
# kills, deaths, assists by position
BLUE_LINES = ((3, 1, 4), (2, 2, 9), (6, 0, 5), (8, 1, 3), (1, 2, 14))  # 20 kills
RED_LINES = ((0, 5, 2), (1, 4, 3), (2, 3, 1), (3, 4, 2), (0, 4, 5))  # 6 kills


def side(name: str, lines: tuple[tuple[int, int, int], ...], *, won: bool) -> PlayedTeam:
    """A team whose players are named for it and their role."""
    players = tuple(
        PlayedBy(f"{name}-{POSITIONS[at]}", at, f"champion {at}", kills, deaths, assists, 0.2, 30.0)
        for at, (kills, deaths, assists) in enumerate(lines)
    )
    return PlayedTeam(name, won, sum(kills for kills, _, _ in lines), players)


def game(at_us: int = START_US, patch: str = "16.01", minutes: int = 30, number: int = 1) -> PlayedGame:
    """Blue beats Red by 20 kills to 6; ``at_us`` is the end."""
    teams = (side("blue", BLUE_LINES, won=True), side("red", RED_LINES, won=False))
    return PlayedGame(f"g{number}", "LCK", patch, at_us - minutes * MINUTE_US, at_us, teams)


def observed(*games: PlayedGame) -> FeatureHistory:
    """A history that saw these games."""
    history = FeatureHistory()
    for one in games:
        history.observe(one)
    return history


def of_player(history: FeatureHistory, now_us: int, player: str = "blue-mid", position: int = MID) -> dict[str, float]:
    """The player's features by name."""
    return dict(zip(PLAYER_FEATURES, history.player(player, position, "LCK", now_us).tolist(), strict=True))


def of_team(history: FeatureHistory, team: str | None, now_us: int = START_US) -> dict[str, float]:
    """The team's features by name."""
    return dict(zip(TEAM_FEATURES, history.team(team, "LCK", now_us).tolist(), strict=True))


def of_context(history: FeatureHistory, league: str = "LCK", patch: str = "16.01") -> dict[str, float]:
    """The features of league and patch by name."""
    return dict(zip(CONTEXT_FEATURES, history.context(league, patch).tolist(), strict=True))


def of_role(history: FeatureHistory, position: int) -> dict[str, float]:
    """The stats of a league's average player by name."""
    average = history.leagues["LCK"].average_player(position)
    return dict(zip(PLAYER_STATS, average.tolist(), strict=True))


def test_one_game_by_hand() -> None:
    """Each stat of the mid laner is drawn to the role's average by the strength of each horizon."""
    history = observed(game())
    role = of_role(history, MID)
    truth = {
        "kills": 6,
        "assists": 5,
        "deaths": 0,
        "kill_share": 6 / 20,
        "assist_share": 5 / 20,
        "kill_participation": 11 / 20,
        "team_kills": 20,
        "opponent_kills": 6,
        "minutes": 30,
        "won": 1,
        "damage_share": 0.2,
        "vision_per_minute": 1.0,
    }
    features = of_player(history, START_US)
    for stat in PLAYER_STATS:
        year = (truth[stat] + STRENGTHS[2] * role[stat]) / (1 + STRENGTHS[2])
        split = (truth[stat] + STRENGTHS[1] * year) / (1 + STRENGTHS[1])
        form = (truth[stat] + STRENGTHS[0] * split) / (1 + STRENGTHS[0])
        assert features[f"{stat}_hl40"] == pytest.approx(year), stat
        assert features[f"{stat}_hl12"] == pytest.approx(split), stat
        assert features[f"{stat}_hl4"] == pytest.approx(form), stat
    assert (features["games_known"], features["games_30d"], features["days_since_last_game"]) == (1, 1, 0)


def test_an_unknown_player_is_the_average_of_role_and_league() -> None:
    """Without a game of his own, all horizons are the prior and the window is empty."""
    history = observed(game())
    role = of_role(history, TOP)
    features = of_player(history, START_US, "nobody", TOP)
    for stat in PLAYER_STATS:
        for half_life in (4, 12, 40):
            assert features[f"{stat}_hl{half_life}"] == pytest.approx(role[stat])
    for name in ("avg_kills_30d", "std_kills_30d", "form_z_score", "volatility_index", "days_since_last_game"):
        assert np.isnan(features[name]), name
    assert (features["games_30d"], features["games_known"]) == (0, 0)
    assert "nobody" not in history.players


def test_a_role_average_by_hand() -> None:
    """Both top laners of a game count once, drawn to the average of all leagues."""
    prior = LeagueHistory().average_player(TOP)[0]
    decay = 0.5 ** (1 / 240)  # 120 games, two players each
    expected = (3 * decay + 0 + ROLE_PULL * prior) / (decay + 1 + ROLE_PULL)
    assert of_role(observed(game()), TOP)["kills"] == pytest.approx(expected)
    assert of_context(observed(game()))["league_top_kills"] == pytest.approx(expected)


def test_the_context_names_its_roles() -> None:
    """Each role's kills, assists and deaths stand under its name."""
    history = observed(game())
    context = of_context(history)
    for at, position in enumerate(POSITIONS):
        for stat in ("kills", "assists", "deaths"):
            assert context[f"league_{position}_{stat}"] == of_role(history, at)[stat]


def test_the_window_ends_after_thirty_days() -> None:
    """A game of exactly thirty days ago is in the window, a microsecond more and it is out."""
    history = observed(game(), game(START_US + 10 * DAY_US, number=2))
    inside = of_player(history, START_US + 30 * DAY_US)
    assert (inside["games_30d"], inside["days_since_last_game"]) == (2, 20)
    outside = of_player(history, START_US + 30 * DAY_US + 1)
    assert outside["games_30d"] == 1
    assert outside["games_known"] == 2


def test_the_window_by_hand() -> None:
    """Plain means and population deviations of the last thirty days."""
    lines = ((3, 1, 4), (2, 2, 9), (2, 4, 1), (8, 1, 3), (1, 2, 14))
    other = replace(game(START_US + DAY_US, number=2), teams=(side("blue", lines, won=True), game().teams[1]))
    features = of_player(observed(game(), other), START_US + 2 * DAY_US)
    assert (features["avg_kills_30d"], features["avg_assists_30d"], features["avg_deaths_30d"]) == (4, 3, 2)
    assert (features["std_kills_30d"], features["std_assists_30d"]) == (2, 2)
    assert np.isnan(features["form_z_score"])  # five games make a form


def test_a_rest_is_counted_up_to_a_month() -> None:
    """Whatever the length of the off-season, it is an off-season."""
    history = observed(game())
    assert of_player(history, START_US + DAY_US // 2)["days_since_last_game"] == 0.5
    assert of_player(history, START_US + 200 * DAY_US)["days_since_last_game"] == 30


def test_form_by_hand() -> None:
    """Five games better than the five before: the z-score of their mean, and the spread relative to the mean."""
    bad, good = ((1, 1, 1),) * 5, ((4, 1, 4),) * 5
    games = [
        replace(
            game(START_US + day * DAY_US, number=day),
            teams=(side("blue", bad if day < 5 else good, won=True), game().teams[1]),
        )
        for day in range(10)
    ]
    features = of_player(observed(*games), START_US + 9 * DAY_US)
    assert features["form_z_score"] == pytest.approx((8 - 5) / (3 / 5**0.5))
    assert features["volatility_index"] == pytest.approx(3 / 5)
    trend = features["kills_hl4"] + features["assists_hl4"] - features["kills_hl40"] - features["assists_hl40"]
    assert features["recent_performance_trend"] == pytest.approx(trend)
    assert trend > 0


def test_always_the_same_is_no_form() -> None:
    """Without spread, form and volatility are nothing rather than infinite."""
    features = of_player(observed(*(game(START_US + day, number=day) for day in range(6))), START_US + 6)
    assert (features["form_z_score"], features["volatility_index"]) == (0, 0)


def test_missing_stats_leave_the_prior_and_lower_the_quality() -> None:
    """A source without damage and vision teaches nothing of them, and the share of known stats says so."""
    poor = game()
    players = tuple(replace(one, damage_share=NAN, vision_score=NAN) for one in poor.teams[0].players)
    history = observed(replace(poor, teams=(replace(poor.teams[0], players=players), poor.teams[1])))
    role = of_role(history, MID)
    features = of_player(history, START_US)
    for half_life in (4, 12, 40):
        assert features[f"damage_share_hl{half_life}"] == pytest.approx(role["damage_share"])
        assert features[f"vision_per_minute_hl{half_life}"] == pytest.approx(role["vision_per_minute"])
    assert history.players["blue-mid"].quality == pytest.approx(10 / 12)
    assert history.players["red-mid"].quality == 1


def test_a_game_without_kills_has_no_shares() -> None:
    """Nothing is divided by nothing: the shares stay the role's."""
    none = ((0, 1, 0),) * 5
    history = observed(replace(game(), teams=(side("blue", none, won=True), game().teams[1])))
    assert of_player(history, START_US)["kill_share_hl40"] == pytest.approx(of_role(history, MID)["kill_share"])


def test_elo_by_hand() -> None:
    """Equals exchange half a step; what one wins the other loses."""
    history = observed(game())
    assert history.teams["blue"].elo == START_ELO + ELO_STEP / 2
    assert history.teams["red"].elo == START_ELO - ELO_STEP / 2
    assert elo_gain(1700, 1300, won=True) == pytest.approx(ELO_STEP / 11)
    assert elo_gain(1700, 1300, won=False) == pytest.approx(-ELO_STEP * 10 / 11)


@pytest.mark.parametrize("own", [1200.0, 1500.0, 1733.3])
@pytest.mark.parametrize("won", [True, False])
def test_elo_is_symmetric(own: float, won: bool) -> None:
    """The gain of one side is the loss of the other, whoever is asked first."""
    assert elo_gain(own, 1500, won=won) == pytest.approx(-elo_gain(1500, own, won=not won))


def test_the_order_of_the_teams_does_not_matter() -> None:
    """Blue and red are only sides: ratings and team features are the same either way round."""
    one, two = game(), replace(game(START_US + DAY_US, number=2), patch="16.02")
    history = observed(one, two)
    turned = observed(*(replace(each, teams=each.teams[::-1]) for each in (one, two)))
    for team in ("blue", "red"):
        ours, theirs = of_team(history, team), of_team(turned, team)
        assert ours == pytest.approx(theirs, rel=1e-3)  # the league's average weighs the later side a little more
        assert ours["elo"] == pytest.approx(theirs["elo"])


def test_a_team_by_hand() -> None:
    """Kills, deaths, results and what it allowed to each role, drawn to the league's average team."""
    history = observed(game())
    average = dict(zip(TEAM_FEATURES, history.leagues["LCK"].average_team().tolist(), strict=False))
    blue = of_team(history, "blue")
    truth = {"team_kills": 20, "team_deaths": 6, "won": 1, "minutes": 30}
    truth |= {f"{POSITIONS[at]}_kills_allowed": kills for at, (kills, _, _) in enumerate(RED_LINES)}
    truth |= {f"{POSITIONS[at]}_assists_allowed": assists for at, (_, _, assists) in enumerate(RED_LINES)}
    for stat, value in truth.items():
        year = (value + 6 * average[f"{stat}_hl8"]) / 7
        assert blue[f"{stat}_hl30"] == pytest.approx(year), stat
        assert blue[f"{stat}_hl8"] == pytest.approx((value + 3 * year) / 4), stat
    assert (blue["elo"], blue["games_known"]) == (START_ELO + ELO_STEP / 2, 1)


@pytest.mark.parametrize("team", [None, "newcomers"])
def test_an_unknown_team_is_the_leagues_average(team: str | None) -> None:
    """All horizons and its state are the league's average team; its ratings are the first ones."""
    history = observed(game())
    context = of_context(history)
    features = of_team(history, team)
    for name in TEAM_FEATURES:
        if name not in {*RATINGS, "games_known"}:
            assert features[name] == pytest.approx(context[f"league_{name}"]), name
    assert (features["elo"], features["games_known"]) == (START_ELO, 0)
    assert (features["rating"], features["roster_strength"]) == (0, 0)
    for name in RATINGS:  # before the first game of a league its average rating is the first one
        assert features[name] == pytest.approx(of_context(history, "LPL")[f"league_{name}"]), name
    assert set(history.teams) == {"blue", "red"}


def test_a_game_of_unknown_teams_still_tells_of_its_players() -> None:
    """Players, league and patch learn from it; no team and no rating does."""
    nameless = game()
    history = observed(replace(nameless, teams=(replace(nameless.teams[0], team_id=None), nameless.teams[1])))
    assert not history.teams
    assert of_player(history, START_US)["games_known"] == 1
    assert of_context(history)["league_games_known"] == 1
    assert of_context(history)["patch_games"] == 1


def test_a_missing_position_allows_nothing() -> None:
    """A team whose top laner is unknown says nothing of what the other allowed to tops."""
    whole = game()
    history = observed(
        replace(whole, teams=(whole.teams[0], replace(whole.teams[1], players=whole.teams[1].players[1:])))
    )
    average = of_context(history)["league_top_kills_allowed_hl8"]
    assert of_team(history, "blue")["top_kills_allowed_hl30"] == pytest.approx(average)


def test_a_patch_by_hand() -> None:
    """Averages per team, drawn to those of all patches by the weight of thirty games."""
    history = observed(game(), game(START_US + DAY_US, "16.02", minutes=50, number=2))
    context = of_context(history, patch="16.02")
    assert context["patch_team_kills"] == pytest.approx(13)
    assert context["patch_minutes"] == pytest.approx((50 + PATCH_PULL * 40) / (1 + PATCH_PULL))
    assert context["patch_games"] == 1


def test_an_unknown_patch_is_the_average_of_all() -> None:
    """A new patch and a patch that no source names are both only the average; the latter is never learned."""
    history = observed(game(), game(START_US + DAY_US, "", minutes=50, number=2))
    for patch in ("16.09", ""):
        context = of_context(history, patch=patch)
        assert context["patch_minutes"] == pytest.approx(40)
        assert context["patch_games"] == 0


def test_an_unknown_league_is_the_average_of_all_times() -> None:
    """A league without a game has the first averages and says that it has none."""
    context = of_context(observed(game()), "LPL")
    assert context["league_elo"] == pytest.approx(START_ELO)
    assert context["league_games_known"] == 0
    assert context["league_team_kills_hl30"] == pytest.approx(13)


def test_a_player_keeps_what_he_was_last() -> None:
    """Team, role and league are the newest; leagues and champions are remembered."""
    moved = replace(game(START_US + DAY_US, number=2), league="LPL")
    player = observed(game(), moved).players["blue-mid"]
    assert (player.team_id, player.position, player.last_league) == ("blue", MID, "LPL")
    assert player.leagues == {"LCK", "LPL"}
    assert list(player.champions) == ["champion 2"] * 2
