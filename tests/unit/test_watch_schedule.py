"""When the model is watched next, from what became of the passes before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.status import watch_line
from stores.errors import InvalidError
from stores.settings import Settings, WatchSettings
from training.watch_schedule import FIRST_PAUSE, WatchPass, next_pass_at

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PLAN = WatchSettings()


def ended(at: datetime, *, success: bool = True) -> WatchPass:
    """A pass that ended then."""
    return WatchPass(ended_at=at, success=success, verdict="so")


def test_a_day_after_the_last_pass_or_the_new_champion() -> None:
    """Whichever came later: the gates judged a new champion on the data of that moment."""
    assert next_pass_at([ended(NOON)], NOON - DAY, PLAN) == NOON + DAY
    assert next_pass_at([ended(NOON)], NOON + HOUR, PLAN) == NOON + HOUR + DAY
    assert next_pass_at([], NOON, PLAN) == NOON + DAY


def test_at_once_where_nothing_is_known() -> None:
    """Neither a pass nor a champion: the pass says what is missing."""
    assert next_pass_at([], None, PLAN) is None


def test_failures_are_repeated_after_pauses_that_double_up_to_a_day() -> None:
    """Only the failures since the last pass that ended well count, and the champion's age does not hide them."""
    failed = [ended(NOON - HOUR * back, success=False) for back in range(12)]
    pauses = []
    for count in range(1, 13):
        due = next_pass_at([*failed[:count], ended(NOON - 2 * DAY)], NOON, PLAN)
        assert due is not None
        pauses.append(due - NOON)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses == sorted(pauses)
    assert pauses[-1] == DAY
    assert next_pass_at([ended(NOON), *failed], None, PLAN) == NOON + DAY


@given(st.lists(st.booleans(), max_size=16), st.integers(1, 999_999_999))
def test_a_pass_is_never_put_off_beyond_the_interval(successes: list[bool], every_s: int) -> None:
    """Whatever happened before, and however long or short the interval is."""
    passes = [ended(NOON, success=success) for success in successes]
    due = next_pass_at(passes, NOON, WatchSettings(every_s=every_s))
    assert due is not None
    assert NOON < due <= NOON + timedelta(seconds=every_s)


def test_the_watch_is_set_by_variables() -> None:
    """On, once a day and after a week unless they say otherwise."""
    assert Settings.from_env({}).watch == WatchSettings(enabled=True, every_s=86_400, retrain_after_days=7)
    env = {"RIFTLINE_WATCH": "off", "RIFTLINE_WATCH_EVERY_S": "3600", "RIFTLINE_RETRAIN_AFTER_DAYS": "30"}
    assert Settings.from_env(env).watch == WatchSettings(enabled=False, every_s=3600, retrain_after_days=30)


@pytest.mark.parametrize("name", ["RIFTLINE_WATCH", "RIFTLINE_WATCH_EVERY_S", "RIFTLINE_RETRAIN_AFTER_DAYS"])
@pytest.mark.parametrize("text", ["yes", "0", "-1", "1.5"])
def test_a_wrong_variable_is_named(name: str, text: str) -> None:
    """A switch is on or off; seconds and days are positive whole numbers."""
    with pytest.raises(InvalidError, match=name) as refused:
        Settings.from_env({name: text})
    assert refused.value.field == name


def test_the_watch_in_one_line() -> None:
    """What runs, what came of the last pass, when the next one is."""
    told = {"last": NOON, "success": False, "verdict": "TransientError: away", "next": NOON + HOUR}
    assert watch_line({"state": "running", **told}) == (
        "running; next 2026-03-14 13:00 UTC; last 2026-03-14 12:00 UTC: failed: TransientError: away"
    )
    assert watch_line({"state": "running", "next": None}) == "running; next at once"
    assert watch_line({"state": "off", "next": NOON}) == "off"
