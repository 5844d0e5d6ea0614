"""The row of prediction_requests as it is asked for; `prediction_copy` writes it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.postgres import prediction_copy

if TYPE_CHECKING:
    import asyncpg

_SAME_IN_REQUEST = ("prop_value", "opponent", "tournament", "team", "match_date", "strict_mode", "best_of")
_SAME_IN_RECORD = (
    "prediction_id",
    "confidence",
    "base_model_confidence",
    "push_probability",
    "expected_stat",
    "model_version",
    "feature_version",
    "lake_snapshot_id",
    "processing_time_ms",
    "cache_hit",
    "user_id",
    "user_agent",
    "api_version",
    "request_source",
)
_READ_AS = {"prop_value": "prop_value::float8 AS prop_value", "client_ip": "host(client_ip) AS client_ip"}

COLUMNS = ", ".join(_READ_AS.get(name, name) for name in prediction_copy.COLUMNS)
_OLDER = "($2::timestamptz IS NULL OR (created_at <= $2 AND (created_at, prediction_id) < ($2, $3::uuid)))"
_PAGE = f"AND {_OLDER} ORDER BY created_at DESC, prediction_id DESC LIMIT $4"
SELECT = f"SELECT {COLUMNS} FROM prediction_requests WHERE prediction_id = $1 AND created_at = $2"  # noqa: S608  # constants
SELECT_OF_USER = f"SELECT {COLUMNS} FROM prediction_requests WHERE user_id = $1 {_PAGE}"  # noqa: S608  # constants
SELECT_OF_PLAYER = f"SELECT {COLUMNS} FROM prediction_requests WHERE player_names @> ARRAY[$1::text] {_PAGE}"  # noqa: S608  # constants


def record_of(row: asyncpg.Record) -> PredictionRecord:
    """The record of a row with every column of the table."""
    first, last = row["map_range"]
    low, high = row["confidence_interval"]
    request = PropRequest(
        player_names=tuple(row["player_names"]),
        prop_type=PropType(row["prop_type"]),
        map_range=MapRange(first, last),
        position_roles=tuple(Position(role) for role in row["position_roles"]),
        champions=tuple(row["champions"]),
        **{name: row[name] for name in _SAME_IN_REQUEST},
    )
    return PredictionRecord(
        request=request,
        prediction=Side(row["prediction"]),
        confidence_interval=(low, high),
        data_tier=DataTier(row["data_tier"]),
        warnings=tuple(row["warnings"]),
        client_ip=None if row["client_ip"] is None else ip_address(row["client_ip"]),
        **{name: row[name] for name in _SAME_IN_RECORD},
    )
