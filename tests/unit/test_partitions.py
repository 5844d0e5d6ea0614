"""The names and bounds of partitions, and when one is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.postgres.partitions import (
    TABLES,
    PartitionedTable,
    Unit,
    is_expired,
    partition_of,
    partitions_around,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONTHLY = PartitionedTable("prediction_requests", "created_at", timedelta(days=90))
DAILY = PartitionedTable("prediction_metrics", "time", timedelta(days=30), Unit.DAY)


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), ["2025_12", "2026_01", "2026_02", "2026_03"]),
        (datetime(2026, 12, 1, tzinfo=UTC), ["2026_11", "2026_12", "2027_01", "2027_02"]),
        (datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), ["2026_01", "2026_02", "2026_03", "2026_04"]),
    ],
)
def test_months_cross_the_year(now: datetime, names: list[str]) -> None:
    """One month before and two ahead, over the turn of the year, by UTC whatever the zone of the time."""
    assert [one.name.removeprefix("prediction_requests_") for one in partitions_around(MONTHLY, now)] == names


def test_days_cross_the_leap_day() -> None:
    """A day before and a week ahead, each named in full."""
    names = [one.name for one in partitions_around(DAILY, datetime(2028, 2, 29, 12, tzinfo=UTC))]
    assert names[:3] == [f"prediction_metrics_2028_{day}" for day in ("02_28", "02_29", "03_01")]
    assert len(names) == 9


@given(st.integers(60, 2_500_000).map(lambda day: _EPOCH + timedelta(days=day, seconds=7)), st.sampled_from(TABLES))
def test_partitions_leave_no_gap_around_now(now: datetime, table: PartitionedTable) -> None:
    """Whatever the moment, it lies in exactly one partition, and each begins where the one before it ends."""
    partitions = partitions_around(table, now)
    assert all(earlier.end == later.start for earlier, later in pairwise(partitions))
    assert [one for one in partitions if one.start <= now < one.end] == [partition_of(table, now)]


def test_a_partition_expires_with_its_last_row() -> None:
    """It is kept while one row in it could be young enough, and not a moment longer."""
    march = partition_of(MONTHLY, datetime(2026, 3, 14, tzinfo=UTC))
    last_moment = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=90)
    assert is_expired(march, last_moment)
    assert not is_expired(march, last_moment - timedelta(microseconds=1))


def test_feedback_and_curves_leave_with_their_predictions() -> None:
    """The three tables share unit and age, so that no outcome is kept of a prediction that is gone."""
    policies = {table.name: (table.kept, table.unit) for table in TABLES}
    assert policies["prediction_requests"] == policies["prediction_feedback"] == policies["prediction_curves"]
