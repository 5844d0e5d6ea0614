"""The names of all features, in the order of their columns."""

from __future__ import annotations

import hashlib
from typing import Final

from stores.domain.props import Position

POSITIONS: Final = tuple(Position)
POSITION_INDEX: Final = {str(position): index for index, position in enumerate(POSITIONS)}

# --- of a player -----------------------------------------------------------------------------------------------------
PLAYER_STATS: Final = (
    "kills",
    "assists",
    "deaths",
    "kill_share",
    "assist_share",
    "kill_participation",
    "team_kills",
    "opponent_kills",
    "minutes",
    "won",
    "damage_share",
    "vision_per_minute",
)
PLAYER_HALF_LIVES: Final = (4, 12, 40)  # games: form, half a split, a year
PLAYER_WINDOW: Final = (
    "avg_kills_30d",
    "avg_assists_30d",
    "avg_deaths_30d",
    "std_kills_30d",
    "std_assists_30d",
    "form_z_score",
    "recent_performance_trend",
    "volatility_index",
    "games_30d",
    "games_known",
    "days_since_last_game",
)
SHARED_STATS: Final = ("kills", "assists", "deaths")  # each is a part of what a whole team made or suffered
RESULT_STATS: Final = ("kills_when_won", "kills_when_lost", "assists_when_won", "assists_when_lost")
PLAYER_STATE: Final = (
    *(f"{stat}_{part}" for stat in SHARED_STATS for part in ("factor", "variance")),
    "strength",
    "strength_variance",
)
PLAYER_POOL: Final = ("pool_kills", "pool_assists", "pool_champions")
PLAYER_FEATURES: Final = (
    *(f"{stat}_hl{half_life}" for half_life in PLAYER_HALF_LIVES for stat in PLAYER_STATS),
    *PLAYER_WINDOW,
    *RESULT_STATS,
    *PLAYER_STATE,
    *PLAYER_POOL,
)

# --- of a team -------------------------------------------------------------------------------------------------------
TEAM_STATS: Final = (
    "team_kills",
    "team_deaths",
    "won",
    "minutes",
    *(f"{position}_kills_allowed" for position in POSITIONS),
    *(f"{position}_assists_allowed" for position in POSITIONS),
)
TEAM_HALF_LIVES: Final = (8, 30)
TEAM_STATE: Final = ("attack", "attack_variance", "defence", "defence_variance", "length")
RATINGS: Final = ("elo", "rating", "rating_variance", "roster_strength")
LINEUP_FACTORS: Final = tuple(f"{position}_{stat}_factor" for stat in ("kills", "deaths") for position in POSITIONS)
TEAM_FEATURES: Final = (
    *(f"{stat}_hl{half_life}" for half_life in TEAM_HALF_LIVES for stat in TEAM_STATS),
    *TEAM_STATE,
    *LINEUP_FACTORS,  # of the players of its last game
    *RATINGS,
    "games_known",
)

# --- of a league and its patch ---------------------------------------------------------------------------------------
ROLE_STATS: Final = ("kills", "assists", "deaths")
RESULTS: Final = ("lost", "won")  # as index: whether the team won
LEAGUE_STATE: Final = ("kills_when_won", "kills_when_lost", "game_minutes", "patch_factor")
ROLE_SHARES: Final = tuple(
    f"{position}_{stat}_share_when_{result}" for stat in SHARED_STATS for result in RESULTS for position in POSITIONS
)
CONTEXT_FEATURES: Final = (
    *(f"league_{name}" for name in TEAM_FEATURES),  # the league's average team, in the shape of a team
    *(f"league_{position}_{stat}" for position in POSITIONS for stat in ROLE_STATS),
    "patch_team_kills",
    "patch_minutes",
    "patch_games",
    *(f"league_{name}" for name in LEAGUE_STATE),
    *ROLE_SHARES,
)

# --- of a champion in a role -----------------------------------------------------------------------------------------
CHAMPION_FEATURES: Final = ("champion_kills", "champion_assists", "champion_games")

# --- the row that the model sees -------------------------------------------------------------------------------------
SEEN_OF_TEAM: Final = tuple(
    f"{stat}_hl{half_life}" for half_life in TEAM_HALF_LIVES for stat in ("team_kills", "team_deaths", "won", "minutes")
)
ALLOWED_FEATURES: Final = tuple(
    f"{prop}_allowed_hl{half_life}" for half_life in TEAM_HALF_LIVES for prop in ("kills", "assists")
)
STATE_OF_TEAM: Final = ("elo", "attack", "attack_variance", "defence", "defence_variance", "length")
EXPECTATIONS: Final = tuple(f"expected_{prop}_when_{result}" for prop in ("kills", "assists") for result in RESULTS)
MODEL_FEATURES: Final = (
    *(f"player_{name}" for name in PLAYER_FEATURES),
    *(f"team_{name}" for name in SEEN_OF_TEAM),
    *(f"team_{name}" for name in STATE_OF_TEAM),
    *(f"opponent_{name}" for name in SEEN_OF_TEAM),
    *(f"opponent_{name}" for name in STATE_OF_TEAM),
    *(f"opponent_{name}" for name in ALLOWED_FEATURES),
    "opponent_role_kills_factor",
    "opponent_role_deaths_factor",
    "league_team_kills",
    "league_minutes",
    "league_elo",
    *(f"role_{stat}" for stat in ROLE_STATS),
    "patch_team_kills",
    "patch_minutes",
    "league_kills_when_won",
    "league_kills_when_lost",
    "league_game_minutes",
    "league_patch_factor",
    "elo_difference",
    "rating_difference",
    "rating_variance",
    "roster_difference",
    "expected_pace",
    "expected_opponent_pace",
    "expected_length",
    "lineup_kills_share",
    "expected_team_kills",
    "expected_kills_by_share",
    "expected_assists_by_share",
    *EXPECTATIONS,
    "position",
    "game_number",
)

FEATURE_VERSION: Final = "f2-" + hashlib.sha256("\n".join(MODEL_FEATURES).encode()).hexdigest()[:8]
