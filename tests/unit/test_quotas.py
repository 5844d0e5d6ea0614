"""Quotas of replicas over shared buckets: exact together, bounded when they cannot talk, quick always."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps import quotas as module
from serve_apps.identity import NOBODY, Identity
from serve_apps.quota_accounts import Account
from serve_apps.quotas import FORGOTTEN_S, FREELY, PROBE_S, SWEEP_S, Admission, Quotas, check
from serve_apps.refusals import QuotaExceededError
from stores.domain.quotas import parse_limits
from stores.domain.rate_limits import Bucket, Demand, RateLimit, Verdict, Window
from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from stores.domain.quotas import Limits

HOME = IPv4Address("203.0.113.9")
KEY = Identity("free", NOBODY.scopes, UUID(int=1), UUID(int=7), "key-1")


@dataclass
class Clock:
    """The one clock of all."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Buckets:
    """Shared buckets in memory by `RateLimits`'s rules, which can be away."""

    clock: Clock
    levels: dict[tuple[Hashable, Window], tuple[float, float]] = field(default_factory=dict)
    away: bool = False
    rounds: int = 0
    waiting: asyncio.Event | None = None

    async def connect(self) -> Buckets:
        """These."""
        if self.away:
            raise TransientError("away")
        return self

    async def lease_many(self, asked: Sequence[tuple[Demand, int]]) -> list[Verdict]:
        """As many tokens as all buckets of each have."""
        self.rounds += 1
        if self.waiting is not None:
            await self.waiting.wait()
        return [self._lease(demand, most) for demand, most in asked]

    async def give_back(self, demand: Demand, tokens: int) -> None:
        """Never above the limit."""
        for limit in demand.limits:
            self._put(demand, limit, min(self.level(demand.subject, limit) + tokens, limit.tokens))

    def level(self, subject: Hashable, limit: RateLimit) -> float:
        """What a bucket holds now."""
        level, at = self.levels.get((subject, limit.window), (float(limit.tokens), self.clock.now))
        return min(level + (self.clock.now - at) * limit.tokens / limit.window.seconds, limit.tokens)

    def _put(self, demand: Demand, limit: RateLimit, level: float) -> None:
        self.levels[demand.subject, limit.window] = (level, self.clock.now)

    def _lease(self, demand: Demand, most: int) -> Verdict:
        granted = min(most, *(int(self.level(demand.subject, limit)) for limit in demand.limits))
        for limit in demand.limits:
            self._put(demand, limit, self.level(demand.subject, limit) - granted)
        rest = [int(self.level(demand.subject, limit)) for limit in demand.limits]
        buckets = (Bucket(one.window, one.tokens, left, 0.0) for one, left in zip(demand.limits, rest, strict=True))
        return Verdict(granted, granted > 0, 0.0, tuple(buckets))


class World:
    """Some replicas, their buckets and their clock."""

    def __init__(self, limits: str, replicas: int = 1) -> None:
        self.clock = Clock()
        self.buckets = Buckets(self.clock)
        self.alone: list[int] = []
        tiers = parse_limits(limits)
        assert tiers is not None
        self.limits: Limits = tiers["anonymous"]
        self.replicas = [
            Quotas(
                tiers,
                self.buckets.connect,  # type: ignore[arg-type]
                replicas=replicas,
                clock=self.clock,
                report_alone=self.alone.append,
            )
            for _ in range(replicas)
        ]

    @property
    def first(self) -> Quotas:
        """The first replica."""
        return self.replicas[0]

    async def ask(self, replica: Quotas, cost: int = 1, identity: Identity = NOBODY) -> Admission:
        """One request from home."""
        said = replica.admit(identity, HOME, cost)
        return said or await replica.admit_later(identity, HOME, cost)

    async def flood(self, replica: Quotas, count: int) -> int:
        """So many requests one after another, and how many passed."""
        return sum([(await self.ask(replica)).allowed for _ in range(count)])

    async def close(self) -> None:
        """Drain every replica."""
        for replica in self.replicas:
            await replica.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds need not wait for company here."""
    monkeypatch.setattr(module, "TOGETHER_S", 0)


async def test_a_bucket_is_spent_to_the_last_token_and_no_further() -> None:
    """One replica that asks in time is exact but for its credit, and says when to come back."""
    world = World("anonymous=60/6000/60000")
    passed = await world.flood(world.first, 200)
    assert 60 <= passed <= 60 + 3
    refused = await world.ask(world.first)
    assert not refused.allowed
    assert 1 <= refused.retry_after_s <= 5
    world.clock.now += refused.retry_after_s
    assert (await world.ask(world.first)).allowed
    await world.close()


async def test_a_batch_is_told_when_what_it_costs_is_there() -> None:
    """By the bucket that is short: one that fills slowly and is full enough does not count."""
    world = World("anonymous=600/12000/100000")
    assert (await world.ask(world.first, 450)).allowed
    refused = await world.ask(world.first, 450)
    assert not refused.allowed
    assert 30 <= refused.retry_after_s <= 33
    world.clock.now += refused.retry_after_s
    assert (await world.ask(world.first, 450)).allowed
    await world.close()


async def test_the_first_request_does_not_wait() -> None:
    """It passes on credit, while the lease is asked for beside it."""
    world = World("anonymous=600/6000/60000")
    world.buckets.waiting = asyncio.Event()
    assert all((said := world.first.admit(NOBODY, HOME)) and said.allowed for _ in range(30))
    assert world.first.admit(NOBODY, HOME) is None  # the credit is used up
    later = asyncio.ensure_future(world.first.admit_later(NOBODY, HOME))
    await asyncio.sleep(0)
    world.buckets.waiting.set()
    assert (await later).allowed
    await world.close()


async def test_a_burst_within_the_bucket_passes_whole() -> None:
    """However many come at once before the first lease: none is refused that the bucket holds."""
    world = World("anonymous=600/6000/60000")
    said = await asyncio.gather(*(world.ask(world.first) for _ in range(600)))
    assert all(one.allowed for one in said)
    await world.close()


async def test_a_batch_costs_what_it_asks() -> None:
    """It passes whole or not at all; one that could never pass is the client's mistake."""
    world = World("anonymous=600/6000/60000")
    assert (await world.ask(world.first, 500)).allowed
    assert not (await world.ask(world.first, 500)).allowed
    assert (await world.ask(world.first, 90)).allowed
    with pytest.raises(InvalidError) as refused:
        world.first.admit(NOBODY, HOME, 601)
    assert refused.value.field == "requests"
    await world.close()


async def test_draining_balances_the_books() -> None:
    """What was leased and not spent is there again, what was spent on credit is paid."""
    world = World("anonymous=1000/100000/1000000", replicas=4)
    passed = 0
    for replica, count in zip(world.replicas, (1, 7, 60, 300), strict=True):
        passed += await world.flood(replica, count)
    await world.close()
    assert passed == 368
    assert [world.buckets.level(HOME, limit) for limit in world.limits] == [
        limit.tokens - 368 for limit in world.limits
    ]


async def test_what_is_idle_goes_back() -> None:
    """After SWEEP_S another replica can have it, and nothing is remembered of the subject."""
    world = World("anonymous=1000/100000/1000000")
    await world.flood(world.first, 100)
    world.clock.now += SWEEP_S
    await world.first.sweep()
    assert world.buckets.level(HOME, world.limits[2]) == pytest.approx(1_000_000 - 100, abs=100)
    assert not world.first._accounts  # noqa: SLF001
    await world.close()


async def test_while_the_buckets_are_away_each_replica_has_its_share() -> None:
    """Together they let one bucketful pass, once, however often the buckets go; then they count together again."""
    world = World("anonymous=400/4000/40000", replicas=4)
    credit = 20
    world.buckets.away = True
    for _ in range(3):
        passed = sum([await world.flood(replica, 300) for replica in world.replicas])
        assert all(replica.alone for replica in world.replicas)
        world.buckets.away = False
        world.clock.now += PROBE_S
        for replica in world.replicas:
            await replica.admit_later(NOBODY, HOME)
        assert not any(replica.alone for replica in world.replicas)
        world.buckets.away = True
        assert passed <= 400 + 4 * (credit + 2 * PROBE_S * 400 / 60)
    assert world.alone[:4] == [1] * 4
    assert world.alone[4:8] == [0] * 4
    world.buckets.away = False
    await world.close()


async def test_an_outage_is_probed_and_not_hammered() -> None:
    """One question a second, whatever is asked of the replica meanwhile, and nobody waits for it."""
    world = World("anonymous=6000/60000/600000")
    world.buckets.away = True
    asked = 0

    async def connect() -> Buckets:
        nonlocal asked
        asked += 1
        return await world.buckets.connect()

    world.first._connect = connect  # type: ignore[assignment]  # noqa: SLF001
    await world.first.admit_later(NOBODY, HOME)
    for _ in range(1000):
        world.clock.now += 0.01
        assert world.first.admit(NOBODY, HOME) is not None
        await asyncio.sleep(0)
    assert 9 <= asked <= 12
    refused = [said for _ in range(6000) if (said := world.first.admit(NOBODY, HOME)) and not said.allowed]
    assert refused
    assert all(1 <= one.retry_after_s <= 60 for one in refused)
    await world.close()


async def test_key_and_user_are_both_counted() -> None:
    """A user with two keys has the limits once; each answer tells of the tighter bucket."""
    world = World("free=60/6000/60000")
    other = Identity("free", KEY.scopes, UUID(int=2), KEY.user_id, "key-2")
    passed = 0
    for identity in (KEY, other):
        for _ in range(60):
            passed += (await world.ask(world.first, identity=identity)).allowed
    assert 60 <= passed <= 63
    refused = await world.ask(world.first, identity=other)
    assert b'"user-minute";r=0' in dict(refused.headers)[b"ratelimit"]
    await world.close()
    assert world.buckets.level("key-2", RateLimit(Window.DAY, 60000)) >= 60000 - 3 - 1  # refusals cost no key


async def test_a_better_tier_counts_from_then_on() -> None:
    """The buckets of the former one are settled."""
    world = World("free=60/6000/60000")
    better = Identity("pro", KEY.scopes, KEY.api_key_id, KEY.user_id, KEY.subject)
    while (await world.ask(world.first, identity=KEY)).allowed:
        pass
    assert (await world.ask(world.first, identity=better)).allowed
    await world.close()


async def test_one_network_is_one_client_and_no_address_is_not_counted() -> None:
    """Of IPv6 a client has a whole /64."""
    world = World("anonymous=1/1/1")
    one, same, other = (IPv6Address(text) for text in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"))
    said = [await world.first.admit_later(NOBODY, address) for address in (one, same, same, other)]
    assert [admission.allowed for admission in said] == [True, False, False, True]
    assert world.first.admit(NOBODY, None) is FREELY
    await world.close()


async def test_memory_is_bounded_and_the_forgotten_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one unused for longest goes, and its tokens go back."""
    monkeypatch.setattr(module, "MAX_SUBJECTS", 100)
    world = World("anonymous=600/6000/60000")
    addresses = [IPv4Address(n) for n in range(1000)]
    for address in addresses:
        assert world.first.admit(NOBODY, address) is not None
    assert len(world.first._accounts) == 100  # noqa: SLF001
    await world.close()
    assert {int(world.buckets.level(one, world.limits[2])) for one in addresses} == {60000 - 1}


async def test_the_head_tells_policy_and_rest() -> None:
    """As structured fields (RFC 9651): quoted names, whole numbers; Retry-After when it was too much."""
    world = World("anonymous=60/600/6000")
    await world.first.admit_later(NOBODY, HOME)
    headers = dict((await world.ask(world.first)).headers)
    policy = b'"address-minute";q=60;w=60, "address-hour";q=600;w=3600, "address-day";q=6000;w=86400'
    assert headers == {b"ratelimit-policy": policy, b"ratelimit": b'"address-minute";r=58;t=2'}
    while (refused := await world.ask(world.first)).allowed:
        pass
    assert re.fullmatch(rb'"address-minute";r=0;t=60', dict(refused.headers)[b"ratelimit"])
    with pytest.raises(QuotaExceededError) as raised:
        check(refused)
    assert raised.value.headers["retry-after"] == str(refused.retry_after_s)
    await world.close()


async def test_a_bug_in_the_buckets_stops_nobody() -> None:
    """Any error counts as an outage."""
    world = World("anonymous=600/6000/60000")

    async def broken() -> Buckets:
        raise ZeroDivisionError

    world.first._connect = broken  # type: ignore[assignment]  # noqa: SLF001
    assert (await world.first.admit_later(NOBODY, HOME)).allowed
    assert world.first.alone
    await world.close()


async def test_an_account_counted_in_an_outage_is_forgotten_later() -> None:
    """Its own bucket must not begin full again with the next outage."""
    world = World("anonymous=600/6000/60000")
    world.buckets.away = True
    await world.flood(world.first, 40)
    world.buckets.away = False
    world.clock.now += PROBE_S
    await world.first.admit_later(NOBODY, HOME)
    for wait_s, left in ((SWEEP_S, 1), (FORGOTTEN_S, 0)):
        world.clock.now += wait_s
        await world.first.sweep()
        assert len(world.first._accounts) == left  # noqa: SLF001
    await world.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 50)),
        st.tuples(st.just("lease"), st.integers(0, 60)),  # so many tokens are there
        st.tuples(st.just("pass"), st.integers(1, 90)),  # seconds
        st.tuples(st.just("idle"), st.just(0)),
    ),
    max_size=60,
)


@given(tokens=st.integers(1, 2000), steps=STEPS)
def test_an_account_never_spends_more_than_lease_and_credit(tokens: int, steps: list[tuple[str, int]]) -> None:
    """Whatever comes in whatever order: spent is leased less balance, and the debt stays within the credit."""
    demand = Demand("key", (RateLimit(Window.MINUTE, tokens), RateLimit(Window.DAY, 10 * tokens)))
    account, now, spent, leased = Account("key", demand, 0.0), 0.0, 0, 0
    for step, number in steps:
        if step == "spend":
            spent += number if account.spend(number, now) else 0
        elif step == "pass":
            now += number
        elif step == "idle":
            leased -= account.take_surplus(idle=True)
        elif (asked := account.wanted(now)) > 0:
            granted = min(asked, number)
            left = number - granted
            buckets = tuple(Bucket(limit.window, limit.tokens, left, 0.0) for limit in demand.limits)
            account.leased(asked, Verdict(granted, granted > 0, 0.0, buckets), now)
            leased += granted
        assert spent == leased - account.balance
        assert -account.credit <= account.balance
        assert account.credit == max(1, math.floor(0.05 * tokens))
        assert account.retry_after_s(1, now) >= 1
