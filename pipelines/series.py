"""Which games belong to one series. The sources give a series no id, so it is read from pairs, starts and numbers."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

LONGEST_PAUSE = timedelta(hours=12)  # no best of five pauses overnight
_NAMED_SERIES = r"^(.+)_game_\d+$"  # LPL ids carry their series: 11715-11715_game_1


def series_ids(games: pl.DataFrame) -> pl.DataFrame:
    """The series of every game: ``match_id, series_id``, one row per game, in order of ``match_id``.

    ``games`` has unique ``match_id`` and ``started_at, game_number, blue_team_id, red_team_id``. The id is the
    match id of the series' first game, so it stays when later games arrive. Who is blue does not matter. A game with
    a team unknown is paired by the series in its own id, else it is a series of its own.
    """
    ordered = games.select(
        "match_id",
        "started_at",
        "game_number",
        pl.coalesce(_pair(), pl.col("match_id").str.extract(_NAMED_SERIES), "match_id").alias("pair"),
    ).sort("pair", "started_at", "game_number", "match_id", nulls_last=True)
    pause = pl.col("started_at") - pl.col("started_at").shift().over("pair")
    former_number = pl.col("game_number").shift().over("pair")
    begins = (
        (pause >= LONGEST_PAUSE).fill_null(value=True)  # the first of its pair
        | (pl.col("game_number") == 1).fill_null(value=False)
        | (pl.col("game_number") <= former_number).fill_null(value=False)  # the source lacks the first game
    )
    return ordered.select(
        "match_id",
        pl.when(begins).then("match_id").forward_fill().alias("series_id"),
    ).sort("match_id")


def _pair() -> pl.Expr:
    blue, red = pl.col("blue_team_id"), pl.col("red_team_id")
    # concat_str is null where a team is unknown
    return pl.concat_str(pl.min_horizontal(blue, red), pl.max_horizontal(blue, red), separator="\x1f").pipe(
        lambda pair: pl.when(blue.is_not_null() & red.is_not_null() & (blue != red)).then(pair)
    )
