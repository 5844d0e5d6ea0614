"""The checker of fault runs finds what is lost, doubled, refused and yet there, or never sent."""

from __future__ import annotations

from tests.faults.books import Books


def _books(*lines: str) -> Books:
    books = Books()
    for line in lines:
        books.note(line)
    return books


def test_what_was_acknowledged_must_be_there_once() -> None:
    """Missing is lost, twice is doubled."""
    books = _books("s a", "a a", "s b", "a b", "s c", "a c")
    verdict = books.verdict(3, ["a", "c", "c"])
    assert (verdict.lost, verdict.doubled) == (("b",), ("c",))
    assert not verdict.clean
    assert books.verdict(3, ["c", "b", "a"]).clean


def test_an_unknown_outcome_may_be_there_or_not_but_once() -> None:
    """A writer that was killed or told so does not know; it may try again."""
    books = _books("s a", "s b", "u b")
    assert books.unsettled() == ["a", "b"]
    assert books.verdict(1, []).clean
    assert books.verdict(1, ["a", "b"]).clean
    assert books.verdict(1, ["a", "a"]).doubled == ("a",)


def test_what_was_refused_must_not_be_there() -> None:
    """Unless it was tried again: then the last word counts."""
    assert _books("s a", "f a").verdict(1, ["a"]).refused == ("a",)
    assert _books("s a", "f a", "s a", "a a").verdict(1, ["a"]).clean
    assert _books("s a", "f a", "s a").verdict(1, ["a"]).clean


def test_what_nobody_sent_must_not_be_there() -> None:
    """An id from nowhere is a mistake of the store or of the run."""
    assert _books("s a", "a a").verdict(1, ["a", "x"]).strange == ("x",)
