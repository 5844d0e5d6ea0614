"""How models do, day by day, in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from stores.domain.model_performance import DailyPerformance
from stores.errors import NotFoundError

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from stores.postgres.pool import Pool

# ruff: noqa: S608 — every name below is a field of our own class
_COLUMNS = tuple(field.name for field in fields(DailyPerformance))
_WRITTEN = tuple(name for name in _COLUMNS if name != "created_at")
_REPLACED = tuple(name for name in _WRITTEN if name not in {"metric_id", "model_id", "metric_date"})
MODEL = "SELECT 1 FROM ml_models WHERE model_id = $1 FOR KEY SHARE"  # as a foreign key asks
PUT = (
    f"INSERT INTO model_performance_metrics ({', '.join(_WRITTEN)})"
    f" VALUES ({', '.join(f'${number}' for number in range(1, len(_WRITTEN) + 1))})"
    " ON CONFLICT (model_id, metric_date) DO UPDATE SET"
    f" {', '.join(f'{name} = EXCLUDED.{name}' for name in _REPLACED)}"
)
BETWEEN = (
    f"SELECT {', '.join(_COLUMNS)} FROM model_performance_metrics"
    " WHERE model_id = $1 AND metric_date BETWEEN $2 AND $3 ORDER BY metric_date"
)


class PostgresModelPerformance:
    """`ModelPerformance` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, performance: DailyPerformance) -> None:
        """Write the row of a model and a day."""
        async with self._pool.transaction() as connection:
            if await connection.fetchval(MODEL, performance.model_id) is None:
                raise NotFoundError(f"there is no model {performance.model_id}")
            await connection.execute(PUT, *(getattr(performance, name) for name in _WRITTEN))

    async def between(self, model_id: UUID, first: date, last: date) -> tuple[DailyPerformance, ...]:
        """The rows of a model from day to day."""
        rows = await self._pool.read(lambda connection: connection.fetch(BETWEEN, model_id, first, last))
        return tuple(DailyPerformance(**dict(row)) for row in rows)
