"""Candidate rows of all sources to the silver tables: one row per player per game, one row per game.

The steps, each of which accounts for the rows it takes out: repeated rows of overlapping exports (superseded), the
top-league row of a player whom a wide row describes as well (merged), rows that describe a team (team rows), and
what contradicts itself (quarantined). The result does not depend on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.candidates import CANDIDATE_SCHEMA, SOURCE_FIELDS
from pipelines.lineups import Reason, judged_games, lineups
from pipelines.silver_rows import match_results, player_performance
from stores.errors import RiftlineError
from stores.lake.tables import QUARANTINE

_COUNTED = ("kills", "deaths", "assists")  # what two sources may contradict each other on
_IDS = {"source_player_id": "player_name", "source_team_id": "team"}


class InvariantError(RiftlineError):
    """Rows were lost or counted twice: a mistake of ours, never of the data. Nothing may be written."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where every input row went. ``contradictions`` counts rows already counted elsewhere."""

    rows_in: int
    player_rows: int
    merged: int
    superseded: int
    team_rows: int
    quarantined: int
    contradictions: int  # superseded or merged rows whose kills, deaths or assists differ from the row kept

    def check(self) -> None:
        """Raise ``InvariantError`` unless every input row is accounted for exactly once."""
        accounted = self.player_rows + self.merged + self.superseded + self.team_rows + self.quarantined
        if accounted != self.rows_in:
            raise InvariantError(f"{self.rows_in} rows came in, {accounted} are accounted for: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """The silver tables' rows, with the columns of ``stores.lake.tables``, and where every input row went.

    ``quarantined`` lacks the payload (null): the row as received lies in bronze, see ``with_payload``.
    """

    players: pl.DataFrame
    matches: pl.DataFrame
    quarantined: pl.DataFrame
    counts: Counts


def resolve(candidates: pl.DataFrame, processing_version: str) -> Resolved:
    """Resolve the candidate rows of all sources at once. Raises ``InvariantError`` if the books do not balance.

    Rows that cleaning rejected need not be given: a game that lacks them is incomplete, unless another source has it.
    """
    rows = _ordered(candidates)
    newest = _newest(rows)
    lineup = lineups(newest.filter(pl.col("match_id").is_not_null()))
    games = judged_games(lineup)
    fates = _fates(newest, lineup.seats, games)
    players = player_performance(lineup, games, processing_version)
    counts = _counts(rows, fates, lineup.seats, players)
    counts.check()
    return Resolved(
        players,
        match_results(games, processing_version),
        _quarantined(fates),
        counts,
    )


def with_payload(quarantined: pl.DataFrame, bronze: pl.DataFrame) -> pl.DataFrame:
    """The quarantined rows with the payload of ``bronze.match_rows``, found by source hash and row number."""
    payloads = bronze.select("source_sha256", "row_number", "payload").unique(
        ["source_sha256", "row_number"], keep="first"
    )
    return (
        quarantined.drop("payload")
        .join(payloads, on=["source_sha256", "row_number"], how="left", nulls_equal=True)
        .select(QUARANTINE.schema.names)
    )


def _ordered(candidates: pl.DataFrame) -> pl.DataFrame:
    """Oldest first. The counts break ties, so that even equal origins have one order."""
    order = ("ingested_at", "source", "row_number", "source_sha256", "layout", "match_id", "participant_id")
    return (
        candidates.sort(*order, "position", "champion", "team", *_COUNTED, nulls_last=False)
        .with_row_index("row")
        .with_columns(pl.col("participant_id").is_null().alias("top_league"))
    )


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """The newest row of each participant within a layout family; ``contradicted`` counts the older that differ.

    What the newest row leaves open an older one fills in, its id only for the same name: a newer export may lack ids.
    """
    key = ["match_id", "top_league", "within_game"]
    keyed = rows.with_columns(_within_game().alias("within_game"))
    groups = keyed.group_by(key).agg(pl.len().alias("repeats"), pl.col("row").max().alias("newest"))
    keyed = keyed.join(groups, on=key, nulls_equal=True).sort("newest", "row").with_row_index("at")
    filled = [name for name in CANDIDATE_SCHEMA if name not in (*SOURCE_FIELDS, *_COUNTED, *_IDS, "match_id")]
    single = keyed.filter(pl.col("repeats") == 1).with_columns(pl.lit(0, pl.UInt32).alias("contradicted"))
    repeated = keyed.filter(pl.col("repeats") > 1)
    older_differs = pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).last().over("newest")) for c in _COUNTED)
    merged = (
        repeated.with_columns(older_differs.cast(pl.UInt32).sum().over("newest").alias("contradicted"))
        .with_columns(_filled(name) for name in filled)
        .with_columns(
            pl.when(pl.col(name).eq_missing(pl.col(name).last().over("newest"))).then(id_column).alias(id_column)
            for id_column, name in _IDS.items()
        )
        .with_columns(_filled(id_column) for id_column in _IDS)
        .filter(pl.col("row") == pl.col("newest"))
    )
    return pl.concat([single, merged]).drop("at", "newest", "repeats").sort("row")


def _filled(name: str) -> pl.Expr:
    """The column with its gaps filled from older rows of the same group; groups lie together, oldest row first.

    The same as ``forward_fill().over("newest")``, without the cost of a window per column.
    """
    told_at = pl.when(pl.col(name).is_not_null()).then("at").forward_fill()
    begins_at = pl.col("at").min().over("newest")
    return pl.when(told_at >= begins_at).then(pl.col(name).forward_fill()).alias(name)


def _within_game() -> pl.Expr:
    """What tells rows of one game and one layout family apart. Top-league layouts do not number the participants."""
    return (
        pl.when(pl.col("match_id").is_null())
        .then(pl.concat_str("source_sha256", "row_number", separator="/", ignore_nulls=True))
        .when("top_league")
        .then(pl.concat_str("position", pl.coalesce("champion", "player_name", "team", pl.lit("")), separator="/"))
        .otherwise(pl.col("participant_id").cast(pl.String))
    )


def _fates(newest: pl.DataFrame, seats: pl.DataFrame, games: pl.DataFrame) -> pl.DataFrame:
    """The newest rows with ``reason`` (null: kept), and of the players' rows whether they are ``merged``."""
    wide = seats.select("row", "player_id", merged=pl.lit(value=False))
    top = seats.select(pl.col("row_top").alias("row"), "player_id", merged=pl.col("row").is_not_null())
    of_players = pl.concat([wide, top]).drop_nulls("row").unique("row", keep="first", maintain_order=True)
    team_row = pl.col("position").eq_missing("team")
    reason = (
        pl.when(pl.col("match_id").is_null())
        .then(pl.lit(Reason.NO_GAME))
        .when(pl.col("judged").is_null())
        .then(pl.lit(Reason.NOT_TEN))  # a game of team rows only
        .when(pl.col("game_reason").is_not_null())
        .then("game_reason")
        .when(~team_row & pl.col("player_id").is_null())
        .then(pl.lit(Reason.UNKNOWN_PLAYER))
    )
    verdicts = games.select("match_id", pl.col("reason").alias("game_reason"), judged=pl.lit(value=True))
    return (
        newest.join(verdicts, on="match_id", how="left", maintain_order="left")
        .join(of_players, on="row", how="left", maintain_order="left")
        .with_columns(reason.alias("reason"), team_row.alias("team_row"))
    )


def _counts(rows: pl.DataFrame, fates: pl.DataFrame, seats: pl.DataFrame, players: pl.DataFrame) -> Counts:
    kept = fates.filter(pl.col("reason").is_null())
    older = int(fates["contradicted"].sum())
    return Counts(
        rows_in=rows.height,
        player_rows=players.height,
        merged=kept.filter(~pl.col("team_row") & pl.col("merged")).height,
        superseded=rows.height - fates.height,
        team_rows=kept.filter("team_row").height,
        quarantined=fates.height - kept.height,
        contradictions=older + int(seats["contradicts"].sum()),
    )


def _quarantined(fates: pl.DataFrame) -> pl.DataFrame:
    return (
        fates.filter(pl.col("reason").is_not_null())
        .with_columns(pl.lit(None, pl.String).alias("payload"))
        .select(QUARANTINE.schema.names)
        .sort("match_id", "source", "source_sha256", "row_number", "layout", nulls_last=True)
    )
