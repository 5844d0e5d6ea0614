"""Reads go to a real streaming replica while it is near, and fail only when the primary fails too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from stores.errors import InvalidError, TransientError
from stores.open_stores import opened_postgres
from stores.postgres import routing
from stores.postgres.migrate import migrate
from stores.postgres.pool import Deadlines, create_pool, open_pool
from stores.postgres.predictions import PostgresPredictions
from stores.postgres.routing import RoutedPool, open_database
from stores.settings import PostgresSettings
from tests.servers.need import needed
from tests.servers.postgres import Postgres, Replica, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]

SHORT = Deadlines(connect_s=1.0, acquire_s=1.0, statement_s=1.0)
USER = UUID(int=7)


@pytest.fixture(scope="module")
def primary(home: Path) -> Iterator[Postgres]:
    """A primary of this module's own: it is killed here."""
    with needed():
        server = Postgres(home / "primary", durable=False)
    try:
        server.start()
        asyncio.run(_migrate(server.url))
        yield server
    finally:
        server.stop()


async def _migrate(url: str) -> None:
    pool = await open_pool(url, 1)
    await migrate(pool)
    await pool.close()


@pytest.fixture(scope="module")
def replica(primary: Postgres, home: Path) -> Iterator[Replica]:
    """Its streaming replica."""
    server = Replica(primary, home / "replica", durable=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def pool(primary: Postgres, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """Both behind one pool, which looks again at every read."""
    monkeypatch.setattr(routing, "LOOK_S", 0.0)
    monkeypatch.setattr(routing, "AVOIDED_S", 0.1)
    monkeypatch.setattr(routing, "REPLICA_DEADLINES", SHORT)
    for server in (primary, replica):
        if server.pid is None:
            server.start()
    pool = await open_database(primary.url, replica.url, 4)
    await _until_answered_by(pool, replica)
    yield pool
    await pool.close()


async def _port(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("SELECT inet_server_port()"))


async def _until_answered_by(pool: Pool, server: Postgres) -> None:
    async with asyncio.timeout(30):
        while await pool.read(_port) != server.port:
            pass


async def _on_replica(replica: Replica, statement: str) -> None:
    connection = await asyncpg.connect(replica.url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def halted(pool: Pool, replica: Replica) -> AsyncIterator[Pool]:
    """The pool while the replica answers but replays nothing more."""
    await _on_replica(replica, "SELECT pg_wal_replay_pause()")
    yield pool
    await _on_replica(replica, "SELECT pg_wal_replay_resume()")


async def test_histories_are_read_from_the_replica(
    pool: Pool, primary: Postgres, replica: Replica, prediction: MakePrediction
) -> None:
    """A history comes from the replica, a write goes to the primary, and a read by id sees it at once."""
    assert await pool.read(_port) == replica.port
    async with pool.transaction() as connection:
        assert await _port(connection) == primary.port
    store = PostgresPredictions(pool)
    record = prediction(user_id=USER)
    await store.record(record)
    assert await store.get(record.prediction_id) == record
    async with asyncio.timeout(30):
        while record not in await store.history(USER):
            pass


async def test_own_writes_are_read_from_wherever_they_are(
    halted: Pool, primary: Postgres, replica: Replica, prediction: MakePrediction
) -> None:
    """Behind a mark the replica is passed over while it is behind, and used again as soon as it has the write."""
    store = PostgresPredictions(halted)
    record = prediction(user_id=UUID(int=9))
    await store.record(record)
    mark = await store.mark()
    assert await store.history(UUID(int=9)) == ()
    assert await store.history(UUID(int=9), after=mark) == (record,)
    assert await halted.read(_port, after=mark) == primary.port
    await _on_replica(replica, "SELECT pg_wal_replay_resume()")
    async with asyncio.timeout(30):
        while await halted.read(_port, after=mark) != replica.port:
            pass
    assert await store.history(UUID(int=9), after=mark) == (record,)


async def test_a_replica_that_falls_behind_is_left_until_it_caught_up(
    halted: Pool, primary: Postgres, replica: Replica, prediction: MakePrediction
) -> None:
    """Beyond the bound the primary answers, and the replica again when it has replayed."""
    near = RoutedPool(await open_pool(primary.url, 2), await create_pool(replica.url, 2, SHORT), max_behind_s=0.2)
    await PostgresPredictions(halted).record(prediction())
    await _until_answered_by(near, primary)
    await _on_replica(replica, "SELECT pg_wal_replay_resume()")
    await _until_answered_by(near, replica)
    await near.close()


async def test_no_read_fails_when_the_replica_is_killed(pool: Pool, primary: Postgres, replica: Replica) -> None:
    """Sixteen readers through a kill and a restart: each read is answered, at last by the replica again."""
    stop = asyncio.Event()
    answered: list[int] = []

    async def read() -> None:
        while not stop.is_set():
            answered.append(await pool.read(_port))

    readers = [asyncio.create_task(read()) for _ in range(16)]
    await asyncio.to_thread(replica.kill)
    await _until_answered_by(pool, primary)
    await asyncio.to_thread(replica.start)
    await _until_answered_by(pool, replica)
    stop.set()
    await asyncio.gather(*readers)
    assert set(answered) == {primary.port, replica.port}


async def test_a_replica_that_hangs_costs_a_deadline_and_no_read(
    pool: Pool, primary: Postgres, replica: Replica
) -> None:
    """Eight reads of a replica that was stopped are answered by the primary, and it is used again afterwards."""
    replica.pause()
    try:
        async with asyncio.timeout(30):
            answered = await asyncio.gather(*(pool.read(_port) for _ in range(8)))
    finally:
        replica.resume()
    assert set(answered) == {primary.port}
    await _until_answered_by(pool, replica)


async def test_reads_go_on_while_the_primary_is_down(pool: Pool, primary: Postgres, replica: Replica) -> None:
    """The replica answers; a write, and a read that must be fresher than it can know, are Transient."""
    mark = await pool.position()
    await asyncio.to_thread(primary.kill)
    try:
        assert await pool.read(_port) == replica.port
        with pytest.raises(TransientError):
            await pool.ping()
        with pytest.raises(TransientError):
            await pool.read(_port, after=mark + 2**40)
    finally:
        await asyncio.to_thread(primary.start)
    await pool.ping()


@pytest.mark.usefixtures("pool")
async def test_a_replica_that_is_away_at_the_start_is_used_later(primary: Postgres, replica: Replica) -> None:
    """Opening does not wait for it; the same pool reads from it when it comes."""
    await asyncio.to_thread(replica.kill)
    try:
        early = await open_database(primary.url, replica.url, 2)
        assert await early.read(_port) == primary.port
    finally:
        await asyncio.to_thread(replica.start)
    await _until_answered_by(early, replica)
    await early.close()


@pytest.mark.usefixtures("pool")
async def test_a_primary_is_never_taken_for_a_replica(primary: Postgres) -> None:
    """A server that was promoted, or a wrong URL that leads to a primary, answers no read: it may hold other data."""
    connection = await asyncpg.connect(primary.url)
    await connection.execute("DROP DATABASE IF EXISTS other")
    await connection.execute("CREATE DATABASE other")
    await connection.close()
    routed = await open_database(primary.url, url_of(primary.port, "other"), 2)
    assert {await routed.read(_database) for _ in range(5)} == {"postgres"}
    await routed.close()


async def _database(connection: asyncpg.Connection) -> str:
    return str(await connection.fetchval("SELECT current_database()"))


async def test_a_wrong_replica_is_told_at_the_start(primary: Postgres, replica: Replica) -> None:
    """A wrong password, database or URL names the replica's variable and no secret."""
    wrong = (
        replica.url.replace("s3cret", "wr0ng"),
        replica.url.replace("/postgres?", "/nowhere?"),
        "postgresql://bob:wr0ng@x@y/z",
    )
    for url in wrong:
        with pytest.raises(InvalidError) as caught:
            await open_database(primary.url, url, 2)
        assert caught.value.field == "RIFTLINE_DATABASE_REPLICA_URL"
        assert "wr0ng" not in str(caught.value)


async def test_without_a_replica_the_primary_answers(primary: Postgres) -> None:
    """An empty URL is no replica."""
    pool = await open_database(primary.url, "", 2)
    assert await pool.read(_port) == primary.port
    await pool.close()


async def test_the_replica_of_the_settings_answers_reads(
    primary: Postgres, replica: Replica, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores that are opened by their settings read from the replica that is named there."""
    monkeypatch.setattr(routing, "LOOK_S", 0.0)
    for server in (primary, replica):
        if server.pid is None:
            server.start()
    async with opened_postgres(PostgresSettings(home / "none", primary.url, replica.url)) as pool:
        await _until_answered_by(pool, replica)
        async with pool.transaction() as connection:
            assert await _port(connection) == primary.port
