"""Pages of the predictions given, in PostgreSQL. A statement is put together of constants; values are parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stores.domain.prediction_filters import Column, Condition, Operator, PredictionFilter
from stores.domain.time_ids import moment_of
from stores.errors import InvalidError
from stores.postgres.prediction_rows import COLUMNS, record_of

if TYPE_CHECKING:
    from uuid import UUID

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

MAX_PAGE = 200
_COLUMNS = {
    Column.PROP_TYPE: ("prop_type", "text"),
    Column.PROP_VALUE: ("prop_value::float8", "float8"),
    Column.CREATED_AT: ("created_at", "timestamptz"),
    Column.PREDICTION: ("prediction", "text"),
    Column.CONFIDENCE: ("confidence", "float8"),
    Column.MODEL_VERSION: ("model_version", "text"),
}
_COMPARED = {
    Operator.EQ: "{column} = ${at}::{kind}",
    Operator.NE: "{column} <> ${at}::{kind}",
    Operator.GT: "{column} > ${at}::{kind}",
    Operator.GTE: "{column} >= ${at}::{kind}",
    Operator.LT: "{column} < ${at}::{kind}",
    Operator.LTE: "{column} <= ${at}::{kind}",
    Operator.IN: "{column} = ANY(${at}::{kind}[])",
}
_AMONG_PLAYERS = {
    Operator.EQ: "player_names @> ARRAY[${at}::text]",
    Operator.NE: "NOT player_names @> ARRAY[${at}::text]",
    Operator.IN: "player_names && ${at}::text[]",
}
_OLDER = "($2::timestamptz IS NULL OR (created_at <= $2 AND (created_at, prediction_id) < ($2, $3::uuid)))"
_FIRST = 5  # the number of the first condition's parameter


class PostgresPredictionHistoryPages:
    """`PredictionHistoryPages` in PostgreSQL; reads go to a replica that is near enough."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, meant: PredictionFilter, *, before: UUID | None = None, limit: int = 50
    ) -> tuple[PredictionRecord, ...]:
        """See the role."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidError(f"limit {limit} is not 1 to {MAX_PAGE}", "limit")
        moment = None if before is None else moment_of(before, "before", "the id of a prediction")
        statement, values = search(meant)
        rows = await self._pool.read(lambda it: it.fetch(statement, meant.user_id, moment, before, limit, *values))
        return tuple(record_of(row) for row in rows)


def search(meant: PredictionFilter) -> tuple[str, list[Any]]:
    """The statement and the values of its parameters from the fifth on; before them: user, moment, id and limit."""
    whose = "user_id = $1::uuid" if meant.user_id else "user_id IS NULL AND $1::uuid IS NULL"
    conditions = [_condition(one, at) for at, one in enumerate(meant.conditions, _FIRST)]
    where = " AND ".join([whose, _OLDER, *conditions])
    values = [list(one.values) if one.operator is Operator.IN else one.values[0] for one in meant.conditions]
    statement = (
        f"SELECT {COLUMNS} FROM prediction_requests WHERE {where} "  # noqa: S608  # constants
        "ORDER BY created_at DESC, prediction_id DESC LIMIT $4"
    )
    return statement, values


def _condition(condition: Condition, at: int) -> str:
    if condition.column is Column.PLAYER_NAME:
        return _AMONG_PLAYERS[condition.operator].format(at=at)
    column, kind = _COLUMNS[condition.column]
    return _COMPARED[condition.operator].format(column=column, kind=kind, at=at)
