"""What is counted: what users did, what was predicted and how it came out, and the figures of a day."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.domain.checks import check_address, check_aware, check_number, check_text, check_texts
from stores.domain.prediction_id import created_at
from stores.domain.props import MAX_LINE, MAX_PLAYERS, DataTier, PropType, Side
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from decimal import Decimal
    from ipaddress import IPv4Address, IPv6Address
    from uuid import UUID

    from stores.domain.predictions import PredictionRecord

MAX_NAME = 255
MAX_LONG_TEXT = 2048  # addresses of pages, user agents
MAX_CUSTOM = 50  # entries of custom_data
MAX_COUNT = 2**32 - 1
MAX_BIG_COUNT = 2**64 - 1
MAX_MONEY = 10**8  # exclusive; ten digits, two of them behind the point
MAX_COUNTRIES = 300
MAX_MILLISECONDS = 86_400_000.0
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(2106, 1, 1, tzinfo=UTC)  # exclusive; seconds are kept in 32 bits


def check_moment(moment: datetime, name: str) -> None:
    """Refuse a naive time and one that the store cannot hold."""
    check_aware(moment, name)
    if not FIRST_MOMENT <= moment < LAST_MOMENT:
        raise InvalidError(f"{name} {moment} is not between 1970 and 2106", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """Something a user did. ``event_id`` is the event's identity, ``user_id`` None for who is not logged in."""

    event_id: UUID
    event_time: datetime
    session_id: str
    event_type: str
    event_category: str
    event_action: str
    user_id: UUID | None = None
    event_label: str | None = None
    page_url: str = ""
    page_title: str | None = None
    referrer: str | None = None
    user_agent: str = ""
    device_type: str = ""
    browser: str = ""
    operating_system: str = ""
    ip_address: IPv4Address | IPv6Address | None = None
    country: str = ""
    region: str | None = None
    city: str | None = None
    custom_data: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_moment(self.event_time, "event_time")
        for name in ("session_id", "event_type", "event_category", "event_action"):
            check_text(getattr(self, name), name, MAX_NAME, blank=False)
        for name in ("event_label", "page_title", "device_type", "browser", "operating_system", "country"):
            check_text(getattr(self, name), name, MAX_NAME)
        for name in ("region", "city"):
            check_text(getattr(self, name), name, MAX_NAME)
        for name in ("page_url", "referrer", "user_agent"):
            check_text(getattr(self, name), name, MAX_LONG_TEXT)
        check_address(self.ip_address, "ip_address")
        check_number(len(self.custom_data), "custom_data (its entries)", 0, MAX_CUSTOM)
        for key, value in self.custom_data.items():
            check_text(key, "custom_data (a key)", MAX_NAME, blank=False)
            check_text(value, f"custom_data.{key}", MAX_LONG_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionEvent:
    """A prediction that was given, as analytics needs it. ``confidence`` is in %."""

    prediction_id: UUID
    model_version: str
    prop_type: PropType
    prop_value: float
    prediction: Side
    confidence: float
    response_time_ms: float
    cache_hit: bool
    data_tier: DataTier
    player_names: tuple[str, ...]
    tournament: str | None = None
    team: str | None = None
    user_id: UUID | None = None

    def __post_init__(self) -> None:
        check_moment(self.created_at, "prediction_id")
        check_text(self.model_version, "model_version", MAX_NAME, blank=False)
        check_number(self.prop_value, "prop_value", 0, MAX_LINE)
        check_number(self.confidence, "confidence", 0, 100)
        check_number(self.response_time_ms, "response_time_ms", 0, MAX_MILLISECONDS)
        check_number(len(self.player_names), "player_names (their number)", 1, MAX_PLAYERS)
        check_texts(self.player_names, "player_names", MAX_NAME)
        check_text(self.tournament, "tournament", MAX_NAME, blank=False)
        check_text(self.team, "team", MAX_NAME, blank=False)

    @property
    def created_at(self) -> datetime:
        """The moment inside the id."""
        return created_at(self.prediction_id)

    @classmethod
    def of(cls, record: PredictionRecord) -> PredictionEvent:
        """What analytics needs of a stored prediction."""
        return cls(
            prediction_id=record.prediction_id,
            model_version=record.model_version,
            prop_type=record.request.prop_type,
            prop_value=record.request.prop_value,
            prediction=record.prediction,
            confidence=record.confidence,
            response_time_ms=record.processing_time_ms,
            cache_hit=record.cache_hit,
            data_tier=record.data_tier,
            player_names=record.request.player_names,
            tournament=record.request.tournament,
            team=record.request.team,
            user_id=record.user_id,
        )


class ActualResult(StrEnum):
    """How it came out: over or under the line, or on it."""

    OVER = "OVER"
    UNDER = "UNDER"
    PUSH = "PUSH"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOutcome:
    """How a prediction came out, as was heard at ``received_at``. Of several for one prediction the latest counts."""

    prediction: PredictionEvent
    actual_result: ActualResult
    received_at: datetime

    def __post_init__(self) -> None:
        check_moment(self.received_at, "received_at")

    @property
    def was_correct(self) -> bool | None:
        """Whether the prediction came true; None for a push, which is neither."""
        if self.actual_result is ActualResult.PUSH:
            return None
        return self.actual_result.value == self.prediction.prediction.value


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyMetrics:
    """The figures of a day, which is their identity. Times are in ms, usages in %, money in whole cents."""

    metric_date: date
    total_users: int
    active_users: int
    new_users: int
    returning_users: int
    total_predictions: int
    successful_predictions: int
    failed_predictions: int
    avg_response_time: float
    subscription_revenue: Decimal
    api_revenue: Decimal
    avg_cpu_usage: float
    avg_memory_usage: float
    total_requests: int
    top_countries: tuple[str, ...] = ()
    country_distribution: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        day = datetime(self.metric_date.year, self.metric_date.month, self.metric_date.day, tzinfo=UTC)
        check_moment(day, "metric_date")
        for name in (each.name for each in fields(self) if each.type == "int"):
            check_number(getattr(self, name), name, 0, MAX_BIG_COUNT if name == "total_requests" else MAX_COUNT)
        check_number(self.avg_response_time, "avg_response_time", 0, MAX_MILLISECONDS)
        for name in ("avg_cpu_usage", "avg_memory_usage"):
            check_number(getattr(self, name), name, 0, 100)
        for name in ("subscription_revenue", "api_revenue"):
            _check_money(getattr(self, name), name)
        check_number(len(self.top_countries), "top_countries (their number)", 0, MAX_COUNTRIES)
        check_texts(self.top_countries, "top_countries", MAX_NAME)
        check_number(len(self.country_distribution), "country_distribution (its entries)", 0, MAX_COUNTRIES)
        for country, users in self.country_distribution.items():
            check_text(country, "country_distribution (a key)", MAX_NAME, blank=False)
            check_number(users, f"country_distribution.{country}", 0, MAX_COUNT)


def _check_money(amount: Decimal, name: str) -> None:
    if not amount.is_finite() or abs(amount) >= MAX_MONEY:
        raise InvalidError(f"{name} {amount} is not an amount below {MAX_MONEY}", name)
    if amount * 100 % 1:
        raise InvalidError(f"{name} {amount} has parts of a cent; round it", name)


@dataclass(frozen=True, slots=True)
class ModelHour:
    """How one model version did in the hour that begins at ``prediction_hour``.

    Outcomes belong to the hour in which the prediction was given, however late they came; pushes are in neither count.
    """

    model_version: str
    prediction_hour: datetime
    total_predictions: int
    avg_confidence: float
    avg_response_time: float
    cache_hits: int
    correct_predictions: int
    incorrect_predictions: int


@dataclass(frozen=True, slots=True)
class ActivityHour:
    """How often one type of event happened in the hour that begins at ``event_hour``, and in how many sessions."""

    event_hour: datetime
    event_type: str
    event_count: int
    unique_sessions: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A name and how many predictions asked for it."""

    name: str
    predictions: int
