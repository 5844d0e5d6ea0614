"""Which stretches are folded: whole windows, each at least once, late ones again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.series_query import Resolution
from stores.downsampling import LATE, MOST_WINDOWS, floor, reach, spans

NOW = datetime(2026, 3, 14, 12, 34, 56, 789, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
COARSE = st.sampled_from([Resolution.MEDIUM, Resolution.LOW])


def test_the_first_run_goes_back_as_far_as_there_are_points() -> None:
    """Seven days of minutes, ninety of hours."""
    assert next(spans(Resolution.MEDIUM, None, NOW))[0] == floor(NOW - 7 * DAY, MINUTE)
    assert next(spans(Resolution.LOW, None, NOW))[0] == floor(NOW - 90 * DAY, HOUR)


def test_a_run_on_time_folds_the_last_hour_again() -> None:
    """And nothing that is older, so that it costs the same every time."""
    assert list(spans(Resolution.MEDIUM, NOW - MINUTE, NOW)) == [
        (datetime(2026, 3, 14, 11, 32, tzinfo=UTC), datetime(2026, 3, 14, 12, 34, tzinfo=UTC))
    ]
    assert list(spans(Resolution.LOW, NOW - HOUR, NOW)) == [
        (datetime(2026, 3, 14, 9, tzinfo=UTC), datetime(2026, 3, 14, 12, tzinfo=UTC))
    ]


@given(COARSE, st.timedeltas(min_value=timedelta(0), max_value=30 * DAY), st.datetimes(timezones=st.just(UTC)))
def test_spans_are_whole_joined_and_bounded(resolution: Resolution, away: timedelta, now: datetime) -> None:
    """From where the last run ended, or from what late points can have changed, up to the last whole window."""
    if now.year < 1971 or now.year > 9000:
        return
    found = list(spans(resolution, now - away, now))
    step = resolution.step
    assert all(since < until for since, until in found)
    assert all(floor(edge, step) == edge for span in found for edge in span)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert all(until - since <= MOST_WINDOWS * step for since, until in found)
    assert found[0][0] <= min(now - away, now - LATE)
    assert found[-1][1] == floor(now, step)


@pytest.mark.parametrize("resolution", [Resolution.MEDIUM, Resolution.LOW])
def test_what_is_late_is_within_the_reach(resolution: Resolution) -> None:
    """A point an hour late is folded by the next run of its stage, though that comes a whole step later."""
    point = NOW - LATE
    run = NOW + resolution.step + MINUTE
    assert next(spans(resolution, run, run))[0] <= floor(point, resolution.step)
    assert reach(resolution) >= LATE
