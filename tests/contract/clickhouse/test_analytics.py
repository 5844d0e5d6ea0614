"""What analytics keep: every row once, hours that late outcomes correct, days that are set, and bound parameters."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from stores.clickhouse.rows import TABLES
from stores.domain.analytics import (
    ActivityHour,
    ActualResult,
    ModelHour,
    PredictionEvent,
    PredictionOutcome,
    Ranked,
    UserEvent,
)
from stores.domain.props import Side
from stores.errors import InvalidError
from tests.contract.clickhouse.samples import DAY, NOON, make_day, make_event, make_prediction
from tests.contract.postgres.texts import INJECTIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.roles.analytics import Analytics

pytestmark = pytest.mark.role("analytics")

HOUR = NOON.replace(minute=0, microsecond=0)


def outcome(prediction: PredictionEvent, result: ActualResult, at: datetime = NOON + 3 * DAY) -> PredictionOutcome:
    """What was heard of a prediction."""
    return PredictionOutcome(prediction=prediction, actual_result=result, received_at=at)


async def stored(connection: ClickHouseConnection, table: str) -> list[dict[str, object]]:
    """The rows of a table, as they stand."""
    rows = await connection.query(f"SELECT {', '.join(TABLES[table])} FROM {table}")  # noqa: S608  # our own names
    return [dict(zip(TABLES[table], row, strict=True)) for row in rows]


async def test_an_event_is_stored_with_every_field(analytics: Analytics, connection: ClickHouseConnection) -> None:
    """What goes in comes out; the server adds its own time."""
    event = make_event()
    await analytics.record_events([event])
    await analytics.flush(10)
    (row,) = await stored(connection, "user_events")
    for field in fields(UserEvent):
        if field.name not in {"event_time", "ip_address"}:
            assert row[field.name] == getattr(event, field.name), field.name
    assert row["ip_address"] == IPv6Address("::ffff:192.0.2.7")
    (times,) = await connection.query("SELECT toUnixTimestamp(event_time), abs(now() - server_time) FROM user_events")
    assert times[0] == int(NOON.timestamp())
    assert times[1] < 600


async def test_an_anonymous_event_with_nothing_optional_is_stored(
    analytics: Analytics, connection: ClickHouseConnection
) -> None:
    """Nobody is the nil UUID, no address is the unspecified one; nullable texts are null."""
    bare = UserEvent(
        event_id=UUID(int=1),
        event_time=NOON,
        session_id="s",
        event_type="t",
        event_category="c",
        event_action="a",
        ip_address=None,
    )
    with_ipv6 = replace(bare, event_id=UUID(int=2), ip_address=IPv6Address("2001:db8::1"))
    await analytics.record_events([bare, with_ipv6])
    await analytics.flush(10)
    rows = {row["event_id"]: row for row in await stored(connection, "user_events")}
    assert rows[UUID(int=1)]["user_id"] == UUID(int=0)
    assert rows[UUID(int=1)]["ip_address"] == IPv6Address("::")
    assert rows[UUID(int=1)]["event_label"] is None
    assert rows[UUID(int=1)]["custom_data"] == {}
    assert rows[UUID(int=2)]["ip_address"] == IPv6Address("2001:db8::1")


async def test_a_prediction_is_stored_with_every_field(analytics: Analytics, connection: ClickHouseConnection) -> None:
    """Figures keep their decimals; there is no outcome yet."""
    prediction = make_prediction()
    await analytics.record_predictions([prediction])
    await analytics.flush(10)
    (row,) = await stored(connection, "prediction_analytics")
    assert row == row | {
        "prediction_id": prediction.prediction_id,
        "user_id": UUID(int=7),
        "model_version": "2026.03.14",
        "prop_type": "assists",
        "prop_value": Decimal("7.50"),
        "prediction": "OVER",
        "confidence": Decimal("62.50"),
        "response_time_ms": 1.25,
        "cache_hit": 1,
        "data_tier": 2,
        "tournament": "LCK Spring",
        "player_names": ["Faker", "Ünïcode 페이커"],
        "team": "T1",
        "actual_result": None,
        "was_correct": None,
        "feedback_received_at": None,
        "version": 0,
    }
    assert await connection.query("SELECT toUnixTimestamp(created_at) FROM prediction_analytics") == [
        (int(NOON.timestamp()),)
    ]


async def test_an_outcome_takes_the_place_of_its_prediction(
    analytics: Analytics, connection: ClickHouseConnection
) -> None:
    """After merging, and for who reads FINAL before it, a prediction is one row."""
    prediction = make_prediction()
    await analytics.record_predictions([prediction])
    await analytics.record_outcomes([outcome(prediction, ActualResult.UNDER)])
    await analytics.flush(10)
    assert await connection.query(
        "SELECT actual_result, was_correct, toUnixTimestamp(feedback_received_at) FROM prediction_analytics FINAL"
    ) == [("UNDER", 0, int((NOON + 3 * DAY).timestamp()))]


async def test_late_outcomes_correct_the_hour_of_the_prediction(analytics: Analytics) -> None:
    """Days later, the hour in which it was given counts it; the volume of that hour stays as it was."""
    right, wrong, open_one = (make_prediction(NOON + timedelta(minutes=number)) for number in range(3))
    await analytics.record_predictions([right, wrong, open_one])
    await analytics.flush(10)
    before = ModelHour("2026.03.14", HOUR, 3, 62.5, 1.25, 3, 0, 0)
    assert await analytics.model_performance(NOON, NOON + DAY) == (before,)
    await analytics.record_outcomes([outcome(right, ActualResult.OVER), outcome(wrong, ActualResult.UNDER)])
    await analytics.flush(10)
    after = replace(before, correct_predictions=1, incorrect_predictions=1)
    assert await analytics.model_performance(NOON, NOON + 30 * DAY) == (after,)


async def test_outcomes_may_be_repeated_and_corrected_in_any_order(
    analytics: Analytics, connection: ClickHouseConnection, dice: random.Random
) -> None:
    """Against a model in plain Python: repeats and corrections, shuffled over many inserts, before and after merges."""
    versions = ("a", "b")
    predictions = [
        make_prediction(
            NOON + timedelta(minutes=dice.randrange(180)),
            model_version=dice.choice(versions),
            prediction=dice.choice([Side.OVER, Side.UNDER]),
            cache_hit=dice.random() < 0.5,
        )
        for _ in range(150)
    ]
    heard = [
        outcome(prediction, dice.choice(list(ActualResult)), NOON + timedelta(days=1, milliseconds=dice.randrange(50)))
        for prediction in predictions[:120]
        for _ in range(dice.randrange(4))
    ]
    heard += dice.sample(heard, len(heard) // 2)
    dice.shuffle(heard)
    for start in range(0, len(heard), 20):
        await analytics.record_outcomes(heard[start : start + 20])
        await analytics.record_predictions(dice.sample(predictions, 10))
        await analytics.flush(10)
    await analytics.record_predictions(predictions)
    await analytics.flush(10)
    expected = expected_hours(predictions, heard)
    before = await analytics.model_performance(NOON - DAY, NOON + DAY)
    assert list(before) == expected
    for table in ("model_performance_hourly_states", "prediction_analytics"):
        await connection.command(f"OPTIMIZE TABLE {table} FINAL")
    assert await analytics.model_performance(NOON - DAY, NOON + DAY) == before
    merged = await connection.query(
        "SELECT countIf(was_correct = 1), countIf(was_correct = 0), count() FROM prediction_analytics"
    )
    right = sum(hour.correct_predictions for hour in expected)
    assert merged == [(right, sum(hour.incorrect_predictions for hour in expected), len(predictions))]


def expected_hours(predictions: Sequence[PredictionEvent], heard: Sequence[PredictionOutcome]) -> list[ModelHour]:
    """What the hours must show, counted one by one. At one moment OVER stands above UNDER above PUSH."""
    rank = [ActualResult.PUSH, ActualResult.UNDER, ActualResult.OVER]
    last: dict[UUID, PredictionOutcome] = {}
    for each in sorted(heard, key=lambda each: (each.received_at, rank.index(each.actual_result))):
        last[each.prediction.prediction_id] = each
    hours = []
    keys = {(each.created_at.replace(minute=0, second=0, microsecond=0), each.model_version) for each in predictions}
    for hour, version in sorted(keys):
        mine = [
            each for each in predictions if each.model_version == version and hour <= each.created_at < hour + DAY / 24
        ]
        verdicts = Counter(last[each.prediction_id].was_correct for each in mine if each.prediction_id in last)
        hits = sum(each.cache_hit for each in mine)
        hours.append(ModelHour(version, hour, len(mine), 62.5, 1.25, hits, verdicts[True], verdicts[False]))
    return hours


async def test_an_outcome_may_come_before_its_prediction(analytics: Analytics) -> None:
    """They travel by different processes; the outcome brings what it knows of the prediction."""
    prediction = make_prediction()
    await analytics.record_outcomes([outcome(prediction, ActualResult.OVER)])
    await analytics.flush(10)
    expected = (ModelHour("2026.03.14", HOUR, 1, 62.5, 1.25, 1, 1, 0),)
    assert await analytics.model_performance(NOON, NOON + DAY) == expected
    await analytics.record_predictions([prediction])
    await analytics.flush(10)
    assert await analytics.model_performance(NOON, NOON + DAY) == expected


async def test_what_is_recorded_again_counts_once(analytics: Analytics) -> None:
    """A source that delivers at least once may repeat itself, in one call and in later ones."""
    event, prediction = make_event(), make_prediction()
    for _ in range(3):
        await analytics.record_events([event, event])
        await analytics.record_predictions([prediction, prediction])
        await analytics.flush(10)
    assert await analytics.user_activity(NOON, NOON + DAY) == (ActivityHour(HOUR, "page_view", 1, 1),)
    assert await analytics.model_performance(NOON, NOON + DAY) == (
        ModelHour("2026.03.14", HOUR, 1, 62.5, 1.25, 1, 0, 0),
    )
    assert await analytics.top_tournaments(NOON, NOON + DAY) == (Ranked("LCK Spring", 1),)


async def test_a_range_holds_the_hours_that_overlap_it(analytics: Analytics) -> None:
    """The hour of ``since`` is in, the hour that begins at ``until`` is not; a version can be asked for alone."""
    times = [HOUR - timedelta(milliseconds=1), HOUR, HOUR + DAY / 24, HOUR + DAY / 12]
    await analytics.record_predictions([make_prediction(at, model_version=str(n)) for n, at in enumerate(times)])
    await analytics.flush(10)
    performance = analytics.model_performance
    assert [hour.model_version for hour in await performance(NOON, HOUR + DAY / 12)] == ["1", "2"]
    late = HOUR + DAY / 12 + timedelta(microseconds=1)
    assert [hour.model_version for hour in await performance(NOON, late)] == ["1", "2", "3"]
    assert [hour.model_version for hour in await performance(NOON - DAY, NOON + DAY, "2")] == ["2"]
    assert await performance(NOON - DAY, NOON + DAY, "") == ()


async def test_activity_counts_events_and_unique_sessions_over_blocks(analytics: Analytics) -> None:
    """A session in two inserts, of two users or with two types is counted once where it is one."""
    users = UUID(int=1), UUID(int=2)
    for number in range(6):
        await analytics.record_events(
            [
                make_event(user_id=users[number % 2], session_id=f"s{number % 3}", event_type=t)
                for t in ("view", "click")
            ]
        )
        await analytics.flush(10)
    await analytics.record_events([make_event(NOON + DAY / 24, user_id=users[0], event_type="view")])
    await analytics.flush(10)
    of_one = await analytics.user_activity(NOON, NOON + DAY / 24, users[0])
    assert of_one == (
        ActivityHour(HOUR, "click", 3, 3),
        ActivityHour(HOUR, "view", 3, 3),
        ActivityHour(HOUR + DAY / 24, "view", 1, 1),
    )
    assert (await analytics.user_activity(NOON, HOUR + DAY / 24)) == (
        ActivityHour(HOUR, "click", 6, 3),
        ActivityHour(HOUR, "view", 6, 3),
    )
    assert await analytics.user_activity(NOON, NOON + DAY, UUID(int=3)) == ()


async def test_a_day_is_set_and_set_again(analytics: Analytics) -> None:
    """A job that runs twice changes nothing, and one that knows better corrects the day."""
    first = make_day()
    await analytics.upsert_daily_metrics(first)
    await analytics.upsert_daily_metrics(first)
    await analytics.flush(10)
    other = make_day(metric_date=NOON.date() + DAY, top_countries=(), country_distribution={})
    await analytics.upsert_daily_metrics(other)
    better = replace(first, total_users=100)
    await analytics.upsert_daily_metrics(better)
    await analytics.flush(10)
    assert await analytics.daily_metrics(first.metric_date, other.metric_date) == (better, other)
    assert await analytics.daily_metrics(other.metric_date, other.metric_date) == (other,)
    assert await analytics.daily_metrics(date(2020, 1, 1), date(2020, 12, 31)) == ()


async def test_top_lists_count_each_prediction_once(analytics: Analytics) -> None:
    """Also when its outcome has come and nothing is merged; ties go by name, who has no tournament is not ranked."""
    asked = [("Faker", "Chovy"), ("Faker",), ("Ruler",), ("Chovy", "Faker")]
    tournaments = ["LCK", None, "LPL", "LCK"]
    predictions = [
        make_prediction(player_names=names, tournament=where) for names, where in zip(asked, tournaments, strict=True)
    ]
    await analytics.record_predictions(predictions)
    await analytics.flush(10)
    await analytics.record_outcomes([outcome(each, ActualResult.OVER) for each in predictions])
    await analytics.record_predictions([make_prediction(NOON - DAY, player_names=("Old",), tournament="Old")])
    await analytics.flush(10)
    assert await analytics.top_players(NOON, NOON + DAY) == (Ranked("Faker", 3), Ranked("Chovy", 2), Ranked("Ruler", 1))
    assert await analytics.top_players(NOON, NOON + DAY, 1) == (Ranked("Faker", 3),)
    assert await analytics.top_tournaments(NOON, NOON + DAY) == (Ranked("LCK", 2), Ranked("LPL", 1))


async def test_injections_in_every_text_are_only_text(analytics: Analytics, connection: ClickHouseConnection) -> None:
    """Each text field and each parameter of a read, with SQL, escapes and line breaks in it."""
    texts = [field.name for field in fields(UserEvent) if "str" in str(field.type) and field.name != "custom_data"]
    assert len(texts) == 15
    evil = [*INJECTIONS, "\\", "\\N", "\t\n\r\x01", "{since:UInt32}", '"}\n{"a":1}', "%s %(a)s", "😀"]
    for text in evil:
        changes: dict[str, Any] = dict.fromkeys(texts, text)
        await analytics.record_events([make_event(**changes, custom_data={text: text})])
        prediction = make_prediction(model_version=text, player_names=(text,), tournament=text, team=text)
        await analytics.record_predictions([prediction])
        await analytics.upsert_daily_metrics(make_day(top_countries=(text,), country_distribution={text: 1}))
    await analytics.flush(10)
    rows = await stored(connection, "user_events")
    for name in texts:
        assert sorted(str(row[name]) for row in rows) == sorted(evil), name
    assert sorted(str(row["custom_data"]) for row in rows) == sorted(str({text: text}) for text in evil)
    for text in evil:
        (hour,) = await analytics.model_performance(NOON, NOON + DAY, text)
        assert hour.model_version == text
    assert {ranked.name for ranked in await analytics.top_players(NOON, NOON + DAY, 100)} == set(evil)
    assert {ranked.name for ranked in await analytics.top_tournaments(NOON, NOON + DAY, 100)} == set(evil)
    (day,) = await analytics.daily_metrics(NOON.date(), NOON.date())
    assert day.top_countries == (evil[-1],)


async def test_a_block_of_many_months_is_taken(analytics: Analytics) -> None:
    """The server's default refuses more than 100 months in a block: a late or wrong clock must not stop the journal."""
    months = [datetime(1970 + n // 12, 1 + n % 12, 1, tzinfo=UTC) for n in range(136 * 12)][::13]
    await analytics.record_events([make_event(at) for at in months])
    await analytics.flush(60)
    hours = await analytics.user_activity(months[0], months[-1] + DAY)
    assert sum(hour.event_count for hour in hours) == len(months) > 100


async def test_nothing_is_recorded_of_an_empty_call(analytics: Analytics) -> None:
    """It is no error either."""
    await analytics.record_events([])
    await analytics.record_predictions([])
    assert analytics.bytes_waiting == 0


async def test_a_call_that_is_too_large_is_refused_whole(analytics: Analytics) -> None:
    """The remedy is named; nothing of it is recorded."""
    event = make_event(custom_data={str(n): "x" * 2048 for n in range(50)})
    with pytest.raises(InvalidError, match="bytes at once"):
        await analytics.record_events([event] * 100)
    assert analytics.bytes_waiting == 0


async def test_wrong_questions_are_refused(analytics: Analytics) -> None:
    """A naive time, an inverted range and a limit beyond reason name their field."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # what is tested
    for ask, field in (
        (analytics.model_performance(naive, NOON), "since"),
        (analytics.user_activity(NOON, NOON - DAY), "until"),
        (analytics.model_performance(NOON, NOON, "\0"), "model_version"),
        (analytics.top_players(NOON, NOON, 0), "limit"),
        (analytics.top_tournaments(NOON, NOON, 1001), "limit"),
    ):
        with pytest.raises(InvalidError) as error:
            await ask
        assert error.value.field == field


async def test_many_callers_at_once_lose_nothing(analytics: Analytics, connection: ClickHouseConnection) -> None:
    """Each call of 500 is one row; ids are whole and different."""
    ids = [UUID(int=number) for number in range(1, 501)]
    await asyncio.gather(*(analytics.record_events([make_event(event_id=each)]) for each in ids))
    await analytics.flush(20)
    rows = await connection.query("SELECT event_id FROM user_events")
    assert sorted(row[0] for row in rows) == ids
