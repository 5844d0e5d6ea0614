"""The row of prediction_requests: from a record to JSON and back.

A batch travels as one JSON array: one parameter and one statement for any number of rows, whatever the lengths of
their arrays. Floats keep every bit: they are written in their shortest exact form and read by the column's own parser.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import orjson

from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.errors import InvalidError

if TYPE_CHECKING:
    import asyncpg

_TYPES = {
    "prediction_id": "uuid",
    "created_at": "timestamptz",
    "user_id": "uuid",
    "player_names": "text[]",
    "prop_type": "text",
    "prop_value": "numeric",
    "map_range": "integer[]",
    "opponent": "text",
    "tournament": "text",
    "team": "text",
    "match_date": "date",
    "position_roles": "text[]",
    "strict_mode": "boolean",
    "champions": "text[]",
    "best_of": "integer",
    "prediction": "text",
    "confidence": "double precision",
    "base_model_confidence": "double precision",
    "push_probability": "double precision",
    "expected_stat": "double precision",
    "confidence_interval": "double precision[]",
    "data_tier": "integer",
    "model_version": "text",
    "feature_version": "text",
    "lake_snapshot_id": "bigint",
    "processing_time_ms": "double precision",
    "cache_hit": "boolean",
    "warnings": "text[]",
    "client_ip": "inet",
    "user_agent": "text",
    "api_version": "text",
    "request_source": "text",
}
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

INSERT = (
    f"INSERT INTO prediction_requests ({', '.join(_TYPES)}) "  # noqa: S608  # constants
    f"SELECT {', '.join(_TYPES)} FROM json_to_recordset($1::text::json) "
    f"AS row({', '.join(f'{name} {kind}' for name, kind in _TYPES.items())}) ON CONFLICT DO NOTHING"
)
COLUMNS = ", ".join(_READ_AS.get(name, name) for name in _TYPES)
_OLDER = "($2::timestamptz IS NULL OR (created_at <= $2 AND (created_at, prediction_id) < ($2, $3::uuid)))"
_PAGE = f"AND {_OLDER} ORDER BY created_at DESC, prediction_id DESC LIMIT $4"
SELECT = f"SELECT {COLUMNS} FROM prediction_requests WHERE prediction_id = $1 AND created_at = $2"  # noqa: S608  # constants
SELECT_OF_USER = f"SELECT {COLUMNS} FROM prediction_requests WHERE user_id = $1 {_PAGE}"  # noqa: S608  # constants
SELECT_OF_PLAYER = f"SELECT {COLUMNS} FROM prediction_requests WHERE player_names @> ARRAY[$1::text] {_PAGE}"  # noqa: S608  # constants


def encode(record: PredictionRecord) -> bytes:
    """The record as one JSON object. Raises InvalidError when it holds what JSON cannot."""
    request = record.request
    row = {
        "prediction_id": record.prediction_id,
        "created_at": record.created_at,
        "user_id": record.user_id,
        "player_names": request.player_names,
        "prop_type": request.prop_type,
        "prop_value": request.prop_value,
        "map_range": (request.map_range.first, request.map_range.last),
        "opponent": request.opponent,
        "tournament": request.tournament,
        "team": request.team,
        "match_date": request.match_date,
        "position_roles": request.position_roles,
        "strict_mode": request.strict_mode,
        "champions": request.champions,
        "best_of": request.best_of,
        "prediction": record.prediction,
        "confidence": record.confidence,
        "base_model_confidence": record.base_model_confidence,
        "push_probability": record.push_probability,
        "expected_stat": record.expected_stat,
        "confidence_interval": record.confidence_interval,
        "data_tier": record.data_tier,
        "model_version": record.model_version,
        "feature_version": record.feature_version,
        "lake_snapshot_id": record.lake_snapshot_id,
        "processing_time_ms": record.processing_time_ms,
        "cache_hit": record.cache_hit,
        "warnings": record.warnings,
        "client_ip": None if record.client_ip is None else str(record.client_ip),
        "user_agent": record.user_agent,
        "api_version": record.api_version,
        "request_source": record.request_source,
    }
    try:
        return orjson.dumps(row)
    except TypeError as error:
        raise InvalidError(f"prediction {record.prediction_id} cannot be stored: {error}") from error


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
