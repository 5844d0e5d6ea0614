"""How long features may be answered with before the lake has confirmed them again, and what is said when it has not."""

from __future__ import annotations

FRESH_S = 60.0  # a game changes answers within this time, where the lake confirms that there is no newer one
PLAYER_LIFETIME_S = 3600.0  # of players, teams and champions; those of the Redis keys of the same things
TOURNAMENT_LIFETIME_S = 7200.0


def staleness(age_s: float) -> tuple[str, ...]:
    """The warnings of features that the lake confirmed ``age_s`` seconds ago."""
    if age_s <= FRESH_S:
        return ()
    if age_s <= PLAYER_LIFETIME_S:
        return (f"features unconfirmed for {age_s:.0f} s",)
    stale = "players and teams" if age_s <= TOURNAMENT_LIFETIME_S else "players, teams and tournaments"
    return (f"stale features: {stale} unconfirmed for {age_s:.0f} s",)
