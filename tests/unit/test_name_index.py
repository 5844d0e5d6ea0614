"""Names become entries: whatever the case, by id too, and with suggestions where a letter is wrong."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.name_index import SUGGESTIONS, NameIndex
from stores.errors import NotFoundError


class Entry(NamedTuple):
    """The least that an index asks for."""

    key: str
    name: str
    games: int


FAKER = Entry("oe:1", "Faker", 900)
SHANKS = Entry("oe:2", "Shanks", 120)
OTHER_SHANKS = Entry("oe:3", "Shanks", 300)
BIN = Entry("oe:4", "Bin", 500)
LOUD_BIN = Entry("oe:5", "BIN", 3)
INDEX = NameIndex("player", [LOUD_BIN, SHANKS, FAKER, BIN, OTHER_SHANKS])


@pytest.mark.parametrize("name", ["Faker", "faker", "FAKER", "  Faker ", "oe:1", "OE:1"])
def test_case_and_white_space_do_not_matter(name: str) -> None:
    """A name or an id is found however it is written."""
    assert INDEX.find(name) is FAKER


def test_of_namesakes_the_one_with_most_games_is_found() -> None:
    """The better known of two is meant; an id means its own."""
    assert INDEX.find("shanks") is OTHER_SHANKS
    assert INDEX.find("bin") is BIN
    assert INDEX.find("oe:2") is SHANKS


def test_all_namesakes_are_candidates() -> None:
    """All who bear a name are told, the best known first; an id has one bearer, and what nobody bears is refused."""
    assert list(INDEX.candidates(" shanks")) == [OTHER_SHANKS, SHANKS]
    assert list(INDEX.candidates("BIN")) == [BIN, LOUD_BIN]
    assert list(INDEX.candidates("oe:2")) == [SHANKS]
    with pytest.raises(NotFoundError):
        INDEX.candidates("nobody")


@pytest.mark.parametrize(("typed", "meant"), [("Fakr", "Faker"), ("fakerr", "Faker"), ("shank", "Shanks")])
def test_typing_errors_are_answered_with_suggestions(typed: str, meant: str) -> None:
    """The error names what was asked for and what may have been meant."""
    with pytest.raises(NotFoundError) as caught:
        INDEX.find(typed)
    assert caught.value.suggestions[0] == meant
    assert typed in str(caught.value)
    assert meant in str(caught.value)


def test_suggestions_are_spelt_as_their_bearers_are() -> None:
    """The case of a typing error plays no part, and what is suggested keeps its own."""
    assert INDEX.search("FAKRE", 1) == INDEX.search("fakre", 1) == [FAKER]
    with pytest.raises(NotFoundError) as caught:
        INDEX.find("SHANK")
    assert caught.value.suggestions[0] == "Shanks"


def test_what_is_near_nothing_has_no_suggestion() -> None:
    """Noise is not answered with noise, and a blank is nobody's name."""
    for text in ("qqqqxxxx", "", "   "):
        with pytest.raises(NotFoundError) as caught:
            INDEX.find(text)
        assert caught.value.suggestions == ()


def test_search_gives_near_entries_once_each() -> None:
    """A search finds all who bear the name, none of them twice, and without a text the best known."""
    assert INDEX.search("bin", 10)[:2] == [BIN, LOUD_BIN]
    for text in ("bin", "shanks", "a", "s"):
        found = INDEX.search(text, 10)
        assert len(found) == len(set(found))
    assert INDEX.search(" ", 2) == [FAKER, BIN]
    assert len(INDEX.search("shanks", 1)) == 1


@given(st.text(max_size=300))
def test_any_text_is_found_or_answered(text: str) -> None:
    """No text breaks the index: it is found, or refused with at most the promised number of suggestions."""
    try:
        assert INDEX.find(text) in INDEX.entries
    except NotFoundError as error:
        assert len(error.suggestions) <= SUGGESTIONS  # noqa: PT017
    assert len(INDEX.search(text, 3)) <= 3
