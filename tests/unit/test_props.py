"""A question is valid once it exists, and what is wrong names its field."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.props import (
    FORMATS,
    MAX_LINE,
    MAX_MAP,
    MAX_PLAYERS,
    DataTier,
    MapRange,
    Position,
    PropRequest,
    PropType,
)
from stores.errors import InvalidError

names = st.lists(
    st.text(min_size=1, max_size=12).filter(str.strip),
    min_size=1,
    max_size=MAX_PLAYERS,
    unique_by=lambda name: name.casefold().strip(),
).map(tuple)
lines = st.integers(0, int(MAX_LINE) * 2).map(lambda halves: halves / 2)
map_numbers = st.integers(1, MAX_MAP)


def request(**changes: Any) -> PropRequest:
    """A valid request, changed."""
    given_fields: dict[str, Any] = {
        "player_names": ("Faker", "Keria"),
        "prop_type": PropType.KILLS,
        "prop_value": 4.5,
        "map_range": MapRange(1, 2),
    }
    return PropRequest(**{**given_fields, **changes})


@given(names, lines, map_numbers, map_numbers)
def test_what_is_valid_is_taken(players: tuple[str, ...], line: float, one: int, other: int) -> None:
    """Every number of distinct names, half line and rising map range is a question."""
    asked = request(player_names=players, prop_value=line, map_range=MapRange(min(one, other), max(one, other)))
    assert asked.player_names == players
    assert len(asked.map_range.maps) == abs(one - other) + 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"player_names": ()}, "player_names"),
        ({"player_names": tuple(f"p{n}" for n in range(MAX_PLAYERS + 1))}, "player_names"),
        ({"player_names": ("",)}, "player_names.0"),
        ({"player_names": ("Faker", " \t")}, "player_names.1"),
        ({"player_names": ("Faker", "Keria", " FAKER ")}, "player_names.2"),
        ({"prop_value": -0.5}, "prop_value"),
        ({"prop_value": MAX_LINE + 0.5}, "prop_value"),
        ({"prop_value": math.nan}, "prop_value"),
        ({"prop_value": math.inf}, "prop_value"),
        ({"prop_value": -math.inf}, "prop_value"),
        ({"prop_value": 2.25}, "prop_value"),
        ({"position_roles": (Position.MID,)}, "position_roles"),
        ({"position_roles": (Position.MID, Position.SUPPORT, Position.TOP)}, "position_roles"),
        ({"champions": ("Azir",)}, "champions"),
        ({"champions": ("Azir", "Bard", "Vi")}, "champions"),
        ({"champions": ("Azir", "  ")}, "champions.1"),
        ({"champions": ("Azir", " AZIR ")}, "champions.1"),
        *(({"best_of": maps}, "best_of") for maps in (-1, 0, 1, 2, 4, 6)),
    ],
)
def test_what_is_wrong_names_its_field(changes: dict[str, Any], field: str) -> None:
    """The path of the field is given with a message."""
    with pytest.raises(InvalidError) as refused:
        request(**changes)
    assert refused.value.field == field
    assert str(refused.value)


@given(map_numbers, map_numbers, st.integers(-1, MAX_MAP + 2))
def test_a_series_has_the_maps_of_its_format(one: int, other: int, best_of: int) -> None:
    """A map beyond the format cannot be asked for, and only three formats are played."""
    maps = MapRange(min(one, other), max(one, other))
    if best_of in FORMATS and maps.last <= best_of:
        assert request(map_range=maps, best_of=best_of).best_of == best_of
    else:
        with pytest.raises(InvalidError) as refused:
            request(map_range=maps, best_of=best_of)
        assert refused.value.field == "best_of"


def test_the_longest_format_has_every_map() -> None:
    """No map can be named that no format has."""
    assert max(FORMATS) == MAX_MAP


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_line_is_whole_or_half(line: float) -> None:
    """Of all floats only the halves between 0 and the largest line are lines."""
    if 0 <= line <= MAX_LINE and (line * 2).is_integer():
        assert request(prop_value=line).prop_value == line
    else:
        with pytest.raises(InvalidError) as refused:
            request(prop_value=line)
        assert refused.value.field == "prop_value"


@given(st.integers(), st.integers())
def test_a_map_range_lies_in_a_series(first: int, last: int) -> None:
    """Both ends are maps of a best of five, in order; else the wrong end is named."""
    if not 1 <= first <= MAX_MAP:
        field = "map_range.0"
    elif not 1 <= last <= MAX_MAP:
        field = "map_range.1"
    elif last < first:
        field = "map_range"
    else:
        assert list(MapRange(first, last).maps) == list(range(first, last + 1))
        return
    with pytest.raises(InvalidError) as refused:
        MapRange(first, last)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("first", "last", "field"), [(3, 2, "map_range"), (0, 1, "map_range.0"), (1, 6, "map_range.1")]
)
def test_a_wrong_map_range_names_its_end(first: int, last: int, field: str) -> None:
    """The examples of each kind of wrong range."""
    with pytest.raises(InvalidError) as refused:
        MapRange(first, last)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("games", "tier"), [(0, 5), (1, 4), (7, 4), (8, 3), (19, 3), (20, 2), (49, 2), (50, 1), (10_000, 1)]
)
def test_more_games_are_more_direct_evidence(games: int, tier: int) -> None:
    """The tier turns at the games its meaning names."""
    assert DataTier.of_games(games) is DataTier(tier)


def test_every_tier_says_what_it_means() -> None:
    """Five tiers, five sentences."""
    assert len({tier.meaning for tier in DataTier}) == len(DataTier) == 5
