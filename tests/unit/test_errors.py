"""Riftline's errors survive every way in which they travel."""

from __future__ import annotations

import copy
import pickle

import pytest

from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    RiftlineError,
    TransientError,
    UnknownNameError,
)

ALL = [
    RiftlineError("plain"),
    TransientError("again"),
    OverloadedError("full"),
    ConflictError("second"),
    OutcomeUnknownError("who knows"),
    NotFoundError("nothing"),
    NotFoundError("nobody", ("Faker", "Fakir")),
    UnknownNameError("nobody", ("Faker",), "player_names.0"),
    InvalidError("wrong"),
    InvalidError("wrong", "prop_value"),
]


def pickled(error: RiftlineError) -> RiftlineError:
    """Through pickle, as between processes."""
    rebuilt = pickle.loads(pickle.dumps(error))  # noqa: S301 — our own bytes
    assert isinstance(rebuilt, RiftlineError)
    return rebuilt


def from_args(error: RiftlineError) -> RiftlineError:
    """From the positional arguments, as Ray does."""
    return type(error)(*error.args)


@pytest.mark.parametrize("travel", [pickled, from_args, copy.copy])
@pytest.mark.parametrize("error", ALL, ids=repr)
def test_an_error_travels_whole(error: RiftlineError, travel: object) -> None:
    """Type, text, arguments and attributes are the same after the journey, twice over."""
    assert callable(travel)
    arrived = travel(travel(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("error", ALL, ids=repr)
def test_the_text_is_the_message(error: RiftlineError) -> None:
    """People read the message alone, without field or suggestions."""
    assert str(error) == error.args[0]


def test_what_a_caller_reads() -> None:
    """Field and suggestions are attributes; without them they are empty."""
    unknown = UnknownNameError("nobody", ("Faker",), "player_names.0")
    assert (unknown.field, unknown.suggestions) == ("player_names.0", ("Faker",))
    assert NotFoundError("nothing").suggestions == ()
    assert InvalidError("wrong").field == ""


@pytest.mark.parametrize(
    ("error", "parent"),
    [(OverloadedError, TransientError), (UnknownNameError, NotFoundError)],
)
def test_the_branches(error: type[RiftlineError], parent: type[RiftlineError]) -> None:
    """Who handles the branch handles its leaves."""
    assert issubclass(error, parent)
