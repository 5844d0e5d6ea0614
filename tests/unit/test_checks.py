"""What every store can hold passes unchanged; what some server would refuse or bend is named before it gets there."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.checks import (
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    MAX_JSON_KEY,
    check_address,
    check_aware,
    check_json,
    check_number,
    check_object,
    check_text,
    check_texts,
)
from stores.errors import InvalidError

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@given(VALUES)
def test_what_passes_is_read_back_as_written(value: Any) -> None:
    """Every JSON value of sane size passes, and JSON gives it back equal."""
    check_json(value, "value")
    assert orjson.loads(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (math.nan, "v"),
        ([1, -math.inf], "v.1"),
        ({"a": {"b": [0, "a\0b"]}}, "v.a.b.1"),
        ({"a": "half \ud83c"}, "v.a"),
        ({"a\0": 1}, "v (a key)"),
        ({"k" * (MAX_JSON_KEY + 1): 1}, "v (a key)"),
        ({1: 1}, "v (a key)"),
        (2**64, "v"),
        (-(2**63) - 1, "v"),
        ((1, 2), "v"),
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, "v.when"),
        (UUID(int=1), "v"),
        (b"bytes", "v"),
        ("x" * (MAX_JSON_BYTES + 1), "v"),
        (["x" * 1000] * 66, "v"),
        (nested(MAX_JSON_DEPTH + 1), "v" + ".0" * (MAX_JSON_DEPTH + 1)),
    ],
)
def test_what_json_would_bend_is_named(value: Any, field: str) -> None:
    """The path of the wrong part is told, never its value."""
    with pytest.raises(InvalidError) as caught:
        check_json(value, "v")
    assert caught.value.field == field
    assert "a\0b" not in str(caught.value)


def test_the_bounds_themselves_pass() -> None:
    """The longest text, the deepest nesting, the largest integers and the longest key are inside."""
    check_json("x" * (MAX_JSON_BYTES - 2), "v")
    check_json(nested(MAX_JSON_DEPTH), "v")
    check_json({"k" * MAX_JSON_KEY: [2**64 - 1, -(2**63)]}, "v")
    check_text("x" * 5, "t", 5, blank=False)
    check_number(0, "n", 0, 1)
    check_number(1, "n", 0, 1)


@pytest.mark.parametrize("value", [[], "text", 1, None])
def test_a_document_is_an_object(value: Any) -> None:
    """Where a mapping is asked for nothing else will do."""
    with pytest.raises(InvalidError):
        check_object(value, "metadata")


@pytest.mark.parametrize("text", ["x" * 6, "a\0b", "\udfff", " \t", "", 7])
def test_a_wrong_text_is_named(text: Any) -> None:
    """Too long, NUL, half a surrogate pair, blank and not a text: each names the field."""
    with pytest.raises(InvalidError) as caught:
        check_text(text, "t", 5, blank=False)
    assert caught.value.field == "t"
    with pytest.raises(InvalidError) as caught:
        check_texts(["fine", text], "t", 5)
    assert caught.value.field == "t.1"


@pytest.mark.parametrize("number", [-1e-9, 1.0001, math.nan, math.inf])
def test_a_number_out_of_its_range_is_named(number: float) -> None:
    """NaN lies in no range."""
    with pytest.raises(InvalidError) as caught:
        check_number(number, "n", 0, 1)
    assert caught.value.field == "n"


def test_what_is_not_given_passes() -> None:
    """None is no wrong value."""
    check_text(None, "t", 5, blank=False)
    check_aware(None, "at")
    check_number(None, "n", 0, 1)
    check_address(None, "ip")


def test_a_time_needs_a_zone_and_an_address_must_not_have_one() -> None:
    """Any zone will do for a time; the zone of an address means something on one machine alone."""
    check_aware(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=9))), "at")
    with pytest.raises(InvalidError):
        check_aware(datetime(2026, 1, 1), "at")  # noqa: DTZ001  # the wrong value itself
    check_address(ip_address("fe80::1"), "ip")
    with pytest.raises(InvalidError):
        check_address(ip_address("fe80::1%eth0"), "ip")
