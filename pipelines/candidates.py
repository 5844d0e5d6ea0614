"""The shape between cleaning and resolving: typed rows, one per player or team of a game, sources not yet merged."""

from __future__ import annotations

import polars as pl

# where a row came from; the other fields are what it says
SOURCE_FIELDS = ("source", "source_sha256", "layout", "row_number", "ingested_at")

CANDIDATE_SCHEMA: dict[str, pl.DataType] = {
    # where the row came from
    "source": pl.String(),
    "source_sha256": pl.String(),
    "layout": pl.String(),
    "row_number": pl.Int64(),
    "ingested_at": pl.Datetime("us", "UTC"),
    # which game and who
    "match_id": pl.String(),  # gameid as given
    "participant_id": pl.Int32(),  # 1 to 10 players, 100/200 teams; null in the top-league layouts
    "side": pl.String(),  # Blue, Red or null
    "position": pl.String(),  # top jng mid bot sup, or team
    "player_name": pl.String(),  # null on team rows and for `unknown player`
    "source_player_id": pl.String(),  # oe:player:… or null
    "team": pl.String(),  # null for `unknown team`
    "source_team_id": pl.String(),  # oe:team:… or null
    "opponent": pl.String(),  # only the top-league layouts name it
    "champion": pl.String(),  # null on team rows
    # the game
    "tournament": pl.String(),  # the league's short name
    "started_at": pl.Datetime("us", "UTC"),
    "game_number": pl.Int32(),
    "patch_version": pl.String(),  # text, two digits after the dot: 15.10
    "duration_seconds": pl.Int32(),
    "won": pl.Boolean(),
    # counts; null where the layout or the game lacks them
    "kills": pl.Int32(),
    "deaths": pl.Int32(),
    "assists": pl.Int32(),
    "team_kills": pl.Int32(),
    "towers": pl.Int32(),
    "dragons": pl.Int32(),
    "barons": pl.Int32(),
    "cs": pl.Int32(),
    "gold": pl.Int32(),
    "damage_to_champions": pl.Int64(),
    "damage_share": pl.Float64(),
    "vision_score": pl.Int32(),
    "cs_at_10": pl.Int32(),
    "gold_at_10": pl.Int32(),
    "xp_at_10": pl.Int32(),
    "cs_at_15": pl.Int32(),
    "gold_diff_at_15": pl.Int32(),
    "xp_diff_at_15": pl.Int32(),
}
