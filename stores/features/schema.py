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
PLAYER_FEATURES: Final = (
    tuple(f"{stat}_hl{half_life}" for half_life in PLAYER_HALF_LIVES for stat in PLAYER_STATS) + PLAYER_WINDOW
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
TEAM_FEATURES: Final = (
    *(f"{stat}_hl{half_life}" for half_life in TEAM_HALF_LIVES for stat in TEAM_STATS),
    "elo",
    "games_known",
)

# --- of a league and its patch ---------------------------------------------------------------------------------------
ROLE_STATS: Final = ("kills", "assists", "deaths")
CONTEXT_FEATURES: Final = (
    *(f"league_{name}" for name in TEAM_FEATURES),  # the league's average team, in the shape of a team
    *(f"league_{position}_{stat}" for position in POSITIONS for stat in ROLE_STATS),
    "patch_team_kills",
    "patch_minutes",
    "patch_games",
)

# --- the row that the model sees -------------------------------------------------------------------------------------
SEEN_OF_TEAM: Final = tuple(
    f"{stat}_hl{half_life}" for half_life in TEAM_HALF_LIVES for stat in ("team_kills", "team_deaths", "won", "minutes")
)
ALLOWED_FEATURES: Final = tuple(
    f"{prop}_allowed_hl{half_life}" for half_life in TEAM_HALF_LIVES for prop in ("kills", "assists")
)
MODEL_FEATURES: Final = (
    *(f"player_{name}" for name in PLAYER_FEATURES),
    *(f"team_{name}" for name in SEEN_OF_TEAM),
    "team_elo",
    *(f"opponent_{name}" for name in SEEN_OF_TEAM),
    "opponent_elo",
    *(f"opponent_{name}" for name in ALLOWED_FEATURES),
    "league_team_kills",
    "league_minutes",
    "league_elo",
    *(f"role_{stat}" for stat in ROLE_STATS),
    "patch_team_kills",
    "patch_minutes",
    "elo_difference",
    "expected_team_kills",
    "expected_kills_by_share",
    "expected_assists_by_share",
    "position",
    "game_number",
)

FEATURE_VERSION: Final = "f1-" + hashlib.sha256("\n".join(MODEL_FEATURES).encode()).hexdigest()[:8]
