"""A server that is wrong, absent, stopped or gone gives one of our errors in time, never a hang, never a password."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stores.errors import InvalidError, OutcomeUnknownError, TransientError
from stores.postgres import pool as pools
from stores.postgres.pool import Deadlines, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stores.roles.connection import Connection
    from tests.servers.postgres import PgBouncer, Postgres

SHORT = Deadlines(connect_s=1.0, acquire_s=1.0, statement_s=0.5)
NEVER_S = 20.0  # a test that takes that long hangs


@pytest.fixture(params=["debian-15", "pgbouncer"])
def stoppable(request: pytest.FixtureRequest, debian_postgres: Postgres) -> Postgres | PgBouncer:
    """A server process that can be stopped, itself or behind PgBouncer."""
    if request.param == "debian-15":
        return debian_postgres
    bouncer: PgBouncer = request.getfixturevalue("pgbouncer")
    return bouncer


@asynccontextmanager
async def _stopped(server: Postgres | PgBouncer) -> AsyncIterator[None]:
    server.pause()
    try:
        async with asyncio.timeout(NEVER_S):
            yield
    finally:
        server.resume()


async def test_a_stopped_server_is_transient_in_every_call(
    stoppable: Postgres | PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping, a statement under way, one more than the pool holds and a new pool all end with our error, and the pool
    works again when the server does.
    """
    monkeypatch.setattr(pools, "PING_TIMEOUT_S", 0.5)
    monkeypatch.setattr(pools, "ROLLBACK_TIMEOUT_S", 0.2)
    pool = await open_pool(stoppable.url, 1, SHORT)
    checked: Connection = pool
    async with _stopped(stoppable):
        with pytest.raises(TransientError, match=rf"127\.0\.0\.1:{stoppable.port}"):
            await checked.ping()
        outcomes = await asyncio.gather(*(_ask(pool) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransientError] * 3
        with pytest.raises(TransientError):
            await open_pool(stoppable.url, 1, SHORT)
    await checked.ping()
    await checked.close()
    await checked.close()


async def _ask(pool: pools.Pool) -> None:
    async with pool.transaction() as connection:
        await connection.execute("SELECT 1")


async def test_a_commit_without_an_answer_is_unknown(stoppable: Postgres | PgBouncer) -> None:
    """The server stops between the last statement and the commit."""
    pool = await open_pool(stoppable.url, 1, SHORT)
    try:
        async with asyncio.timeout(NEVER_S):
            with pytest.raises(OutcomeUnknownError):
                await _stop_before_the_commit(pool, stoppable)
    finally:
        stoppable.resume()
    await pool.ping()
    await pool.close()


async def _stop_before_the_commit(pool: pools.Pool, server: Postgres | PgBouncer) -> None:
    async with pool.transaction() as connection:
        await connection.execute("SELECT 1")
        server.pause()


async def test_a_pool_closes_though_its_server_is_stopped(
    stoppable: Postgres | PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shutdown never waits for a server that does not answer."""
    monkeypatch.setattr(pools, "CLOSE_TIMEOUT_S", 0.5)
    pool = await open_pool(stoppable.url, 2, SHORT)
    async with _stopped(stoppable):
        await pool.close()
    with pytest.raises(TransientError):
        await pool.ping()


async def test_a_statement_that_takes_too_long_is_ended(stoppable: Postgres | PgBouncer) -> None:
    """After its deadline the caller goes on, and the server works on it no more."""
    pool = await open_pool(stoppable.url, 2, SHORT)
    with pytest.raises(TransientError):
        async with pool.transaction() as connection:
            await connection.execute("SELECT pg_sleep(600)")
    async with asyncio.timeout(NEVER_S):
        while await _sleepers(pool):
            pass
    await pool.close()


async def _sleepers(pool: pools.Pool) -> int:
    async with pool.transaction() as connection:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
            )
        )


@pytest.mark.parametrize("change", [("s3cret", "wr0ng"), ("/postgres?", "/nowhere?"), ("postgres:s3cret", "x:wr0ng")])
async def test_a_wrong_login_is_a_wrong_setting(stoppable: Postgres | PgBouncer, change: tuple[str, str]) -> None:
    """A wrong password, database or user is Invalid, names the variable and the address, and shows no password."""
    with pytest.raises(InvalidError, match=rf"127\.0\.0\.1:{stoppable.port}") as caught:
        await open_pool(stoppable.url.replace(*change), 1)
    assert caught.value.field == "RIFTLINE_DATABASE_URL"
    assert "wr0ng" not in repr(caught.value)


async def test_an_exhausted_pool_is_transient(stoppable: Postgres | PgBouncer) -> None:
    """Who waits too long for a connection hears so; the holder is not disturbed."""
    pool = await open_pool(stoppable.url, 1, SHORT)
    async with pool.transaction() as holder:
        with pytest.raises(TransientError):
            await _ask(pool)
        assert await holder.fetchval("SELECT 1") == 1
    await pool.close()
