"""The statements of time series: text of our own constants, every value a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stores.domain.series_query import MAX_ROWS, Aggregate, Resolution

if TYPE_CHECKING:
    from stores.domain.series_query import SeriesQuery

ADD_SERIES = (
    "INSERT INTO measurement_series (measurement, field, tags)"
    " SELECT measurement, field, tags::jsonb FROM unnest($1::text[], $2::text[], $3::text[])"
    " AS given (measurement, field, tags) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"
)
FIND_SERIES = (
    "SELECT series_id FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY"
    " AS given (measurement, field, tags, number) JOIN measurement_series AS known"
    " ON known.measurement = given.measurement AND known.field = given.field AND known.tags = given.tags::jsonb"
    " ORDER BY number"
)
WRITE = (
    "INSERT INTO measurements_high AS kept (series_id, time, value)"
    " SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::float8[])"
    " ON CONFLICT (series_id, time) DO UPDATE SET value = excluded.value WHERE kept.value <> excluded.value"
)
EPOCH = "timestamptz '1970-01-01 00:00Z'"

_OF_POINTS = {
    Aggregate.MEAN: "avg(value)",
    Aggregate.MIN: "min(value)",
    Aggregate.MAX: "max(value)",
    Aggregate.SUM: "sum(value)",
    Aggregate.COUNT: "count(*)",
    Aggregate.LAST: "(array_agg(value ORDER BY time DESC))[1]",
    Aggregate.PERCENTILE: "percentile_disc($8::float8) WITHIN GROUP (ORDER BY value)",
}
_OF_WINDOWS = {
    Aggregate.MEAN: "sum(sum) / sum(count)::float8",
    Aggregate.MIN: "min(min)",
    Aggregate.MAX: "max(max)",
    Aggregate.SUM: "sum(sum)",
    Aggregate.COUNT: "sum(count)",
    Aggregate.LAST: "(array_agg(last ORDER BY time DESC))[1]",
}
_KEPT = {
    "count": (Aggregate.COUNT, "bigint"),
    "sum": (Aggregate.SUM, "float8"),
    "min": (Aggregate.MIN, "float8"),
    "max": (Aggregate.MAX, "float8"),
    "last": (Aggregate.LAST, "float8"),
}


def query_sql(query: SeriesQuery) -> tuple[str, list[Any]]:
    """The statement that answers the query, and its arguments. Rows: start, by, field, value."""
    folds = _OF_POINTS if query.resolution is Resolution.HIGH else _OF_WINDOWS
    arguments: list[Any] = [query.measurement, list(query.fields), list(query.by), dict(query.tags)]
    arguments += [query.since, query.until, query.every]
    if query.percentile is not None:
        arguments.append(query.percentile / 100)
    return (
        f"""
        WITH series AS (
            SELECT series_id, field,
                coalesce((SELECT jsonb_object_agg(name, tags -> name) FROM unnest($3::text[]) AS name), '{{}}') AS by
            FROM measurement_series WHERE measurement = $1 AND field = ANY($2::text[]) AND tags @> $4::jsonb
        )
        SELECT date_bin($7::interval, time, {EPOCH}) AS start, by, field, ({folds[query.aggregate]})::float8 AS value
        FROM series JOIN measurements_{query.resolution} USING (series_id)
        WHERE time >= $5 AND time < $6
        GROUP BY 1, 2, 3 LIMIT {MAX_ROWS + 1}
        """,  # noqa: S608  # constants
        arguments,
    )


def fold_sql(resolution: Resolution) -> str:
    """The statement that folds $2 <= time < $3 into windows of $1. Folding again changes only what is different."""
    folds = _OF_POINTS if resolution.source is Resolution.HIGH else _OF_WINDOWS
    columns = ", ".join(_KEPT)
    made = ", ".join(f"({folds[aggregate]})::{kind}" for aggregate, kind in _KEPT.values())
    return f"""
        INSERT INTO measurements_{resolution} AS kept (series_id, time, {columns})
        SELECT series_id, date_bin($1::interval, time, {EPOCH}), {made}
        FROM measurements_{resolution.source} WHERE time >= $2 AND time < $3 GROUP BY 1, 2
        ON CONFLICT (series_id, time) DO UPDATE
        SET {", ".join(f"{name} = excluded.{name}" for name in _KEPT)}
        WHERE ({", ".join(f"kept.{name}" for name in _KEPT)})
            IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _KEPT)})
    """  # noqa: S608  # constants
