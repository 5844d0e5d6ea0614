"""The breaker, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.circuit_breaker import FAILURES, FIRST_PAUSE_S, MOST_PAUSE_S, CircuitBreaker, State
from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, RiftlineError, TransientError


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The moment."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """A breaker, closed."""
    return CircuitBreaker("the server", clock=clock)


async def _answer() -> str:
    return "yes"


async def _never() -> str:
    await asyncio.Event().wait()
    return "never"


def _fail(breaker: CircuitBreaker) -> None:
    epoch = breaker.enter()
    assert epoch is not None
    breaker.failed(epoch)


def _opened(breaker: CircuitBreaker) -> None:
    for _ in range(FAILURES):
        assert breaker.state is State.CLOSED
        _fail(breaker)
    assert breaker.state is State.OPEN


def test_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    """A success between them begins the count anew."""
    for _ in range(FAILURES - 1):
        _fail(breaker)
    breaker.succeeded(breaker.enter() or 0)
    _opened(breaker)
    assert breaker.enter() is None


def test_one_try_at_a_time(breaker: CircuitBreaker, clock: Clock) -> None:
    """After the pause one call passes; the others wait for its outcome, and a success lets all pass."""
    _opened(breaker)
    clock.now += FIRST_PAUSE_S
    epoch = breaker.enter()
    assert epoch is not None
    assert breaker.state is State.HALF_OPEN
    assert breaker.enter() is None
    breaker.succeeded(epoch)
    assert breaker.enter() is not None
    assert breaker.enter() is not None


def test_failed_tries_double_the_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    """Up to its bound; a success makes the next outage begin with the first pause again."""
    _opened(breaker)
    pause_s = FIRST_PAUSE_S
    for _ in range(8):
        clock.now += 0.99 * pause_s
        assert breaker.enter() is None
        clock.now += 0.02 * pause_s
        _fail(breaker)
        pause_s = min(2 * pause_s, MOST_PAUSE_S)
    assert pause_s == MOST_PAUSE_S
    clock.now += pause_s
    breaker.succeeded(breaker.enter() or 0)
    _opened(breaker)
    clock.now += FIRST_PAUSE_S
    assert breaker.enter() is not None


def test_late_outcomes_count_for_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    """A call that began before the outage neither closes the breaker nor counts as the try."""
    early = breaker.enter()
    assert early is not None
    _opened(breaker)
    breaker.succeeded(early)
    assert breaker.state is State.OPEN
    clock.now += FIRST_PAUSE_S
    assert breaker.enter() is not None
    breaker.failed(early)
    assert str(breaker.state) == State.HALF_OPEN


def test_a_try_that_was_left_makes_room(breaker: CircuitBreaker, clock: Clock) -> None:
    """A cancelled try does not keep the breaker half-open for ever, nor counts as a failure."""
    _opened(breaker)
    clock.now += FIRST_PAUSE_S
    breaker.left(breaker.enter() or 0)
    assert breaker.enter() is not None


@given(events=st.lists(st.sampled_from(["enter", "succeeded", "failed", "left", "wait"]), max_size=60))
def test_whatever_happens_it_recovers(events: list[str]) -> None:
    """After any course of events a pause and an answer close it, and at most one call is under way in half-open."""
    clock = Clock()
    breaker = CircuitBreaker("the server", clock=clock)
    under_way: list[int] = []
    for event in events:
        if event == "wait":
            clock.now += MOST_PAUSE_S
        elif event == "enter":
            was_open = breaker.state is State.OPEN
            epoch = breaker.enter()
            under_way += [] if epoch is None else [epoch]
            assert not (was_open and breaker.state is State.CLOSED)
        elif under_way:
            getattr(breaker, event)(under_way.pop())
    for epoch in under_way:
        breaker.left(epoch)
    clock.now += MOST_PAUSE_S
    last = breaker.enter()
    assert last is not None
    breaker.succeeded(last)
    assert breaker.state is State.CLOSED


async def test_a_silent_server_is_asked_a_few_times(breaker: CircuitBreaker) -> None:
    """Each of the first calls meets the deadline; from then on nobody waits, and the server is not asked."""
    asked = 0

    async def silent() -> str:
        nonlocal asked
        asked += 1
        return await _never()

    for _ in range(FAILURES + 20):
        with pytest.raises(TransientError):
            await breaker.call(silent, 0.001)
    assert asked == FAILURES
    assert breaker.state is State.OPEN


async def test_what_is_written_too_late_may_be_there(breaker: CircuitBreaker) -> None:
    """The caller is told so; once the breaker is open nothing is sent, and that is told too."""
    for _ in range(FAILURES):
        with pytest.raises(OutcomeUnknownError):
            await breaker.call(_never, 0.001, writes=True)
    with pytest.raises(TransientError):
        await breaker.call(_never, 0.001, writes=True)


@pytest.mark.parametrize("kind", [TransientError, OutcomeUnknownError])
async def test_servers_that_are_away_count(breaker: CircuitBreaker, kind: type[RiftlineError]) -> None:
    """The caller sees the error itself."""

    async def away() -> NoReturn:
        raise kind("away")

    for _ in range(FAILURES):
        with pytest.raises(kind, match="away"):
            await breaker.call(away, 1)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("kind", [ConflictError, InvalidError, ZeroDivisionError])
async def test_other_errors_are_answers(breaker: CircuitBreaker, kind: type[Exception]) -> None:
    """A server that says no is there, and a bug of ours is not its fault."""

    async def refused() -> NoReturn:
        raise kind("no")

    for _ in range(2 * FAILURES):
        with pytest.raises(kind):
            await breaker.call(refused, 1)
    assert breaker.state is State.CLOSED
    assert await breaker.call(_answer, 1) == "yes"


async def test_a_cancelled_call_is_none(breaker: CircuitBreaker, clock: Clock) -> None:
    """Cancelled tries leave the next one free."""
    _opened(breaker)
    clock.now += FIRST_PAUSE_S
    trying = asyncio.create_task(breaker.call(_never, 60))
    await asyncio.sleep(0)
    assert breaker.state is State.HALF_OPEN
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    assert await breaker.call(_answer, 1) == "yes"
    assert str(breaker.state) == State.CLOSED
