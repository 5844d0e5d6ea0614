"""Cursors: they come back, and no other text, filter or caller opens them."""

from __future__ import annotations

import string
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serve_apps.history_cursor import CursorSeal
from stores.domain.prediction_filters import Column, Condition, Operator, PredictionFilter
from stores.errors import InvalidError

SEAL = CursorSeal.of("postgresql://somewhere/riftline")
USER = UUID(int=7)

texts = st.text(max_size=20)
conditions = st.builds(
    Condition,
    st.sampled_from([Column.PLAYER_NAME, Column.MODEL_VERSION]),
    st.sampled_from([Operator.EQ, Operator.NE]),
    st.tuples(texts),
)
filters = st.builds(PredictionFilter, st.uuids(), st.lists(conditions, max_size=3).map(tuple))


@given(last=st.uuids(), meant=filters)
def test_a_cursor_comes_back(last: UUID, meant: PredictionFilter) -> None:
    """Every id survives, whatever the filter; the order in which conditions are given does not matter."""
    cursor = SEAL.close(last, meant)
    assert SEAL.open(cursor, meant) == last
    turned = PredictionFilter(meant.user_id, tuple(reversed(meant.conditions)))
    assert CursorSeal.of("postgresql://somewhere/riftline").open(cursor, turned) == last
    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")


@given(last=st.uuids(), meant=filters, other=filters)
def test_a_cursor_is_of_one_question(last: UUID, meant: PredictionFilter, other: PredictionFilter) -> None:
    """Another caller or other conditions do not open it, nor does another secret."""
    cursor = SEAL.close(last, meant)
    with pytest.raises(InvalidError) as caught:
        CursorSeal.of("another").open(cursor, meant)
    assert caught.value.field == "cursor"
    assume(meant.user_id != other.user_id or set(meant.conditions) != set(other.conditions))
    with pytest.raises(InvalidError):
        SEAL.open(cursor, other)


@given(last=st.uuids(), at=st.integers(0, 42), new=st.sampled_from(string.ascii_letters + string.digits + "-_=. "))
def test_a_changed_cursor_is_refused(last: UUID, at: int, new: str) -> None:
    """No single character may be another one, not even where it holds unused bits."""
    meant = PredictionFilter(USER)
    cursor = SEAL.close(last, meant)
    changed = cursor[:at] + new + cursor[at + 1 :]
    assume(changed != cursor)
    with pytest.raises(InvalidError):
        SEAL.open(changed, meant)


@given(text=st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    """Nothing but an error that names the cursor comes of any text."""
    with pytest.raises(InvalidError) as caught:
        SEAL.open(text, PredictionFilter(USER))
    assert caught.value.field == "cursor"


def test_the_secret_is_not_shown() -> None:
    """What is printed holds no key."""
    assert "secret" not in repr(SEAL)
