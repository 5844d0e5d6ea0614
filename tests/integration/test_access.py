"""The API's gate over a real PostgreSQL and a real Redis: keys, tokens, scopes, quotas, and what an outage does."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster.cli import app
from serve_apps.admission import RedisWhenThere
from serve_apps.api import ApiSettings, create_api
from serve_apps.destinations import Destinations
from serve_apps.identity import NOBODY
from serve_apps.quotas import PROBE_S, Quotas
from stores.domain.quotas import ANONYMOUS
from stores.domain.rate_limits import Demand, RateLimit, Window
from stores.errors import TransientError
from stores.redis_store.connection import open_redis
from stores.redis_store.rate_limits import RedisRateLimits
from stores.settings import AccessSettings
from tests.servers.redis import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Protocol

    from fastapi import FastAPI

    class Opened(Protocol):
        """Opens the API with changed settings."""

        def __call__(self, **access: Any) -> AbstractAsyncContextManager[tuple[httpx.AsyncClient, FastAPI]]: ...


READ_PATH, PREDICT_PATH = "/models/status", "/predict/single"
HOME = IPv4Address("203.0.113.9")
OUTSIDE = {"X-Forwarded-For": "203.0.113.9"}  # as HAProxy tells it


class NoFeed:
    """A gateway without features: what passes the gate is told to come back, by 503."""

    age_s = 0.0

    async def newer_than(self, _: object) -> None:
        """There are none."""
        raise TransientError("no features here")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[EmbeddedRedis]:
    """An embedded Redis of this module's own."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    server = EmbeddedRedis(home / "redis")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
def opened(database: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Opened:
    """Open the API over both servers, reached as through HAProxy."""

    @asynccontextmanager
    async def opening(**access: Any) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
        rules = replace(AccessSettings(tmp_path / "token-secrets"), **access)
        api = create_api(
            ApiSettings(
                database,
                2,
                f"file://{tmp_path}",
                redis_url=redis_server.url,
                access=rules,
                destinations=Destinations(tmp_path / "journal"),
            ),
            NoFeed(),
        )
        transport = httpx.ASGITransport(app=api, client=("127.0.0.1", 4711))
        async with (
            api.router.lifespan_context(api),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            yield client, api

    return opening


@pytest.fixture
def command(database: str, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run `riftline keys … --json` against both servers, in a thread: it has an event loop of its own."""
    monkeypatch.setenv("RIFTLINE_DATABASE_URL", database)
    monkeypatch.setenv("RIFTLINE_REDIS_URL", redis_server.url)
    monkeypatch.setenv("RIFTLINE_HOME", str(tmp_path / "home"))

    async def run(*arguments: str) -> Any:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["keys", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return orjson.loads(done.stdout)

    return run


def bearer(credential: str) -> dict[str, str]:
    """Headers of who has this key or token."""
    return {**OUTSIDE, "Authorization": f"Bearer {credential}"}


async def test_who_has_no_key_may_ask_until_one_is_required(opened: Opened) -> None:
    """Health and documentation are open in any case."""
    async with opened() as (client, _):
        assert (await client.get(READ_PATH)).status_code == 503
    async with opened(auth_required=True) as (client, _):
        refused = await client.get(READ_PATH)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"] == 'Bearer realm="riftline"'
        assert refused.json()["code"] == "unauthenticated"
        for path in ("/health", "/v1/health", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/ready")).json()["checks"]["quotas"] == "ok"


async def test_a_key_opens_what_it_was_made_for(opened: Opened, command: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Another scope is a 403 that names it, a wrong key a 401, and no log holds a key."""
    caplog.set_level(logging.DEBUG)
    made = await command("create", "dashboard", "--scope", "read", "--expires", "30")
    assert made["scopes"] == ["read"]
    async with opened(auth_required=True) as (client, _):
        assert (await client.get(READ_PATH, headers=bearer(made["key"]))).status_code == 503
        assert (await client.get(READ_PATH, headers={"X-API-Key": made["key"]})).status_code == 503
        refused = await client.post(PREDICT_PATH, headers=bearer(made["key"]), json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "missing-scope")
        assert 'scope="predict"' in refused.headers["www-authenticate"]
        wrong = await client.get(READ_PATH, headers=bearer(made["key"][:-4] + "aaaa"))
        assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")
        assert made["key"] not in wrong.text + caplog.text
    (listed,) = await command("list")
    assert listed["prefix"] in made["key"]
    assert made["key"] not in str(listed)
    assert listed["last_used_at"] is not None


async def test_a_revoked_key_is_refused_at_once(opened: Opened, command: Any) -> None:
    """The command tells the replicas, and they heed it; so does who holds a token of the key."""
    made = await command("create", "bot")
    async with opened() as (client, api):
        token = (await client.post("/auth/token", headers=bearer(made["key"]))).json()["access_token"]
        for credential in (made["key"], token):
            assert (await client.get(READ_PATH, headers=bearer(credential))).status_code == 503
        heard = asyncio.Event()
        forget = api.state.gate.identities.forget

        def forgetting(names: Any = None) -> None:
            forget(names)
            if names:
                heard.set()

        api.state.gate.identities.forget = forgetting
        told = await command("revoke", made["prefix"])
        assert told["told"] is True
        await asyncio.wait_for(heard.wait(), 10)
        for credential in (made["key"], token):
            assert (await client.get(READ_PATH, headers=bearer(credential))).status_code == 401


async def test_a_token_comes_for_a_key_alone(opened: Opened, command: Any) -> None:
    """It may what the key may, is not to be stored, and needs a key."""
    made = await command("create", "bot", "--scope", "predict", "--tier", "pro")
    async with opened() as (client, _):
        given_ = await client.post("/v1/auth/token", headers=bearer(made["key"]))
        assert given_.status_code == 200
        assert given_.headers["cache-control"] == "no-store"
        assert (given_.json()["token_type"], given_.json()["expires_in"]) == ("Bearer", 900)
        token = given_.json()["access_token"]
        assert (await client.get(READ_PATH, headers=bearer(token))).status_code == 403
        assert (await client.post(PREDICT_PATH, headers=bearer(token), json={})).status_code == 422
        assert (await client.post("/auth/token")).status_code == 401


async def test_too_much_is_told_when_to_come_back(opened: Opened) -> None:
    """By address, whichever replica is asked: what one lets pass another does not once more."""
    async with opened(rate_limits="anonymous=20/200/2000") as (client, _):
        first = await client.get(READ_PATH, headers=OUTSIDE)
        assert first.headers["ratelimit-policy"].startswith('"address-minute";q=20;w=60, "address-hour"')
        assert first.headers["ratelimit"].startswith('"address-minute";r=1')
        answers = [await client.get(READ_PATH, headers=OUTSIDE) for _ in range(40)]
        refused = [one for one in answers if one.status_code == 429]
        assert 20 <= len(answers) + 1 - len(refused) <= 22
        assert refused[-1].json()["code"] == "quota-exceeded"
        assert 1 <= int(refused[-1].headers["retry-after"]) <= 4
        assert refused[-1].headers["ratelimit"].startswith('"address-minute";r=0;t=')
        assert (await client.get(READ_PATH, headers={"X-Forwarded-For": "203.0.113.10"})).status_code == 503
        assert (await client.get(READ_PATH)).status_code == 503  # this machine itself is not counted
    async with opened(rate_limits="anonymous=20/200/2000") as (client, _):
        again = [(await client.get(READ_PATH, headers=OUTSIDE)).status_code for _ in range(10)]
        assert again.count(503) <= 3
    async with opened(rate_limits="off") as (client, _):
        free = await client.get(READ_PATH, headers=OUTSIDE)
        assert (free.status_code, "ratelimit" in free.headers) == (503, False)


async def test_wrong_keys_are_counted_by_address(opened: Opened) -> None:
    """Who tries many reaches the database as often as anyone may ask."""
    async with opened(rate_limits="anonymous=10/100/1000") as (client, _):
        headers = [{"X-Forwarded-For": "203.0.113.77", "X-API-Key": f"rl_live_{n:08d}_{'x' * 43}"} for n in range(30)]
        said = [(await client.get(READ_PATH, headers=one)).status_code for one in headers]
        assert 10 <= said.count(401) <= 12
        assert said.count(429) == 30 - said.count(401)


async def test_a_batch_costs_its_questions(opened: Opened) -> None:
    """One that the quota could never hold is refused by its field, one that is too much for now by 429."""
    headers = {"X-Forwarded-For": "203.0.113.78"}
    async with opened(rate_limits="anonymous=100/1000/10000") as (client, _):

        async def send(count: int) -> tuple[int, str]:
            answer = await client.post("/predict/batch", json={"requests": [{}] * count}, headers=headers)
            return answer.status_code, answer.json().get("code", "")

        assert await send(500) == (422, "invalid-field")
        assert await send(80) == (200, "")
        assert await send(80) == (429, "quota-exceeded")


async def passes(quotas: Quotas) -> bool:
    """Whether a request from home passes."""
    said = quotas.admit(NOBODY, HOME)
    return (said or await quotas.admit_later(NOBODY, HOME)).allowed


BURSTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40)), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replicas=st.integers(1, 5), tokens=st.integers(1, 300), bursts=BURSTS, together=st.booleans())
async def test_replicas_overshoot_by_no_more_than_their_credit(
    redis_server: EmbeddedRedis, replicas: int, tokens: int, bursts: list[tuple[int, int]], *, together: bool
) -> None:
    """Whatever bursts reach whichever replica: at most ``replicas * credit`` more pass than the bucket holds.

    And none is refused as long as the bucket holds that much more; after the drain the books balance.
    """
    limit, credit = RateLimit(Window.DAY, tokens), max(1, tokens // 20)
    redis = await open_redis(redis_server.url, deadline_s=30.0)  # a busy machine is no outage
    await redis.run(lambda client: client.flushall())

    async def shared() -> RedisRateLimits:
        return RedisRateLimits(redis)

    ours = [Quotas({ANONYMOUS: (limit,)}, shared, replicas=replicas) for _ in range(replicas)]

    async def burst(replica: int, count: int) -> int:
        return sum(await asyncio.gather(*(passes(ours[replica % replicas]) for _ in range(count))))

    if together:
        passed = sum(await asyncio.gather(*(burst(*one) for one in bursts)))
    else:
        passed = sum([await burst(*one) for one in bursts])
    asked = sum(count for _, count in bursts)
    assert passed <= tokens + replicas * credit + 1  # one token may have come back meanwhile
    assert passed >= min(asked, tokens - replicas * credit)
    for quotas in ours:
        await quotas.close()
    (left,) = await RedisRateLimits(redis).take([Demand(HOME, (limit,))], 0)
    owed = sum(quotas.owed for quotas in ours)  # by whom found it empty, before another gave back
    assert abs(left.buckets[0].remaining - max(tokens - passed + owed, 0)) <= 1
    await redis.close()


async def test_an_outage_of_redis_is_bounded_and_ends_by_itself(redis_server: EmbeddedRedis) -> None:
    """A replica that finds no Redis counts alone for its share, from the start or later, and shares again after."""
    limit, now = RateLimit(Window.DAY, 100), 1000.0
    redis = RedisWhenThere(redis_server.url)
    await (await redis.connection()).run(lambda client: client.flushall())
    told: list[int] = []
    quotas = Quotas({ANONYMOUS: (limit,)}, redis.limits, replicas=4, clock=lambda: now, report_alone=told.append)
    redis_server.kill()
    try:
        assert sum([await passes(quotas) for _ in range(60)]) <= 100 // 4 + 5
        assert quotas.alone
    finally:
        redis_server.start()
    now += PROBE_S
    await quotas.admit_later(NOBODY, HOME)
    assert not quotas.alone
    assert told == [1, 0]
    assert 60 <= sum([await passes(quotas) for _ in range(120)]) <= 100 + 5
    await quotas.close()
    await redis.close()
