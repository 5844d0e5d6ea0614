"""Who played a game and for whom: the seats of a game (ten players), its slots (two teams), and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.identity import MENTION_SCHEMA, identify, newest_names, one_id_per_brand
from pipelines.series import series_ids

_SEAT = ["match_id", "position", "champion"]  # champions are unique within a game
_COUNTS = ("kills", "deaths", "assists", "team_kills")
_TOP_LEAGUE_FIRST = ("tournament", "patch_version")  # LCS, not LTA N; 15.10, once read as a float elsewhere
_WIDE_FIRST = ("started_at", "game_number", "duration_seconds")
_OBJECTIVES = ("towers", "dragons", "barons")
_SLOT = ["match_id", "label"]


class Reason(StrEnum):
    """Why rows are quarantined. All but the first and the last take out the whole game."""

    NO_GAME = "the row names no game"
    NOT_TEN = "incomplete game: not ten players"
    NO_START = "the game has no start"
    NOT_TWO_TEAMS = "not two teams of five players"
    SAME_TEAM = "both teams are the same"
    NOT_ONE_WINNER = "not exactly one team won"
    POSITIONS = "a team without five different positions"
    NO_COUNTS = "kills, deaths or assists are missing"
    KILLS = "the players' kills do not sum to the team's"
    SAME_PLAYER = "one player twice in the game"
    UNKNOWN_PLAYER = "unknown player"


@dataclass(frozen=True, slots=True, eq=False)
class Lineups:
    """The seats and slots of all games.

    ``seats``: one row per player per game, ``row`` and ``row_top`` tell the wide and the top-league row it is made
    of, ``label`` its slot. ``slots``: one row per team per game, blue first, else the team listed first.
    """

    seats: pl.DataFrame
    slots: pl.DataFrame


def lineups(newest: pl.DataFrame) -> Lineups:
    """The seats and slots of rows that each name a game, no two of which repeat one another."""
    team_row = pl.col("position").eq_missing("team")
    seats = _seats(newest.filter(~team_row))
    slots = _with_objectives(_with_team_ids(_slots(seats)), newest.filter(team_row))
    return Lineups(_with_player_ids(seats, slots), slots)


def _seats(players: pl.DataFrame) -> pl.DataFrame:
    """Merge the rows of both layout families. The newer one's counts are taken whole, the wide one's on a tie."""
    top = players.filter("top_league")
    both = players.filter(~pl.col("top_league")).join(
        top.rename({name: f"{name}_top" for name in top.columns if name not in _SEAT}),
        on=_SEAT,
        how="full",
        coalesce=True,
        nulls_equal=True,
    )
    newer = (pl.col("ingested_at_top") > pl.col("ingested_at")).fill_null(value=False)
    apart = ("player_name", "team", "ingested_at", "source", *_TOP_LEAGUE_FIRST, *_COUNTS)
    plain = [name for name in CANDIDATE_SCHEMA if name not in (*_SEAT, *apart)]
    return both.select(
        *_SEAT,
        "row",
        "row_top",
        "player_name",
        "player_name_top",
        "team",
        "team_top",
        *(pl.coalesce(name, f"{name}_top") for name in plain),
        *(pl.coalesce(f"{name}_top", name).alias(name) for name in _TOP_LEAGUE_FIRST),
        *(
            pl.when(newer).then(pl.coalesce(f"{c}_top", c)).otherwise(pl.coalesce(c, f"{c}_top")).alias(c)
            for c in _COUNTS
        ),
        pl.any_horizontal((pl.col(c) != pl.col(f"{c}_top")).fill_null(value=False) for c in _COUNTS[:3]).alias(
            "contradicts"
        ),
        pl.col("tournament_top").alias("top_tournament"),
        pl.max_horizontal("ingested_at", "ingested_at_top"),
        pl.concat_str("source", "source_top", separator="+", ignore_nulls=True).alias("data_source"),
    ).pipe(_placed)


def _placed(seats: pl.DataFrame) -> pl.DataFrame:
    """Name the slot of each seat: its side, else its team; a side that one source omits is that of its team mates."""
    side = pl.coalesce("side", pl.col("side").max().over("match_id", "won"))
    return (
        seats.with_columns(side.alias("side"))
        .with_columns(pl.coalesce("side", "team_top", "team", pl.lit("")).alias("label"))
        .sort("match_id", "label", "participant_id", "position", "champion", "row", "row_top")
        .with_row_index("subject")
    )


def _slots(seats: pl.DataFrame) -> pl.DataFrame:
    listed = pl.when(pl.col("side").first().is_null()).then(pl.col("row_number").min())
    return (
        seats.group_by(_SLOT)
        .agg(
            listed.alias("listed"),
            *(_first(name) for name in ("side", "team", "team_top", "source_team_id", "started_at")),
            pl.col("ingested_at").max(),
            pl.len().alias("size"),
            pl.col("position").drop_nulls().n_unique().alias("positions"),
            (pl.col("won").n_unique() == 1).alias("agreed"),
            _first("won"),
            pl.any_horizontal(pl.col(_COUNTS[:3]).is_null()).any().alias("uncounted"),
            (pl.col("team_kills").drop_nulls().n_unique() <= 1).alias("one_sum"),
            pl.col("kills").sum().alias("kills"),
            pl.coalesce(pl.col("team_kills").max(), pl.col("kills").sum()).alias("team_kills"),
        )
        .sort("match_id", "listed", "label", nulls_last=False)
        .with_row_index("subject")
    )


def _first(name: str) -> pl.Expr:
    return pl.col(name).drop_nulls().first()


def _mentions(subjects: pl.DataFrame, source_id: str, name: str, group: pl.Expr) -> pl.DataFrame:
    """What both layout families call the subjects; ``name`` and ``name``_top are the columns that say so."""
    return pl.concat(
        subjects.select(
            "subject",
            pl.col(source_id).alias("source_id"),
            pl.col(column).alias("name"),
            group.alias("group"),
            pl.col("started_at").alias("at"),
            pl.lit(top_league).alias("top_league"),
            "ingested_at",
        ).cast(pl.Schema(MENTION_SCHEMA))
        for column, top_league in ((name, False), (f"{name}_top", True))
    )


def _with_team_ids(slots: pl.DataFrame) -> pl.DataFrame:
    mentions = one_id_per_brand(_mentions(slots, "source_team_id", "team", pl.lit(None, pl.String)))
    ids = identify(mentions)
    return (
        slots.drop("team")
        .join(ids.rename({"id": "team_id"}), on="subject", how="left", maintain_order="left")
        .join(
            newest_names(mentions, ids).rename({"id": "team_id", "name": "team"}),
            on="team_id",
            how="left",
            maintain_order="left",
        )
    )


def _with_player_ids(seats: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    grouped = seats.join(slots.select(*_SLOT, "team_id"), on=_SLOT, how="left", maintain_order="left")
    mentions = _mentions(grouped, "source_player_id", "player_name", pl.col("team_id"))
    ids = identify(mentions)
    names = newest_names(mentions, ids).rename({"id": "player_id", "name": "player_name"})
    return (
        seats.drop("player_name")
        .join(ids.rename({"id": "player_id"}), on="subject", how="left", maintain_order="left")
        .join(names, on="player_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("player_name", "player_id"))
    )


def _with_objectives(slots: pl.DataFrame, team_rows: pl.DataFrame) -> pl.DataFrame:
    """Fold in what only the team rows of the wide layouts know. Those of the top-league layouts know nothing more."""
    taken = (
        team_rows.filter(pl.col("side").is_not_null())
        .group_by("match_id", pl.col("side").alias("label"))
        .agg(pl.col(_OBJECTIVES).max())
    )
    return slots.join(taken, on=_SLOT, how="left", maintain_order="left")


def judged_games(lineup: Lineups) -> pl.DataFrame:
    """One row per game, with the columns of ``match_results`` that the sources know and ``reason``, null if it holds.

    The series is found over all games, so that it does not change when a quarantined game is mended.
    """
    per_seat = lineup.seats.group_by("match_id").agg(
        pl.coalesce(_first("top_tournament"), _first("tournament")).alias("tournament"),
        _first("patch_version"),
        *(_first(name) for name in _WIDE_FIRST),
        pl.col("ingested_at").max(),
        pl.col("data_source").str.split("+").explode().unique().sort().str.join("+").alias("data_source"),
        pl.col("player_id").drop_nulls().is_duplicated().any().alias("same_player"),
    )
    kept = {"team": "team", "team_id": "team_id", "team_kills": "kills"} | {name: name for name in _OBJECTIVES}
    sides = [
        pl.col(name).get(at, null_on_oob=True).alias(f"{colour}_{shown}")
        for at, colour in ((0, "blue"), (-1, "red"))
        for name, shown in kept.items()
    ]
    per_slot = lineup.slots.group_by("match_id", maintain_order=True).agg(
        *sides,
        pl.col("side").is_not_null().all().alias("side_known"),
        pl.col("team").filter(pl.col("won").fill_null(value=False)).first().alias("winning_team"),
        pl.len().alias("slots"),
        pl.col("size").sum().alias("players"),
        (pl.col("size") == 5).all().alias("fives"),
        pl.col("agreed").all() & (pl.col("won").sum() == 1) & pl.col("won").is_not_null().all(),
        (pl.col("positions") == 5).all(),
        pl.col("uncounted").any(),
        (pl.col("one_sum") & (pl.col("kills") == pl.col("team_kills"))).all().alias("sums"),
    )
    games = per_seat.join(per_slot, on="match_id").sort("match_id")
    return games.join(series_ids(games), on="match_id", how="left", maintain_order="left").with_columns(
        _verdict().alias("reason")
    )


def _verdict() -> pl.Expr:
    failures = {
        Reason.NOT_TEN: pl.col("players") != 10,
        Reason.NO_START: pl.col("started_at").is_null(),
        Reason.NOT_TWO_TEAMS: (pl.col("slots") != 2) | ~pl.col("fives"),
        Reason.SAME_TEAM: (pl.col("blue_team_id") == pl.col("red_team_id")).fill_null(value=False),
        Reason.NOT_ONE_WINNER: ~pl.col("agreed"),
        Reason.POSITIONS: ~pl.col("positions"),
        Reason.NO_COUNTS: pl.col("uncounted"),
        Reason.KILLS: ~pl.col("sums"),
        Reason.SAME_PLAYER: pl.col("same_player"),
    }
    return pl.coalesce(pl.when(failed).then(pl.lit(reason.value)) for reason, failed in failures.items())
