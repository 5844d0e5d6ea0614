"""A cluster that loses a master in the middle of reads and writes: typed errors, then all is well without reopening."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest

from stores.domain.hot_features import FeatureKind, HotFeatures
from stores.domain.rate_limits import Demand, RateLimit, Window
from stores.errors import RiftlineError, TransientError
from stores.redis_store import keys
from stores.redis_store.connection import DEADLINE_S, open_redis
from stores.redis_store.hot_features import RedisHotFeatures
from stores.redis_store.rate_limits import RedisRateLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.redis import RedisClusterServers, RedisServer

pytestmark = [
    pytest.mark.role("fail-over"),
    pytest.mark.parametrize("implementation", ["cluster"], indirect=True, scope="session"),
]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LAG_S = 1.0  # what replication may be behind in the stated bound; here it is milliseconds
SLACK_S = 1.5
NAMES = [f"player {index}" for index in range(30)]


@pytest.fixture(scope="module")
def cluster(implementation: str, make_server: Callable[..., Any]) -> Iterator[RedisClusterServers]:
    """A cluster of this module's own."""
    cluster = make_server(implementation)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_everything_works_again_after_a_master_is_gone(cluster: RedisClusterServers, fault: str) -> None:
    """Killed or frozen, a master is replaced: each call ends in time, in its result or typed, and then all succeed."""
    connection = await open_redis(cluster.url)
    cache = RedisHotFeatures(connection)
    written = [HotFeatures(name=name, values=np.ones(64), feature_version="f1", updated_at=NOON) for name in NAMES]
    await cache.put_many(FeatureKind.PLAYER, written)
    slowest_s, failures, done = 0.0, 0, asyncio.Event()

    async def work(number: int) -> None:
        nonlocal slowest_s, failures
        while not done.is_set():
            began = time.monotonic()
            try:
                if number % 2:
                    await cache.put_many(FeatureKind.PLAYER, written)
                else:
                    await cache.read_many(FeatureKind.PLAYER, NAMES[number:])
            except TransientError:
                failures += 1
            slowest_s = max(slowest_s, time.monotonic() - began)

    workers = [asyncio.ensure_future(work(number)) for number in range(4)]
    victim = cluster.master_of(keys.player_features(NAMES[0]))
    await asyncio.to_thread(victim.kill if fault == "kill" else victim.pause)
    await _until(lambda: cache.put_many(FeatureKind.PLAYER, written))
    done.set()
    await asyncio.gather(*workers)
    read = await cache.read_many(FeatureKind.PLAYER, NAMES)
    assert None not in read
    assert failures > 0
    assert slowest_s < DEADLINE_S + SLACK_S
    await asyncio.to_thread(_revive, victim, cluster)
    await _until(lambda: cache.put_many(FeatureKind.PLAYER, written))
    await connection.close()


async def test_a_fail_over_gives_out_no_more_than_the_bound(cluster: RedisClusterServers) -> None:
    """A bucket of 1000 gives out at most 1000, what came back, and what was taken just before a fail-over."""
    connection = await open_redis(cluster.url)
    limits = RedisRateLimits(connection)
    tokens, window = 1000, Window.DAY
    demand = Demand(uuid4(), (RateLimit(window, tokens),))
    granted: list[float] = []  # the moment of each token
    began = time.monotonic()
    victim = cluster.master_of(keys.user_rate(demand.subject, window))  # type: ignore[arg-type]
    for _ in range(600):
        assert await _taken(limits, demand, granted)
    killed_at = time.monotonic()
    killing = asyncio.create_task(asyncio.to_thread(victim.kill))  # the taking goes on meanwhile
    while await _taken(limits, demand, granted):
        pass
    await killing
    last_moment = sum(killed_at - LAG_S <= moment <= killed_at + DEADLINE_S for moment in granted)
    came_back = tokens * (time.monotonic() - began) / window.seconds + 1
    assert tokens * 0.6 <= len(granted) <= tokens + came_back + last_moment
    await asyncio.to_thread(_revive, victim, cluster)
    await connection.close()


async def _taken(limits: RedisRateLimits, demand: Demand, granted: list[float]) -> bool:
    """Take one token, waiting for the fail-over; False when the bucket is empty."""
    while True:
        try:
            (verdict,) = await limits.take([demand])
        except TransientError:
            await asyncio.sleep(0.05)
        else:
            granted += [time.monotonic()] * verdict.granted
            return verdict.allowed


async def _until(call: Callable[[], Any]) -> None:
    """Call until it succeeds. Raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except RiftlineError:
                await asyncio.sleep(0.05)
            else:
                return


def _revive(victim: RedisServer, cluster: RedisClusterServers) -> None:
    victim.resume()
    cluster.start()
