"""The silver tables' rows: resolved seats and games, the columns derived from them, and the way to Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from stores.errors import InvalidError
from stores.lake.tables import MATCH_RESULTS, PLAYER_PERFORMANCE

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.lineups import Lineups

_OF_GAME = (
    "match_id",
    "series_id",
    "tournament",
    "started_at",
    "game_number",
    "patch_version",
    "duration_seconds",
)


def player_performance(lineup: Lineups, games: pl.DataFrame, processing_version: str) -> pl.DataFrame:
    """The rows of ``player_performance``: the known players of the games that hold."""
    teams = lineup.slots.select(
        "match_id",
        "label",
        "team",
        "team_id",
        "team_kills",
        pl.col("team", "team_id").reverse().over("match_id").name.map(lambda name: name.replace("team", "opponent")),
        pl.col("team_kills").reverse().over("match_id").alias("opponent_kills"),  # two slots: the other one
    )
    seats = lineup.seats.filter(pl.col("player_id").is_not_null()).drop(*_OF_GAME[2:], "team", "team_kills", "opponent")
    return (
        seats.join(games.filter(pl.col("reason").is_null()).select(_OF_GAME), on="match_id")
        .join(teams, on=["match_id", "label"])
        .with_columns(
            pl.col("started_at").dt.date().alias("date"),
            *_rates(),
            pl.lit(processing_version).alias("processing_version"),
        )
        .sort("match_id", "subject")
        .select(PLAYER_PERFORMANCE.schema.names)
    )


def match_results(games: pl.DataFrame, processing_version: str) -> pl.DataFrame:
    """The rows of ``match_results``: the games that hold."""
    return (
        games.filter(pl.col("reason").is_null())
        .with_columns(
            pl.col("started_at").dt.date().alias("date"),
            pl.lit(processing_version).alias("processing_version"),
        )
        .sort("match_id")
        .select(MATCH_RESULTS.schema.names)
    )


def _rates() -> tuple[pl.Expr, ...]:
    taken_part = pl.col("kills") + pl.col("assists")
    minutes = pl.col("duration_seconds")
    return (
        _decimal(taken_part, pl.max_horizontal(pl.col("deaths"), 1), 5, 2).alias("kda"),
        _decimal(taken_part, pl.col("team_kills"), 5, 4, most=1).alias("kill_participation"),
        _decimal(pl.col("damage_to_champions") * 60, minutes, 8, 2).alias("damage_per_minute"),
        _decimal(pl.col("gold").cast(pl.Int64) * 60, minutes, 8, 2).alias("gold_per_minute"),
    )


def _decimal(over: pl.Expr, under: pl.Expr, precision: int, scale: int, most: int | None = None) -> pl.Expr:
    """A ratio of counts, rounded half up in whole numbers; null where nothing is divided by, clipped to what fits."""
    unit = 10**scale
    top, bottom = over.cast(pl.Int64), under.cast(pl.Int64)
    largest = 10**precision - 1 if most is None else most * unit
    units = ((2 * unit * top + bottom) // (2 * bottom)).clip(-largest, largest)
    return pl.when(bottom > 0).then(units / unit).cast(pl.Decimal(precision, scale))


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame as an Arrow table of exactly this schema, nothing lost: raises where a value does not fit.

    ``InvalidError`` names a column that the frame lacks or has beyond the schema.
    """
    odd = sorted(set(frame.columns) ^ set(schema.names))
    if odd:
        raise InvalidError(f"the frame and the schema differ in {', '.join(odd)}", odd[0])
    return frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
