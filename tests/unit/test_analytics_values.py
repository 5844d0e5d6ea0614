"""What analytics refuse before a server sees it, and the rows that are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest

from stores.clickhouse.connection import address_of
from stores.clickhouse.migrate import shipped_migrations
from stores.clickhouse.rows import TABLES, daily_line, event_line, outcome_line, prediction_line
from stores.domain.analytics import ActualResult, DailyMetrics, PredictionEvent, PredictionOutcome, UserEvent
from stores.domain.prediction_id import new_prediction_id
from stores.domain.props import DataTier, PropType, Side
from stores.errors import InvalidError
from stores.migration_files import read_migrations
from tests.examples import a_prediction

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 14, 12, 0, 0, 999999, tzinfo=UTC)


def event(**changes: Any) -> UserEvent:
    """An event with what is required."""
    facts: dict[str, Any] = {
        "event_id": UUID(int=1),
        "event_time": NOON,
        "session_id": "s",
        "event_type": "t",
        "event_category": "c",
        "event_action": "a",
    }
    return UserEvent(**facts | changes)


def prediction(**changes: Any) -> PredictionEvent:
    """A prediction."""
    facts: dict[str, Any] = {
        "prediction_id": new_prediction_id(NOON),
        "model_version": "m",
        "prop_type": PropType.KILLS,
        "prop_value": 2.5,
        "prediction": Side.OVER,
        "confidence": 60.0,
        "response_time_ms": 1.0,
        "cache_hit": False,
        "data_tier": DataTier.GOOD,
        "player_names": ("Faker",),
    }
    return PredictionEvent(**facts | changes)


def day(**changes: Any) -> DailyMetrics:
    """The figures of a day."""
    counts = ("total_users", "active_users", "new_users", "returning_users", "total_predictions", "total_requests")
    facts: dict[str, Any] = {
        **dict.fromkeys(counts, 1),
        "metric_date": date(2026, 3, 14),
        "successful_predictions": 1,
        "failed_predictions": 0,
        "avg_response_time": 1.0,
        "subscription_revenue": Decimal("1.00"),
        "api_revenue": Decimal("1.00"),
        "avg_cpu_usage": 1.0,
        "avg_memory_usage": 1.0,
    }
    return DailyMetrics(**facts | changes)


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001  # what is tested


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_time", NAIVE),
        ("event_time", datetime(1969, 12, 31, tzinfo=UTC)),
        ("event_time", datetime(2106, 1, 1, tzinfo=UTC)),
        ("session_id", ""),
        ("event_type", " "),
        ("event_action", "x" * 256),
        ("event_label", "a\0b"),
        ("page_url", "half \ud83c"),
        ("page_url", "x" * 2049),
        ("city", 7),
        ("ip_address", ip_address("fe80::1%eth0")),
        ("custom_data", {"": "blank"}),
        ("custom_data", {"k": "x" * 2049}),
        ("custom_data", {"k": 1}),
        ("custom_data", {str(number): "" for number in range(51)}),
    ],
)
def test_wrong_events_name_their_field(field: str, value: object) -> None:
    """Oversized, blank, not UTF-8, of another type, out of the range of the column."""
    with pytest.raises(InvalidError) as error:
        event(**{field: value})
    assert error.value.field.startswith(field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction_id", UUID(int=1)),
        ("prediction_id", new_prediction_id(datetime(2106, 1, 1, tzinfo=UTC))),
        ("model_version", ""),
        ("prop_value", float("nan")),
        ("prop_value", 200.5),
        ("confidence", 100.1),
        ("response_time_ms", -0.1),
        ("response_time_ms", float("inf")),
        ("player_names", ()),
        ("player_names", ("a", " ")),
        ("player_names", ("a",) * 11),
        ("tournament", ""),
        ("team", "x" * 256),
    ],
)
def test_wrong_predictions_name_their_field(field: str, value: object) -> None:
    """Also NaN, and ids that carry no moment."""
    with pytest.raises(InvalidError) as error:
        prediction(**{field: value})
    assert error.value.field.startswith(field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric_date", date(2106, 1, 1)),
        ("total_users", -1),
        ("total_users", 2**32),
        ("total_requests", 2**64),
        ("avg_response_time", float("nan")),
        ("avg_cpu_usage", 100.5),
        ("subscription_revenue", Decimal("0.001")),
        ("subscription_revenue", Decimal(10**8)),
        ("api_revenue", Decimal("NaN")),
        ("api_revenue", Decimal("-Infinity")),
        ("top_countries", ("a\0",)),
        ("country_distribution", {"KR": -1}),
        ("country_distribution", {"": 1}),
        ("country_distribution", {str(number): 1 for number in range(301)}),
    ],
)
def test_wrong_days_name_their_field(field: str, value: object) -> None:
    """Counts fit their columns, money is whole cents."""
    with pytest.raises(InvalidError) as error:
        day(**{field: value})
    assert error.value.field.startswith(field)


def test_an_outcome_has_an_aware_time_and_judges_its_prediction() -> None:
    """A push is neither right nor wrong."""
    with pytest.raises(InvalidError, match="received_at"):
        PredictionOutcome(prediction=prediction(), actual_result=ActualResult.OVER, received_at=NAIVE)
    verdicts = {
        (side, result): PredictionOutcome(
            prediction=prediction(prediction=side), actual_result=result, received_at=NOON
        ).was_correct
        for side in Side
        for result in ActualResult
    }
    assert verdicts == {
        (Side.OVER, ActualResult.OVER): True,
        (Side.OVER, ActualResult.UNDER): False,
        (Side.OVER, ActualResult.PUSH): None,
        (Side.UNDER, ActualResult.OVER): False,
        (Side.UNDER, ActualResult.UNDER): True,
        (Side.UNDER, ActualResult.PUSH): None,
    }


def test_a_later_outcome_has_a_greater_version_than_any_earlier_one() -> None:
    """Also by a millisecond, whatever the results; at one moment the result decides. All are above the prediction."""
    given = prediction()
    versions = [
        orjson.loads(outcome_line(PredictionOutcome(prediction=given, actual_result=result, received_at=at)))["version"]
        for at in (datetime(1970, 1, 1, tzinfo=UTC), NOON, NOON + timedelta(milliseconds=1))
        for result in (ActualResult.PUSH, ActualResult.UNDER, ActualResult.OVER)
    ]
    assert versions == sorted(set(versions))
    assert orjson.loads(prediction_line(given))["version"] == 0 < versions[0]
    assert versions[-1] * 4 + 3 < 2**64


def test_rows_have_the_columns_of_their_tables() -> None:
    """Each line is one JSON object without a line break, whatever its texts hold."""
    lines = {
        "user_events": event_line(event(event_action="a\nb\r\u2028")),
        "prediction_analytics": prediction_line(prediction(tournament="a\nb")),
        "daily_metrics": daily_line(day(), NOON),
    }
    for table, line in lines.items():
        assert b"\n" not in line
        assert set(orjson.loads(line)) == set(TABLES[table]) - {"server_time"}
    outcome = PredictionOutcome(prediction=prediction(), actual_result=ActualResult.PUSH, received_at=NOON)
    assert set(orjson.loads(outcome_line(outcome))) == set(TABLES["prediction_analytics"])


def test_times_are_cut_to_the_second_in_utc() -> None:
    """A zone of the caller's does not move the hour."""
    shifted = NOON.astimezone(tz=datetime.strptime("+0930", "%z").tzinfo)
    assert orjson.loads(event_line(event(event_time=shifted)))["event_time"] == "2026-03-14 12:00:00"


def test_a_stored_prediction_becomes_an_event_of_it() -> None:
    """The same id, moment and figures."""
    record = a_prediction(NOON, cache_hit=True, user_id=UUID(int=3), processing_time_ms=0.25)
    made = PredictionEvent.of(record)
    assert made.created_at == record.created_at
    assert made == prediction(
        prediction_id=record.prediction_id,
        model_version=record.model_version,
        prediction=record.prediction,
        confidence=record.confidence,
        response_time_ms=0.25,
        cache_hit=True,
        data_tier=record.data_tier,
        tournament="LCK",
        team="T1",
        user_id=UUID(int=3),
    )


def test_every_shipped_statement_may_be_repeated() -> None:
    """Processes migrate side by side, and a crash leaves a file half applied."""
    migrations = read_migrations(shipped_migrations())
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    for migration in migrations:
        for statement in migration.statements:
            assert "IF NOT EXISTS" in statement.partition("\n")[0], statement


def test_misnamed_migrations_are_refused(tmp_path: Path) -> None:
    """A number is used once, and a name that does not fit is not skipped silently."""
    (tmp_path / "0001_a.sql").touch()
    (tmp_path / "notes.txt").touch()
    assert [migration.name for migration in read_migrations(tmp_path)] == ["0001_a.sql"]
    (tmp_path / "1_b.sql").touch()
    with pytest.raises(InvalidError, match="each number once"):
        read_migrations(tmp_path)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://u:p@example.org/db", "ClickHouse at example.org:8123/db"),
        ("https://u:p%40@example.org", "ClickHouse at example.org:8443/default"),
        ("http://[::1]:9000/a%20b", "ClickHouse at [::1]:9000/a b"),
    ],
)
def test_an_address_names_no_login(url: str, address: str) -> None:
    """Neither user nor password."""
    assert address_of(url) == address
