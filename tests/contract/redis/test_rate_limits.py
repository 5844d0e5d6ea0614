"""Token buckets: exact, atomic, shared, and never more generous than they say."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.domain.rate_limits import MAX_TOKENS, Demand, RateLimit, Window
from stores.errors import InvalidError
from stores.redis_store import keys
from stores.redis_store.rate_limits import BUCKETS, RedisRateLimits
from stores.redis_store.scripts import Script

if TYPE_CHECKING:
    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("rate limits")

MINUTE, HOUR, DAY = Window.MINUTE, Window.HOUR, Window.DAY
SEEDS = (RateLimit(MINUTE, 45), RateLimit(HOUR, 450), RateLimit(DAY, 5000))


@pytest.fixture
def limits(connection: RedisConnection) -> RedisRateLimits:
    """The adapter over an empty server."""
    return RedisRateLimits(connection)


@dataclass
class Model:
    """What the buckets of one subject should hold, in plain integers; the clock is passed in."""

    limits: tuple[RateLimit, ...]
    levels: dict[Window, tuple[int, int]] = field(default_factory=dict)  # level and its moment

    def ask(self, least: int, most: int, now: int) -> list[int]:
        """The reply that the script owes: allowed, granted, wait, now, then remaining and reset of each bucket."""
        levels = [self._level(limit, now) for limit in self.limits]
        windows = [limit.window.seconds * 1000 for limit in self.limits]
        granted = min(most, *(level // window for level, window in zip(levels, windows, strict=True)))
        allowed = granted >= least
        granted = granted if allowed else 0
        wait = 0
        reply = []
        for limit, level, window in zip(self.limits, levels, windows, strict=True):
            if granted:
                level = min(level - granted * window, limit.tokens * window)  # noqa: PLW2901
                self.levels[limit.window] = (level, now)
            if not allowed:
                wait = max(wait, -((level - least * window) // limit.tokens))
            reply += [level // window, -((level - limit.tokens * window) // limit.tokens)]
        return [int(allowed), granted, wait, now, *reply]

    def age(self, milliseconds: int) -> None:
        """Let time pass."""
        self.levels = {window: (level, at - milliseconds) for window, (level, at) in self.levels.items()}

    def _level(self, limit: RateLimit, now: int) -> int:
        window = limit.window.seconds * 1000
        level, at = self.levels.get(limit.window, (limit.tokens * window, now))
        return min(level + min(max(now - at, 0), window) * limit.tokens, limit.tokens * window)


async def _age(connection: RedisConnection, demand: Demand, milliseconds: int) -> None:
    """Let time pass for the server's buckets: their moments are moved back."""
    back = Script("return redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HINCRBY', KEYS[1], 'at_ms', ARGV[1])")
    calls = [([name], [-milliseconds]) for name in _names(demand)]
    await connection.run(lambda redis: back.call_many(redis, calls))


def _names(demand: Demand) -> list[str]:
    assert isinstance(demand.subject, UUID)
    return [keys.user_rate(demand.subject, limit.window) for limit in demand.limits]


tokens = st.one_of(st.integers(1, 50), st.integers(1, MAX_TOKENS))
bucket_sets = st.lists(st.sampled_from(list(Window)), min_size=1, max_size=3, unique=True).flatmap(
    lambda windows: st.tuples(*(st.builds(RateLimit, st.just(window), tokens) for window in windows))
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 60)),
        st.tuples(st.just("lease"), st.integers(1, MAX_TOKENS)),
        st.tuples(st.just("give_back"), st.integers(0, MAX_TOKENS)),
        st.tuples(st.just("age"), st.integers(0, 2 * DAY.seconds * 1000)),
        st.tuples(st.just("age"), st.integers(-5000, 5000)),  # a clock that goes back, too
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(buckets=bucket_sets, steps=steps)
async def test_the_script_counts_like_the_model(
    connection: RedisConnection, buckets: tuple[RateLimit, ...], steps: list[tuple[str, int]]
) -> None:
    """Whatever is taken, leased, given back and however time passes, the script and plain integers agree exactly."""
    demand = Demand(uuid4(), buckets)
    model = Model(buckets)
    sizes = [part for limit in buckets for part in (limit.tokens, limit.window.seconds * 1000)]
    for step, number in steps:
        if step == "age":
            model.age(number)
            await _age(connection, demand, number)
            continue
        least, most = {"take": (number, number), "lease": (1, number), "give_back": (-number, -number)}[step]
        call = (_names(demand), [least, most, *sizes])
        (reply,) = await connection.run(partial(BUCKETS.call_many, calls=[call]))
        assert reply == model.ask(least, most, now=reply[3])


async def test_the_seeds_limits_hold(limits: RedisRateLimits) -> None:
    """A user with 45 a minute gets 45, then is told when the next token is there; hour and day count along."""
    demand = Demand(uuid4(), SEEDS)
    verdicts = [(await limits.take([demand]))[0] for _ in range(45)]
    assert all(verdict.allowed for verdict in verdicts)
    (refused,) = await limits.take([demand])
    assert not refused.allowed
    assert 0 < refused.retry_after_s <= 60 / 45
    minute, hour, day = refused.buckets
    assert (minute.limit, minute.remaining) == (45, 0)
    assert 404 <= hour.remaining <= 406  # one more may have come back meanwhile
    assert 4954 <= day.remaining <= 4956
    assert minute.reset_s <= MINUTE.seconds


async def test_many_at_once_get_no_more_than_there_is(limits: RedisRateLimits) -> None:
    """200 concurrent callers of one bucket of 50 get 50 tokens and what came back in that time, no more."""
    demand = Demand("key-1", (RateLimit(DAY, 50),))
    verdicts = await asyncio.gather(*(limits.take([demand]) for _ in range(200)))
    assert sum(verdict.allowed for (verdict,) in verdicts) == 50


async def test_a_refusal_gives_the_others_their_tokens_back(limits: RedisRateLimits) -> None:
    """When the address refuses, the user's and the key's buckets are as full as before."""
    user, key = Demand(uuid4(), (RateLimit(DAY, 10),)), Demand("key", (RateLimit(DAY, 10),))
    address = Demand(IPv4Address("192.0.2.1"), (RateLimit(DAY, 1),))
    assert [verdict.allowed for verdict in await limits.take([user, key, address])] == [True, True, True]
    assert [verdict.allowed for verdict in await limits.take([user, key, address])] == [True, True, False]
    left = await limits.take([user, key, address], cost=0)
    assert [verdict.buckets[0].remaining for verdict in left] == [9, 9, 0]


async def test_all_buckets_of_a_subject_are_charged_or_none(limits: RedisRateLimits) -> None:
    """An empty minute refuses, and the hour keeps its tokens."""
    demand = Demand(uuid4(), (RateLimit(HOUR, 1000), RateLimit(DAY, 2)))
    await limits.take([demand], cost=2)
    (refused,) = await limits.take([demand], cost=2)
    assert (refused.allowed, refused.granted, refused.buckets[0].remaining) == (False, 0, 998)


async def test_a_lease_takes_what_is_there(limits: RedisRateLimits) -> None:
    """A lease is granted in part, is nothing when nothing is left, and what was not spent goes back."""
    demand = Demand(uuid4(), (RateLimit(DAY, 10),))
    assert (await limits.lease(demand, 7)).granted == 7
    assert (await limits.lease(demand, 7)).granted == 3
    empty = await limits.lease(demand, 7)
    assert (empty.allowed, empty.granted) == (False, 0)
    assert math.isclose(empty.retry_after_s, DAY.seconds / 10, abs_tol=5)
    await limits.give_back(demand, 4)
    assert (await limits.lease(demand, 7)).granted == 4
    await limits.give_back(demand, 1000)
    assert (await limits.take([demand], 0))[0].buckets[0].remaining == 10


async def test_many_lease_in_one_round_trip(limits: RedisRateLimits) -> None:
    """Each gets what its own buckets have, an empty one nothing, and the others do not mind."""
    demands = [Demand(uuid4(), (RateLimit(DAY, 10),)) for _ in range(20)]
    assert [one.granted for one in await limits.lease_many([(demand, 7) for demand in demands])] == [7] * 20
    again = await limits.lease_many([(demand, index + 1) for index, demand in enumerate(demands)])
    assert [one.granted for one in again] == [1, 2, *[3] * 18]
    assert [one.granted for one in await limits.lease_many([(demand, 1) for demand in demands[:4]])] == [1, 1, 0, 0]
    assert await limits.lease_many([]) == []
    with pytest.raises(InvalidError, match="a lease of 0"):
        await limits.lease_many([(demands[0], 1), (demands[1], 0)])


async def test_a_bucket_lives_for_its_window(limits: RedisRateLimits, connection: RedisConnection) -> None:
    """After its window an untouched bucket would be full, so it is forgotten then; asking alone makes none."""
    user = uuid4()
    await limits.take([Demand(user, SEEDS)], cost=0)
    key = keys.user_rate(user, "hour")
    assert not await connection.run(lambda redis: redis.exists(key))
    await limits.take([Demand(user, SEEDS)])
    left_ms = await connection.run(lambda redis: redis.pttl(key))
    assert HOUR.seconds - 10 < left_ms / 1000 <= HOUR.seconds


async def test_scripts_that_were_forgotten_are_sent_again(limits: RedisRateLimits, connection: RedisConnection) -> None:
    """A server that lost its scripts, as after a restart, gets them again, for one call and for many."""
    demands = [Demand(uuid4(), (RateLimit(DAY, 5),)) for _ in range(10)]
    for _ in range(2):
        await connection.run(lambda redis: redis.script_flush())
        assert (await limits.take(demands[:1]))[0].allowed
        await connection.run(lambda redis: redis.script_flush())
        assert all(verdict.allowed for verdict in await limits.take(demands))
    left = await limits.take(demands, cost=0)
    assert [verdict.buckets[0].remaining for verdict in left] == [1, *[3] * 9]


async def test_one_client_has_one_bucket_whatever_its_address_looks_like(limits: RedisRateLimits) -> None:
    """A network /64 is one client, and so is an IPv4 address and the same one written as IPv6."""
    buckets = (RateLimit(DAY, 1),)
    for first, second in (
        (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::ffff:1")),
        (IPv4Address("192.0.2.9"), IPv6Address("::ffff:192.0.2.9")),
    ):
        assert (await limits.take([Demand(first, buckets)]))[0].allowed
        assert not (await limits.take([Demand(second, buckets)]))[0].allowed
    assert (await limits.take([Demand(IPv6Address("2001:db8:0:1::1"), buckets)]))[0].allowed


async def test_no_key_gives_another_ones_bucket(limits: RedisRateLimits, hostile_texts: list[str]) -> None:
    """API keys that try to look like parts of a Redis key have buckets of their own."""
    buckets = (RateLimit(DAY, 1),)
    for text in hostile_texts:
        assert (await limits.take([Demand(text, buckets)]))[0].allowed, text


@pytest.mark.parametrize("subject", ["", " ", "a\0b", "\ud800", "x" * 300])
def test_texts_that_no_server_should_see_are_refused(subject: str) -> None:
    """A blank, over-long or broken API key is refused by name."""
    with pytest.raises(InvalidError, match="subject"):
        Demand(subject, SEEDS)


async def test_a_cost_beyond_the_bucket_is_refused(limits: RedisRateLimits) -> None:
    """What could never be granted is an error, not a refusal with an endless wait; so are windows named twice."""
    with pytest.raises(InvalidError, match="never allowed"):
        await limits.take([Demand(UUID(int=1), SEEDS)], cost=46)
    with pytest.raises(InvalidError, match="never allowed"):
        await limits.take([Demand(UUID(int=1), SEEDS)], cost=-1)
    with pytest.raises(InvalidError, match="twice"):
        Demand(UUID(int=1), (RateLimit(DAY, 1), RateLimit(DAY, 2)))
    with pytest.raises(InvalidError, match="tokens"):
        RateLimit(DAY, MAX_TOKENS + 1)
    with pytest.raises(InvalidError, match="given back"):
        await limits.give_back(Demand(UUID(int=1), SEEDS), -1)
