"""The curves of predictions in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.domain.curves import PredictionCurve
from stores.domain.prediction_id import created_at
from stores.domain.props import Side
from stores.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from stores.postgres.pool import Pool

_ARRAYS = "prop_values, predictions, confidences, expected_stats"
_STORE = f"""
    INSERT INTO prediction_curves (prediction_id, predicted_at, {_ARRAYS})
    SELECT prediction_id, created_at, $3::float8[], $4::text[], $5::float8[], $6::float8[] FROM prediction_requests
    WHERE prediction_id = $1 AND created_at = $2
    ON CONFLICT DO NOTHING RETURNING 1
"""  # noqa: S608  # constants
GET = f"SELECT prediction_id, {_ARRAYS} FROM prediction_curves WHERE prediction_id = $1 AND predicted_at = $2"  # noqa: S608  # constants


class PostgresPredictionCurves:
    """`PredictionCurves` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def store(self, curve: PredictionCurve) -> None:
        sides = [side.value for side in curve.predictions]
        arrays = (list(curve.prop_values), sides, list(curve.confidences), list(curve.expected_stats))
        async with self._pool.transaction() as connection:
            if await connection.fetchval(_STORE, curve.prediction_id, curve.predicted_at, *arrays):
                return
            known = await _get(connection, curve.prediction_id)
        if known is None:
            raise NotFoundError(f"there is no prediction {curve.prediction_id}")
        if known != curve:
            raise ConflictError(f"prediction {curve.prediction_id} already has another curve")

    async def get(self, prediction_id: UUID) -> PredictionCurve:
        async with self._pool.transaction(readonly=True) as connection:
            curve = await _get(connection, prediction_id)
        if curve is None:
            raise NotFoundError(f"no curve is stored of prediction {prediction_id}")
        return curve


async def _get(connection: asyncpg.Connection, prediction_id: UUID) -> PredictionCurve | None:
    row = await connection.fetchrow(GET, prediction_id, created_at(prediction_id))
    if row is None:
        return None
    return PredictionCurve(
        prediction_id=row["prediction_id"],
        prop_values=tuple(row["prop_values"]),
        predictions=tuple(Side(side) for side in row["predictions"]),
        confidences=tuple(row["confidences"]),
        expected_stats=tuple(row["expected_stats"]),
    )
