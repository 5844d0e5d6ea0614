"""Prediction ids are UUIDv7: unique, sorted by time, and they give their moment back."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.prediction_id import created_at, new_prediction_id
from stores.errors import InvalidError

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_id_gives_its_moment_back_to_the_millisecond(now: datetime) -> None:
    """The moment of an id is the one it was made at, cut to the millisecond."""
    prediction_id = new_prediction_id(now)
    assert created_at(prediction_id) == now.replace(microsecond=now.microsecond // 1000 * 1000)
    assert (prediction_id.version, prediction_id.variant) == (7, RFC_4122)


def test_the_layout_is_that_of_the_standard() -> None:
    """The example of RFC 9562, appendix A.6, has the moment that the RFC says."""
    example = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
    assert created_at(example) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_ids_sort_by_their_moment_and_do_not_repeat() -> None:
    """A later id is a greater one, and ten thousand of one millisecond are all different."""
    assert new_prediction_id(NOON) < new_prediction_id(NOON + timedelta(milliseconds=1))
    assert len({new_prediction_id(NOON) for _ in range(10_000)}) == 10_000


# in a process of its own, which has no threads: a child that kept what was drawn ahead would give the parent's next ids
FORKED = r"""
import os
from datetime import UTC, datetime
from stores.domain.prediction_id import new_prediction_id
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
new_prediction_id(NOON)
child = os.fork()
os.write(1, f"{new_prediction_id(NOON)}\n".encode())  # at once: a line that is printed may be torn by the other's
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_has_ids_of_its_own() -> None:
    """Of the same moment, too."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 2


def test_the_zone_of_the_clock_does_not_matter() -> None:
    """The same moment in another zone gives the same time."""
    there = NOON.astimezone(timezone(timedelta(hours=9)))
    assert created_at(new_prediction_id(there)) == NOON


@pytest.mark.parametrize("now", [NOON.replace(tzinfo=None), datetime(1969, 12, 31, tzinfo=UTC)])
def test_a_time_that_fits_no_id_is_refused(now: datetime) -> None:
    """A naive time and one before 1970 are refused rather than bent."""
    with pytest.raises(InvalidError):
        new_prediction_id(now)


@pytest.mark.parametrize("other", [uuid4(), UUID(int=0), UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")])
def test_another_kind_of_id_has_no_moment(other: UUID) -> None:
    """A random UUID, the nil one and one beyond the year 9999 are refused with the field's name."""
    with pytest.raises(InvalidError) as caught:
        created_at(other)
    assert caught.value.field == "prediction_id"
