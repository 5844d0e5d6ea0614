"""Analytics in ClickHouse: recorded in a journal on disk, delivered in blocks, counted by views."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from stores.clickhouse.delivery import Delivery
from stores.clickhouse.rows import (
    DAILY_READ,
    NOBODY,
    daily_line,
    daily_of,
    event_line,
    joined,
    model_hour_of,
    moment_of,
    outcome_line,
    prediction_line,
    seconds_of,
)
from stores.clock import utc_now
from stores.domain.analytics import ActivityHour, Ranked, check_moment
from stores.domain.checks import check_number, check_text
from stores.errors import InvalidError
from stores.journal.adoption import open_slot
from stores.journal.journal import DEFAULT_BOUNDS, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date, datetime
    from pathlib import Path
    from uuid import UUID

    from stores.clickhouse.connection import ClickHouseConnection
    from stores.domain.analytics import DailyMetrics, ModelHour, PredictionEvent, PredictionOutcome, UserEvent
    from stores.journal.journal import Bounds

MAX_RANKED = 1000

_MODEL_PERFORMANCE = (
    "SELECT model_version, toUnixTimestamp(prediction_hour), total_predictions, avg_confidence, avg_response_time,"
    " cache_hits, correct_predictions, incorrect_predictions FROM model_performance_hourly"
    " WHERE prediction_hour >= toStartOfHour(toDateTime({since:UInt32}, 'UTC'))"
    " AND prediction_hour < toDateTime({until:UInt32}, 'UTC')"
    " AND ({any_version:Bool} OR model_version = {model_version:String})"
    " ORDER BY prediction_hour, model_version"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"  # all states of a prediction are of one month
)
_USER_ACTIVITY = (
    "SELECT toUnixTimestamp(event_hour), event_type, uniqExactMerge(event_count),"
    " uniqExactMerge(unique_sessions)"
    " FROM user_activity_hourly_states"
    " WHERE event_hour >= toStartOfHour(toDateTime({since:UInt32}, 'UTC'))"
    " AND event_hour < toDateTime({until:UInt32}, 'UTC')"
    " AND ({anyone:Bool} OR user_id = {user_id:UUID})"
    " GROUP BY event_hour, event_type ORDER BY event_hour, event_type"
)
_DAILY = (
    f"SELECT {', '.join(DAILY_READ)} FROM daily_metrics FINAL"  # noqa: S608  # names of our own class
    " WHERE metric_date >= {first:Date} AND metric_date <= {last:Date} ORDER BY metric_date"
)
_TOP = (
    "SELECT {what} AS name, count() AS predictions FROM prediction_analytics FINAL"
    " WHERE created_at >= toDateTime({{since:UInt32}}, 'UTC') AND created_at < toDateTime({{until:UInt32}}, 'UTC')"
    " AND name != '' GROUP BY name ORDER BY predictions DESC, name LIMIT {{most:UInt32}}"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"  # as above
)
_TOP_PLAYERS = _TOP.format(what="arrayJoin(player_names)")
_TOP_TOURNAMENTS = _TOP.format(what="tournament")


class ClickHouseAnalytics:
    """See `stores.roles.analytics`. A delivery is known by its token among the last 100,000 inserts of each table."""

    def __init__(
        self, connection: ClickHouseConnection, journal: Journal, now: Callable[[], datetime] = utc_now
    ) -> None:
        """Takes over ``journal`` and begins to deliver; the connection stays its opener's."""
        self._connection = connection
        self._journal = journal
        self._now = now
        self._delivery = Delivery(connection, journal)

    @property
    def bytes_waiting(self) -> int:
        """What is on disk and not in the server."""
        return self._journal.bytes_held

    async def record_events(self, events: Sequence[UserEvent]) -> None:
        """As the role says."""
        await self._record("user_events", map(event_line, events))

    async def record_predictions(self, predictions: Sequence[PredictionEvent]) -> None:
        """As the role says."""
        await self._record("prediction_analytics", map(prediction_line, predictions))

    async def record_outcomes(self, outcomes: Sequence[PredictionOutcome]) -> None:
        """As the role says."""
        await self._record("prediction_analytics", map(outcome_line, outcomes))

    async def upsert_daily_metrics(self, metrics: DailyMetrics) -> None:
        """As the role says."""
        await self._record("daily_metrics", [daily_line(metrics, self._now())])

    async def model_performance(
        self, since: datetime, until: datetime, model_version: str | None = None
    ) -> tuple[ModelHour, ...]:
        """As the role says."""
        check_text(model_version, "model_version", 255)
        asked = _range(since, until) | {"any_version": model_version is None, "model_version": model_version or ""}
        return tuple(model_hour_of(row) for row in await self._connection.query(_MODEL_PERFORMANCE, asked))

    async def user_activity(
        self, since: datetime, until: datetime, user_id: UUID | None = None
    ) -> tuple[ActivityHour, ...]:
        """As the role says."""
        asked = _range(since, until) | {"anyone": user_id is None, "user_id": str(user_id or NOBODY)}
        rows = await self._connection.query(_USER_ACTIVITY, asked)
        return tuple(ActivityHour(moment_of(hour), *figures) for hour, *figures in rows)

    async def daily_metrics(self, first: date, last: date) -> tuple[DailyMetrics, ...]:
        """As the role says."""
        rows = await self._connection.query(_DAILY, {"first": first, "last": last})
        return tuple(daily_of(row) for row in rows)

    async def top_players(self, since: datetime, until: datetime, limit: int = 10) -> tuple[Ranked, ...]:
        """As the role says."""
        return await self._top(_TOP_PLAYERS, since, until, limit)

    async def top_tournaments(self, since: datetime, until: datetime, limit: int = 10) -> tuple[Ranked, ...]:
        """As the role says."""
        return await self._top(_TOP_TOURNAMENTS, since, until, limit)

    async def flush(self, timeout_s: float) -> None:
        """As the role says."""
        await self._journal.cursor().flush(timeout_s)

    async def redeliver(self) -> int:
        """Deliver again what the server refused, once its cause is gone, and return how many rows it still refuses.

        Also of journals that no living process owns. May be repeated after any error.
        """
        return await self._delivery.redeliver()

    async def close(self) -> None:
        """As the role says."""
        await self._delivery.close()
        await self._journal.close()

    async def _record(self, table: str, lines: Iterable[bytes]) -> None:
        rows = joined(lines)
        if rows:
            await self._journal.append(table.encode() + b"\n" + rows)

    async def _top(self, sql: str, since: datetime, until: datetime, limit: int) -> tuple[Ranked, ...]:
        check_number(limit, "limit", 1, MAX_RANKED)
        rows = await self._connection.query(sql, _range(since, until) | {"most": limit})
        return tuple(Ranked(*row) for row in rows)


async def open_analytics(
    connection: ClickHouseConnection, spill_dir: Path, bounds: Bounds = DEFAULT_BOUNDS
) -> ClickHouseAnalytics:
    """Own the first journal under ``spill_dir`` that no living process owns, and deliver what is in it."""
    return ClickHouseAnalytics(connection, await open_slot(spill_dir, partial(Journal.open, bounds=bounds)))


def _range(since: datetime, until: datetime) -> dict[str, object]:
    check_moment(since, "since")
    check_moment(until, "until")
    if until < since:
        raise InvalidError("until lies before since; exchange them", "until")
    whole = seconds_of(until)
    return {"since": seconds_of(since), "until": whole + (until - moment_of(whole) > timedelta(0))}
