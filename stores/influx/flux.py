"""The Flux of time series: text of our own constants and declared names only, every value a bound parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stores.domain.series_query import Aggregate, Resolution, Statistic
from stores.downsampling import reach

if TYPE_CHECKING:
    from datetime import timedelta

    from stores.domain.series_query import SeriesQuery

_FOLDS = {
    Aggregate.PERCENTILE: "(tables=<-, column) => tables"
    ' |> quantile(column: column, q: q, method: "exact_selector")',  # the nearest rank
}
_STATISTICS = {
    Aggregate.MEAN: (Statistic.SUM, Statistic.COUNT),
    Aggregate.MIN: (Statistic.MIN,),
    Aggregate.MAX: (Statistic.MAX,),
    Aggregate.SUM: (Statistic.SUM,),
    Aggregate.COUNT: (Statistic.COUNT,),
    Aggregate.LAST: (Statistic.LAST,),
}


def statistics_of(query: SeriesQuery) -> tuple[Statistic, ...]:
    """The statistics that answer the query; none where points are asked themselves."""
    return () if query.resolution is Resolution.HIGH else _STATISTICS[query.aggregate]


def query_flux(query: SeriesQuery, bucket: str) -> tuple[str, dict[str, Any]]:
    """The script that answers the query, and its parameters. Rows: _start, the tags of ``by``, _field, _value."""
    statistics = statistics_of(query)
    fold = _FOLDS.get(query.aggregate, query.aggregate.value)
    fields = query.fields
    if statistics:
        fold = statistics[0].fold  # where there are two, both are sums
        fields = tuple(f"{name}_{statistic}" for name in query.fields for statistic in statistics)
    values: dict[str, Any] = {"bucket": bucket, "since": query.since, "until": query.until, "every": query.every}
    values |= {f"tag_{name}": value for name, value in query.tags.items()}
    if query.percentile is not None:
        values["q"] = query.percentile / 100
    chosen = [f'r._measurement == "{query.measurement}"', _any_of(fields)]
    chosen += [f"r.{name} == tag_{name}" for name in query.tags]
    lines = [
        "from(bucket: bucket)",
        "range(start: since, stop: until)",
        *(f"filter(fn: (r) => {condition})" for condition in chosen),
        f"group(columns: [{', '.join(_quoted(name) for name in ('_field', *query.by))}])",
        *(['sort(columns: ["_time"])'] if query.aggregate is Aggregate.LAST else []),
        f'aggregateWindow(every: every, fn: {fold}, createEmpty: false, timeSrc: "_start")',
        f"keep(columns: [{', '.join(_quoted(name) for name in ('_time', '_field', '_value', *query.by))}])",
    ]
    return "\n    |> ".join(lines), values


def fold_flux(resolution: Resolution, source: str, target: str) -> str:
    """The body that folds ``since`` <= time < ``until`` of one bucket into the windows of another."""
    step = duration(resolution.step)
    of_points = resolution.source is Resolution.HIGH
    parts = []
    for statistic in Statistic:
        chosen = "" if of_points else f"\n    |> filter(fn: (r) => r._field =~ /_{statistic}$/)"
        fold = statistic.value if of_points else statistic.fold
        name = f', _field: r._field + "_{statistic}"' if of_points else ""
        parts.append(
            f"{_variable(statistic)} = data{chosen}\n"
            f'    |> aggregateWindow(every: {step}, fn: {fold}, createEmpty: false, timeSrc: "_start")\n'
            f"    |> map(fn: (r) => ({{r with _value: float(v: r._value){name}}}))"
        )
    return "\n".join(
        [
            f"data = from(bucket: {_quoted(source)}) |> range(start: since, stop: until)",
            *parts,
            f"union(tables: [{', '.join(_variable(statistic) for statistic in Statistic)}])",
            f"    |> to(bucket: {_quoted(target)})",
            '    |> group() |> count() |> yield(name: "folded")',
        ]
    )


def task_flux(name: str, resolution: Resolution, source: str, target: str) -> str:
    """The whole script of the server's task: at every step it folds what late points can have changed."""
    step = duration(resolution.step)
    return "\n".join(
        [
            'import "date"',
            f"option task = {{name: {_quoted(name)}, every: {step}, offset: 10s}}",
            f"until = date.truncate(t: now(), unit: {step})",
            f"since = date.sub(d: {duration(reach(resolution))}, from: until)",
            fold_flux(resolution, source, target),
        ]
    )


def duration(length: timedelta) -> str:
    """As Flux writes it."""
    return f"{int(length.total_seconds())}s"


def _any_of(fields: tuple[str, ...]) -> str:
    """Spelt out: the storage engine filters by it, which it cannot by ``contains``."""
    return " or ".join(f'r._field == "{name}"' for name in fields)


def _variable(statistic: Statistic) -> str:
    return f"of_{statistic}"  # by itself it would hide Flux's function


def _quoted(name: str) -> str:
    return f'"{name}"'
