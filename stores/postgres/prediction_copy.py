"""A prediction as one tuple of binary COPY: encoded once, before the answer; from then on only bytes are moved."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from stores.domain.predictions import PredictionRecord
from stores.domain.props import DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.errors import InvalidError
from stores.postgres.copy_format import (
    FLOAT_OID,
    INTEGER_OID,
    MILLISECONDS_2000,
    REMEMBERED,
    address,
    address_of,
    day,
    day_of,
    fields_of,
    integer,
    line,
    line_of,
    several,
    text,
    text_of,
    texts,
    texts_of,
    uuid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = "prediction_requests"
COLUMNS = (
    *("prediction_id", "created_at", "strict_mode", "confidence", "base_model_confidence", "push_probability"),
    *("expected_stat", "data_tier", "lake_snapshot_id", "processing_time_ms", "cache_hit"),
    *("map_range", "confidence_interval", "prop_type", "prediction", "prop_value", "player_names", "position_roles"),
    *("champions", "warnings", "opponent", "tournament", "team", "model_version", "feature_version", "user_agent"),
    *("api_version", "request_source", "match_date", "best_of", "user_id", "client_ip"),
)
_PAIR = "i iiiii i{0}i{0}"  # of an array: dimensions, nulls, oid, elements, first index; then both elements
_HEAD = struct.Struct(f">h i16s iq i? id id id id ii iq id i? {_PAIR.format('i')} {_PAIR.format('d')}".replace(" ", ""))
_INFINITY = float("inf")
_KIND, _UUID_7 = (15 << 76) | (3 << 62), (7 << 76) | (2 << 62)  # where a UUID tells version and variant


def encode(record: PredictionRecord) -> bytes:
    """The record as a tuple of COLUMNS. Raises InvalidError where the table would refuse it."""
    try:
        return b"".join(_fields(record))
    except (struct.error, OverflowError, TypeError) as error:
        raise InvalidError(f"prediction {record.prediction_id} cannot be stored: {error}") from error


def _fields(record: PredictionRecord) -> tuple[bytes, ...]:
    request, (low, high), identity = record.request, record.confidence_interval, record.prediction_id.int
    first, last = request.map_range.first, request.map_range.last
    _check(record)
    # fmt: off
    head = _HEAD.pack(  # what is never null and always as long, each behind its length
        len(COLUMNS), 16, identity.to_bytes(16), 8, ((identity >> 80) - MILLISECONDS_2000) * 1000,
        1, request.strict_mode, 8, record.confidence, 8, record.base_model_confidence,
        8, record.push_probability, 8, record.expected_stat, 4, record.data_tier, 8, record.lake_snapshot_id,
        8, record.processing_time_ms, 1, record.cache_hit,
        36, 1, 0, INTEGER_OID, 2, 1, 4, first, 4, last,
        44, 1, 0, FLOAT_OID, 2, 1, 8, low, 8, high,
    )
    # fmt: on
    return (
        head,
        _answered(request.prop_type, record.prediction, request.prop_value),
        _players(request.player_names, request.position_roles, request.champions),
        texts(record.warnings),
        several(request.opponent, request.tournament, request.team),
        several(
            record.model_version, record.feature_version, record.user_agent, record.api_version, record.request_source
        ),
        day(request.match_date),
        integer(request.best_of),
        uuid(record.user_id),
        address(record.client_ip),
    )


@lru_cache(REMEMBERED)
def _answered(prop: PropType, side: Side, prop_value: float) -> bytes:
    return text(prop) + text(side) + line(prop_value)


@lru_cache(REMEMBERED)
def _players(names: tuple[str, ...], roles: tuple[str, ...], champions: tuple[str, ...]) -> bytes:
    return texts(names) + texts(roles) + texts(champions)


def _check(record: PredictionRecord) -> None:
    """The table's own conditions on what a model computes, so that nothing is acknowledged that cannot be kept."""
    if not (
        0 <= record.confidence <= 100
        and 0 <= record.base_model_confidence <= 100
        and 0 <= record.push_probability <= 100
        and 0 <= record.expected_stat < _INFINITY
        and record.prediction_id.int & _KIND == _UUID_7
    ):
        raise InvalidError(f"prediction {record.prediction_id} cannot be stored: a figure is out of its range")


def decode(row: bytes) -> PredictionRecord:
    """The record that `encode` was given."""
    values: dict[str, Any] = dict(zip(COLUMNS, fields_of(row), strict=True))
    for name, read in _READ.items():
        values[name] = None if values[name] is None else read(values[name])
    del values["created_at"]
    request = PropRequest(**{name: values.pop(name) for name in _OF_REQUEST})
    return PredictionRecord(request=request, **values)


def _unpacked(kind: str) -> Callable[[bytes], Any]:
    layout = struct.Struct(f">{kind}")
    return lambda data: layout.unpack(data)[0]


def _two(kind: str) -> Callable[[bytes], tuple[Any, Any]]:
    layout = struct.Struct(f">20x4x{kind}4x{kind}")

    def read(data: bytes) -> tuple[Any, Any]:
        first, second = layout.unpack(data)
        return first, second

    return read


_OF_REQUEST = (
    *("player_names", "prop_type", "prop_value", "map_range", "opponent", "tournament", "team", "match_date"),
    *("position_roles", "strict_mode", "champions", "best_of"),
)
_READ: dict[str, Callable[[bytes], Any]] = {
    "prediction_id": lambda data: UUID(bytes=data),
    **dict.fromkeys(("strict_mode", "cache_hit"), _unpacked("?")),
    **dict.fromkeys(
        ("confidence", "base_model_confidence", "push_probability", "expected_stat", "processing_time_ms"),
        _unpacked("d"),
    ),
    "data_tier": lambda data: DataTier(int.from_bytes(data)),
    "lake_snapshot_id": _unpacked("q"),
    "map_range": lambda data: MapRange(*_two("i")(data)),
    "confidence_interval": _two("d"),
    "prop_type": lambda data: PropType(data.decode()),
    "prediction": lambda data: Side(data.decode()),
    "prop_value": line_of,
    **dict.fromkeys(("player_names", "champions", "warnings"), texts_of),
    "position_roles": lambda data: tuple(map(Position, texts_of(data))),
    **dict.fromkeys(("opponent", "tournament", "team", "model_version", "feature_version"), text_of),
    **dict.fromkeys(("user_agent", "api_version", "request_source"), text_of),
    "match_date": day_of,
    "best_of": int.from_bytes,
    "user_id": lambda data: UUID(bytes=data),
    "client_ip": address_of,
}
