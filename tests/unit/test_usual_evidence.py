"""What is usual: means over those who play now, of a role in its league where there are enough of them."""

from __future__ import annotations

import numpy as np
import pytest

from actors.published import PlayerEntry, TournamentEntry
from actors.usual_evidence import LEAST_PLAYERS, UsualEvidence
from stores.features.schema import PLAYER_FEATURES

TOP, MID, BOT = 0, 2, 3
KILLS, LATELY, FORM = (PLAYER_FEATURES.index(name) for name in ("kills_hl40", "games_30d", "form_z_score"))
LEAGUES = (TournamentEntry("LCK", "16.10", 300), TournamentEntry("LPL", "16.10", 100))


def usual_of(*players: tuple[int, str, int, float, float]) -> UsualEvidence:
    """Of players with role, league, known games, games of the last 30 days and kills; nobody's form is known."""
    entries = [
        PlayerEntry(f"p{at}", f"Player {at}", position, None, None, league, games)
        for at, (position, league, games, _, _) in enumerate(players)
    ]
    rows = np.zeros((len(players), len(PLAYER_FEATURES)))
    rows[:, LATELY], rows[:, KILLS] = [one[3] for one in players], [one[4] for one in players]
    rows[:, FORM] = np.nan
    contexts = {"LCK": np.array([10.0, 1.0]), "LPL": np.array([20.0, np.nan])}
    return UsualEvidence(entries, dict(zip((one.key for one in entries), rows, strict=True)), LEAGUES, contexts)


def test_a_role_of_a_league_has_its_own_mean() -> None:
    """Weighted by the games of the last 30 days, so that who has stopped playing no longer counts."""
    here = [(MID, "LCK", 500, float(at), 2.0 + at) for at in range(LEAST_PLAYERS)]
    usual = usual_of(*here, (MID, "LPL", 500, 10.0, 9.0), (TOP, "LCK", 500, 10.0, 1.0))
    weights = np.arange(LEAST_PLAYERS)
    assert usual.player(MID, "LCK")[KILLS] == pytest.approx(np.average(2.0 + weights, weights=weights))
    of_role = np.average([*(2.0 + weights), 9.0], weights=[*weights, 10.0])
    assert usual.player(MID, "LPL")[KILLS] == pytest.approx(of_role)  # one player is no usual player
    assert usual.player(TOP, "LCK")[KILLS] == 1.0
    assert np.isnan(usual.player(MID, "LCK")[FORM])


def test_between_seasons_all_known_games_count() -> None:
    """Where nobody played lately, everyone weighs what is known of him; a role that nobody has is that of all."""
    usual = usual_of((MID, "LCK", 300, 0.0, 4.0), (MID, "LCK", 100, 0.0, 8.0), (TOP, "LPL", 400, 0.0, 1.0))
    assert usual.player(MID, "LCK")[KILLS] == pytest.approx(5.0)
    assert usual.player(BOT, "LCK")[KILLS] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("lately", "expected"), [((3.0, 1.0), (12.5, 1.0)), ((0.0, 0.0), (12.5, 1.0)), ((0.0, 5.0), (20.0, np.nan))]
)
def test_a_league_weighs_what_is_played_in_it(lately: tuple[float, float], expected: tuple[float, float]) -> None:
    """The games of its players in the last 30 days, and where nobody played its known games; NaN is left out."""
    usual = usual_of((MID, "LCK", 10, lately[0], 1.0), (MID, "LPL", 10, lately[1], 1.0))
    assert usual.league == pytest.approx(expected, nan_ok=True)
