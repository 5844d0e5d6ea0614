"""Pauses grow, are spread, and end in time."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores import backoff
from stores.backoff import pauses_s, until_done

seconds = st.floats(0.001, 10)


@given(seconds, seconds, st.floats(0, 100))
def test_pauses_stay_within_their_time(first_s: float, most_s: float, within_s: float) -> None:
    """The sum never passes the limit and no pause passes the longest."""
    pauses = list(islice(pauses_s(first_s, most_s, within_s), 10_000))
    assert sum(pauses) <= within_s
    assert all(pause <= max(first_s, most_s) for pause in pauses)


def test_pauses_grow_and_differ() -> None:
    """Two callers that fail together do not come back together."""
    first, second = (list(pauses_s(0.1, 100.0, 60.0)) for _ in range(2))
    assert first != second
    assert all(later > 0.99 * earlier for earlier, later in pairwise(first))
    assert first[-1] > 8 * first[0]


async def test_an_attempt_is_repeated_until_it_succeeds_or_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer comes back, or the first error that is not worth repeating."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    outcomes: list[Exception | str] = [
        OSError("a"),
        OSError("b"),
        "done",
        OSError("c"),
        ValueError("hopeless"),
        "never",
    ]

    async def attempt() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def worth_repeating(error: Exception) -> bool:
        return isinstance(error, OSError)

    assert await until_done(attempt, worth_repeating) == "done"
    with pytest.raises(ValueError, match="hopeless"):
        await until_done(attempt, worth_repeating)
    assert outcomes == ["never"]
