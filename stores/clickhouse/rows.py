"""Rows as ClickHouse reads them, one JSON object a line, and values as they are read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from stores.domain.analytics import ActualResult, DailyMetrics, ModelHour, PredictionEvent, PredictionOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stores.domain.analytics import UserEvent

TABLES: dict[str, tuple[str, ...]] = {
    "user_events": (
        *("event_id", "user_id", "session_id", "event_type", "event_category", "event_action", "event_label"),
        *("page_url", "page_title", "referrer", "user_agent", "device_type", "browser", "operating_system"),
        *("ip_address", "country", "region", "city", "custom_data", "event_time", "server_time"),
    ),
    "prediction_analytics": (
        *("prediction_id", "user_id", "model_version", "prop_type", "prop_value", "prediction", "confidence"),
        *("response_time_ms", "cache_hit", "data_tier", "tournament", "player_names", "team", "actual_result"),
        *("was_correct", "created_at", "feedback_received_at", "version"),
    ),
    "daily_metrics": (
        *("metric_date", "total_users", "active_users", "new_users", "returning_users", "total_predictions"),
        *("successful_predictions", "failed_predictions", "avg_response_time", "subscription_revenue"),
        *("api_revenue", "avg_cpu_usage", "avg_memory_usage", "total_requests", "top_countries"),
        *("country_distribution", "version"),
    ),
    "user_activity_hourly": ("user_id", "event_hour", "event_type", "event_count", "unique_sessions"),
    "model_performance_hourly": (
        *("model_version", "prediction_hour", "total_predictions", "avg_confidence", "avg_response_time"),
        *("cache_hits", "correct_predictions", "incorrect_predictions"),
    ),
}
"""What people and dashboards read, in the order of its columns; the states behind the hourly views are not in it."""

DAILY_READ = tuple(name for name in TABLES["daily_metrics"] if name != "version")
NOBODY = UUID(int=0)  # user_id of who is not logged in; a key column is not nullable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RESULT_CODES = {ActualResult.PUSH: 0, ActualResult.UNDER: 1, ActualResult.OVER: 2}


def event_line(event: UserEvent) -> bytes:
    """A row of user_events; server_time is the server's."""
    row = {name: getattr(event, name) for name in TABLES["user_events"] if name != "server_time"}
    return orjson.dumps(
        row
        | {
            "user_id": event.user_id or NOBODY,
            "ip_address": str(event.ip_address or "::"),
            "custom_data": dict(event.custom_data),
            "event_time": _seconds(event.event_time),
        }
    )


def prediction_line(prediction: PredictionEvent) -> bytes:
    """A row of prediction_analytics without an outcome."""
    return orjson.dumps(_prediction_row(prediction))


def outcome_line(outcome: PredictionOutcome) -> bytes:
    """The row that takes the place of the prediction's.

    Its version grows with time and, at one moment, with the result: two outcomes of one moment come out the same
    everywhere, whichever arrived last.
    """
    milliseconds = (outcome.received_at - _EPOCH) // timedelta(milliseconds=1)
    return orjson.dumps(
        _prediction_row(outcome.prediction)
        | {
            "actual_result": outcome.actual_result,
            "was_correct": None if outcome.was_correct is None else int(outcome.was_correct),
            "feedback_received_at": _seconds(outcome.received_at),
            "version": max(milliseconds, 1) * 4 + _RESULT_CODES[outcome.actual_result],
        }
    )


def daily_line(metrics: DailyMetrics, now: datetime) -> bytes:
    """A row of daily_metrics; of several for one day that of the latest ``now`` counts."""
    row = {name: getattr(metrics, name) for name in DAILY_READ}
    return orjson.dumps(
        row
        | {
            "subscription_revenue": str(metrics.subscription_revenue),
            "api_revenue": str(metrics.api_revenue),
            "country_distribution": dict(metrics.country_distribution),
            "version": (now - _EPOCH) // timedelta(microseconds=1),
        }
    )


def model_hour_of(row: tuple[Any, ...]) -> ModelHour:
    """From the columns of model_performance_hourly, the hour in seconds."""
    version, hour, *figures = row
    return ModelHour(version, moment_of(hour), *figures)


def daily_of(row: tuple[Any, ...]) -> DailyMetrics:
    """From the columns `DAILY_READ`."""
    values = dict(zip(DAILY_READ, row, strict=True))
    return DailyMetrics(**values | {"top_countries": tuple(values["top_countries"])})


def moment_of(seconds: int) -> datetime:
    """The aware time of so many seconds. Times are read as numbers: some engines forget a column's zone."""
    return _EPOCH + timedelta(seconds=seconds)


def seconds_of(moment: datetime) -> int:
    """The number of a time, cut to the second."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def joined(lines: Iterable[bytes]) -> bytes:
    """The lines as one record; JSON holds no line break."""
    return b"\n".join(lines)


def _seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _prediction_row(prediction: PredictionEvent) -> dict[str, Any]:
    return {
        "prediction_id": prediction.prediction_id,
        "user_id": prediction.user_id or NOBODY,
        "model_version": prediction.model_version,
        "prop_type": prediction.prop_type,
        "prop_value": _hundredths(prediction.prop_value),
        "prediction": prediction.prediction,
        "confidence": _hundredths(prediction.confidence),
        "response_time_ms": prediction.response_time_ms,
        "cache_hit": int(prediction.cache_hit),
        "data_tier": int(prediction.data_tier),
        "tournament": prediction.tournament or "",
        "player_names": prediction.player_names,
        "team": prediction.team,
        "actual_result": None,
        "was_correct": None,
        "created_at": _seconds(prediction.created_at),
        "feedback_received_at": None,
        "version": 0,
    }


def _hundredths(number: float) -> str:
    return str(Decimal(number).quantize(Decimal("0.01")))
