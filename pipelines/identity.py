"""Who a name is. Sources give an id, a name or both, and names are renamed, shared and spelt in several cases.

Works on *mentions*: one row per name that a source gave to a subject (a player in a game, a team in a game).
"""

from __future__ import annotations

import polars as pl

_AT = pl.Datetime("us", "UTC")
MENTION_SCHEMA: dict[str, pl.DataType] = {
    "subject": pl.UInt32(),  # who is asked for; a subject may be mentioned by two sources
    "source_id": pl.String(),  # the subject's id, the same in all its mentions; null where no source gives one
    "name": pl.String(),
    "group": pl.String(),  # narrows a name down, a player's team id; null where there is none
    "at": _AT,  # start of the game
    "top_league": pl.Boolean(),  # the mention is from a layout that has only names
    "ingested_at": _AT,
}


def name_key(name: pl.Expr) -> pl.Expr:
    """The form under which names are compared: trimmed, lower case, inner spaces kept, null where nothing is left."""
    key = name.str.strip_chars().str.to_lowercase()
    return pl.when(key != "").then(key)


def identify(mentions: pl.DataFrame) -> pl.DataFrame:
    """The canonical id of every subject: ``subject, id``, in order of subject; null where nothing names it.

    The source's id first. Else the id that bore the name in the latest game up to this one (failing that, in the
    first later one), asked in turn of: games of the same group; games that a top-league layout and a wide one both
    hold, where the wide one tells the id; all games. Else ``name:`` and the name's key. Of two ids in one game the
    smaller is taken.
    """
    keyed = mentions.with_columns(name_key(pl.col("name")).alias("key"), pl.col("at").fill_null(pl.lit(0).cast(_AT)))
    evidence = keyed.filter(pl.col("source_id").is_not_null() & pl.col("key").is_not_null())
    asked = keyed.filter(pl.col("source_id").is_null() & pl.col("key").is_not_null())
    told = pl.concat(
        [
            _latest_bearer(asked, evidence, ["key", "group"]).with_columns(tier=pl.lit(0)),
            _latest_bearer(asked, evidence.filter("top_league"), ["key"]).with_columns(tier=pl.lit(1)),
            _latest_bearer(asked, evidence, ["key"]).with_columns(tier=pl.lit(2)),
            asked.with_columns(pl.concat_str(pl.lit("name:"), "key").alias("id"), tier=pl.lit(3)),
        ],
        how="diagonal",
    )
    best = (
        told.sort("subject", "tier", "top_league", "id", descending=[False, False, True, False])
        .unique("subject", keep="first", maintain_order=True)
        .select("subject", pl.col("id").alias("told"))
    )
    return (
        keyed.group_by("subject")
        .agg(pl.col("source_id").max())
        .join(best, on="subject", how="left")
        .select("subject", pl.coalesce("source_id", "told").alias("id"))
        .sort("subject")
    )


def _latest_bearer(asked: pl.DataFrame, evidence: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    present = pl.all_horizontal(pl.col(by).is_not_null())
    borne = evidence.filter(present).group_by(*by, "at").agg(pl.col("source_id").min().alias("id")).sort("at", *by)
    found = asked.filter(present).sort("at", "subject", "top_league")
    found = found.join_asof(  # sorted above; polars cannot check that within groups
        borne.rename({"id": "before"}), on="at", by=by, strategy="backward", check_sortedness=False
    ).join_asof(borne.rename({"id": "after"}), on="at", by=by, strategy="forward", check_sortedness=False)
    return found.with_columns(pl.coalesce("before", "after").alias("id")).filter(pl.col("id").is_not_null())


def one_id_per_brand(mentions: pl.DataFrame) -> pl.DataFrame:
    """The mentions with one id for all ids that a top-league layout calls by one name: the id seen first.

    For teams: with a new brand the source may give a new id, while those layouts carry the brand back over all games.
    Not for players, of whom two may share a name.
    """
    keyed = mentions.with_columns(name_key(pl.col("name")).alias("key"))
    first = keyed.group_by("source_id").agg(pl.col("at").min()).drop_nulls("source_id").sort("at", "source_id")
    brands = (
        keyed.filter("top_league")
        .drop_nulls(["source_id", "key"])
        .select("key", "source_id")
        .unique()
        .sort("key", "source_id")
    )
    rank = {source_id: at for at, source_id in enumerate(first["source_id"])}
    oldest = {source_id: source_id for source_id in rank}

    def root(source_id: str) -> str:
        while oldest[source_id] != source_id:
            source_id = oldest[source_id]
        return source_id

    for _, bearers in brands.group_by("key", maintain_order=True):
        roots = sorted({root(source_id) for source_id in bearers["source_id"]}, key=rank.__getitem__)
        oldest.update(dict.fromkeys(roots, roots[0]))
    canonical = pl.DataFrame(
        [(source_id, root(source_id)) for source_id in oldest],
        schema={"source_id": pl.String, "canonical": pl.String},
        orient="row",
    )
    return (
        mentions.join(canonical, on="source_id", how="left", maintain_order="left")
        .with_columns(pl.col("canonical").alias("source_id"))
        .drop("canonical")
    )


def newest_names(mentions: pl.DataFrame, ids: pl.DataFrame) -> pl.DataFrame:
    """The name to show for every id: ``id, name``. The one of its latest game.

    Where both layouts name that game, the top-league one's is taken: those exports apply a new brand to all games.
    """
    return (
        mentions.with_columns(pl.col("name").str.strip_chars())
        .filter(pl.col("name") != "")
        .join(ids.filter(pl.col("id").is_not_null()), on="subject")
        .sort("id", "at", "top_league", "ingested_at", "name", nulls_last=False)
        .unique("id", keep="last", maintain_order=True)
        .select("id", "name")
    )
