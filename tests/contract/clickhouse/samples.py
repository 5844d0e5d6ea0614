"""Values with every field filled, and how a test's own database is reached."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from stores.clickhouse.connection import ClickHouseConnection, open_clickhouse
from stores.domain.analytics import DailyMetrics, PredictionEvent, UserEvent
from stores.domain.prediction_id import new_prediction_id
from stores.domain.props import DataTier, PropType, Side
from stores.settings import ClickHouseSettings

NOON = datetime(2026, 3, 14, 12, 0, 0, 123000, tzinfo=UTC)
DAY = timedelta(days=1)


async def http_connection(url: str, **bounds: Any) -> ClickHouseConnection:
    """A connection to a server by its URL."""
    nowhere = Path("/nonexistent")  # a server's URL needs no folder
    return await open_clickhouse(ClickHouseSettings(nowhere, nowhere, url), **bounds)


async def make_database(url: str) -> str:
    """The URL of a fresh database of the server."""
    name = f"t_{uuid4().hex}"
    admin = await http_connection(url)
    await admin.command(f"CREATE DATABASE {name}")
    await admin.close()
    return f"{url}/{name}"


def make_prediction(at: datetime = NOON, **changes: Any) -> PredictionEvent:
    """A prediction of a moment."""
    facts: dict[str, Any] = {
        "prediction_id": new_prediction_id(at),
        "model_version": "2026.03.14",
        "prop_type": PropType.ASSISTS,
        "prop_value": 7.5,
        "prediction": Side.OVER,
        "confidence": 62.5,
        "response_time_ms": 1.25,
        "cache_hit": True,
        "data_tier": DataTier.GOOD,
        "player_names": ("Faker", "Ünïcode 페이커"),
        "tournament": "LCK Spring",
        "team": "T1",
        "user_id": UUID(int=7),
    }
    return PredictionEvent(**facts | changes)


def make_event(at: datetime = NOON, **changes: Any) -> UserEvent:
    """An event of a moment."""
    facts: dict[str, Any] = {
        "event_id": uuid4(),
        "event_time": at,
        "session_id": "session",
        "event_type": "page_view",
        "event_category": "navigation",
        "event_action": "open",
        "user_id": UUID(int=7),
        "event_label": "label",
        "page_url": "https://example.org/a?b=c",
        "page_title": "title",
        "referrer": "https://example.org",
        "user_agent": "agent",
        "device_type": "mobile",
        "browser": "firefox",
        "operating_system": "linux",
        "ip_address": IPv4Address("192.0.2.7"),
        "country": "KR",
        "region": "Seoul",
        "city": "Mapo",
        "custom_data": {"key": "value"},
    }
    return UserEvent(**facts | changes)


def make_day(**changes: Any) -> DailyMetrics:
    """The figures of a day, each column with a value of its own."""
    facts: dict[str, Any] = {
        "metric_date": NOON.date(),
        "total_users": 1,
        "active_users": 2,
        "new_users": 3,
        "returning_users": 2**32 - 1,
        "total_predictions": 5,
        "successful_predictions": 6,
        "failed_predictions": 7,
        "avg_response_time": 1.5,
        "subscription_revenue": Decimal("99999999.99"),
        "api_revenue": Decimal("-0.01"),
        "avg_cpu_usage": 50.25,
        "avg_memory_usage": 25.5,
        "total_requests": 2**64 - 1,
        "top_countries": ("KR", "D'E\\"),
        "country_distribution": {"KR": 5, "D'E\\": 2**32 - 1},
    }
    return DailyMetrics(**facts | changes)
