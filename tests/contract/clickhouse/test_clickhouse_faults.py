"""Faults of the delivery: lost answers, a server that is away or paused, wrong rows, full and orphaned journals."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from stores import backoff
from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import clickhouse_at
from stores.clickhouse.migrate import migrate
from stores.errors import OutcomeUnknownError, OverloadedError, TransientError
from stores.journal.journal import Bounds, Journal
from stores.journal.segment_files import holds_refused
from stores.settings import ClickHouseSettings
from tests.contract.clickhouse.samples import DAY, NOON, http_connection, make_database, make_event, make_prediction

if TYPE_CHECKING:
    from pathlib import Path

    from stores.clickhouse.connection import ClickHouseConnection
    from tests.servers.clickhouse import ClickHouse

pytestmark = pytest.mark.role("analytics, faults")


async def stored(connection: ClickHouseConnection) -> tuple[list[UUID], int]:
    """The ids of all events, and how many the hourly view counts."""
    ids = await connection.query("SELECT event_id FROM user_events ORDER BY toString(event_id)")
    ((counted,),) = await connection.query("SELECT sum(event_count) FROM user_activity_hourly")
    return [row[0] for row in ids], counted


async def keep_parts(connection: ClickHouseConnection) -> None:
    """Merges would hide what was stored twice."""
    for table in ("user_events", "prediction_analytics", "model_performance_hourly_states"):
        await connection.command(f"SYSTEM STOP MERGES {table}")


async def test_lost_answers_double_nothing(
    connection: ClickHouseConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server took the block and the answer was lost, twice for each block: it is there once, and in the views."""
    really, attempts = connection.insert, list[str]()

    async def insert(table: str, lines: bytes, token: str) -> None:
        await really(table, lines, token)
        attempts.append(token)
        if attempts.count(token) < 3:
            raise OutcomeUnknownError("the answer was lost")

    await keep_parts(connection)
    monkeypatch.setattr(connection, "insert", insert)
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    ids = [UUID(int=number) for number in range(1, 31)]
    for start in range(0, 30, 10):
        await analytics.record_events([make_event(event_id=each) for each in ids[start : start + 10]])
        await analytics.record_predictions([make_prediction()])
        await analytics.flush(20)
    assert len(set(attempts)) == 6
    assert min(Counter(attempts).values()) == 3
    assert await stored(connection) == (ids, 30)
    for table in ("prediction_analytics", "model_performance_hourly_states"):
        assert await connection.query(f"SELECT count() FROM {table}") == [(3,)]  # noqa: S608  # our own names
    (hour,) = await analytics.model_performance(NOON, NOON + DAY)
    assert hour.total_predictions == 3
    await analytics.close()


async def test_a_process_that_ends_before_it_hears_doubles_nothing(
    connection: ClickHouseConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner of the journal sends the same blocks under the same tokens."""
    really, taken = connection.insert, asyncio.Event()

    async def insert(table: str, lines: bytes, token: str) -> None:
        await really(table, lines, token)
        taken.set()
        await asyncio.Event().wait()

    await keep_parts(connection)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "insert", insert)
        first = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
        await first.record_events([make_event(event_id=UUID(int=1))])
        await asyncio.wait_for(taken.wait(), 20)
        await first.close()
    second = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    assert second.bytes_waiting > 0
    await second.record_events([make_event(event_id=UUID(int=2))])
    await second.flush(20)
    assert await stored(connection) == ([UUID(int=1), UUID(int=2)], 2)
    assert second.bytes_waiting == 0
    await second.close()


async def test_a_row_that_the_server_refuses_is_kept_aside_alone(
    connection: ClickHouseConnection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours in the same block are delivered; the log names the folder and quotes nothing."""
    journal = await Journal.open(tmp_path / "00")
    rows = [b'{"event_id":"%s"}' % str(UUID(int=number)).encode() for number in range(1, 8)]
    rows[3] = b'{"event_id":"secret"}'
    await journal.append(b"user_events\n" + b"\n".join(rows))
    await journal.close()
    analytics = await open_analytics(connection, tmp_path)
    await analytics.flush(20)
    ids, counted = await stored(connection)
    assert ids == [UUID(int=number) for number in (1, 2, 3, 5, 6, 7)]
    assert counted == 6
    assert [path.read_bytes() for path in sorted((tmp_path / "00").glob("*.refused"))] == [rows[3]]
    assert "kept aside" in caplog.text
    assert "secret" not in caplog.text
    await analytics.close()


async def test_rows_of_the_next_release_wait_for_its_migration(
    connection: ClickHouseConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica that was upgraded first sends its block whole until the column is there, and says what to do once."""
    really, attempts, repeated = connection.insert, list[str](), asyncio.Event()

    async def insert(table: str, lines: bytes, token: str) -> None:
        attempts.append(token)
        if len(attempts) == 5:
            repeated.set()
        await really(table, lines, token)

    monkeypatch.setattr(connection, "insert", insert)
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    await connection.command("ALTER TABLE user_events DROP COLUMN city")
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    ids = [UUID(int=number) for number in range(1, 101)]
    await analytics.record_events([make_event(event_id=each) for each in ids])
    await asyncio.wait_for(repeated.wait(), 20)
    assert caplog.text.count("run `riftline stores migrate`") == 1
    await connection.command("ALTER TABLE user_events ADD COLUMN city String")
    await analytics.flush(20)
    assert len(set(attempts)) == 1
    assert await stored(connection) == (ids, 100)
    assert analytics.bytes_waiting == 0
    await analytics.close()


async def test_what_was_refused_is_delivered_when_its_cause_is_gone(
    connection: ClickHouseConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every row is refused, single rows are not looked for long; all of them, and an orphan's, are kept."""
    really, attempts = connection.insert, list[str]()

    async def insert(table: str, lines: bytes, token: str) -> None:
        attempts.append(token)
        await really(table, lines, token)

    monkeypatch.setattr(connection, "insert", insert)
    await connection.command("ALTER TABLE user_events ADD CONSTRAINT never CHECK session_id != 'session'")
    orphan = await Journal.open(tmp_path / "05")
    await orphan.keep_refused("1-a-user_events.0.1", b'{"event_id":"%s"}' % str(UUID(int=2000)).encode())
    await orphan.close()
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    ids = [UUID(int=number) for number in range(1, 1001)]
    await analytics.record_events([make_event(event_id=each) for each in ids])
    await analytics.flush(20)
    assert len(attempts) < 60
    assert len(list((tmp_path / "00").glob("*.refused"))) < 30
    assert await analytics.redeliver() == 1000
    await connection.command("ALTER TABLE user_events DROP CONSTRAINT never")
    assert await analytics.redeliver() == 0
    assert await stored(connection) == ([*ids, UUID(int=2000)], 1001)
    assert not any(holds_refused(folder) for folder in (tmp_path / "00", tmp_path / "05"))
    assert analytics.bytes_waiting == 0
    await analytics.close()


async def test_a_damaged_part_of_the_journal_does_not_stop_the_rest(
    connection: ClickHouseConnection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept for a person and reported; what stands before the damage is delivered."""
    journal = await Journal.open(tmp_path / "00", bounds=Bounds(segment_age_s=0))
    await journal.append(b'user_events\n{"session_id":"before"}')
    await journal.append(b'user_events\n{"session_id":"damaged"}')
    segment = await journal.cursor().next_segment()
    segment.path.write_bytes(segment.path.read_bytes().replace(b"damaged", b"DAMAGED"))
    await journal.append(b'user_events\n{"session_id":"whole"}')
    await journal.close()
    analytics = await open_analytics(connection, tmp_path)
    await analytics.flush(20)
    assert await connection.query("SELECT session_id FROM user_events ORDER BY 1") == [("before",), ("whole",)]
    assert "kept aside" in caplog.text
    assert analytics.bytes_waiting == segment.size
    await analytics.close()


async def test_the_journals_of_dead_processes_are_delivered_by_the_living(
    connection: ClickHouseConnection, tmp_path: Path
) -> None:
    """Each process has a journal of its own; one that nobody owns any more is adopted."""
    line = b'user_events\n{"event_id":"%s"}'
    for slot in (0, 1, 5):
        journal = await Journal.open(tmp_path / f"{slot:02d}")
        await journal.append(line % str(UUID(int=slot + 1)).encode())
        await journal.close()
    owned = await Journal.open(tmp_path / "00")
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))

    async def arrived() -> None:
        while (await stored(connection))[1] < 2:  # noqa: ASYNC110  # a server is asked
            await asyncio.sleep(0.01)

    await asyncio.wait_for(arrived(), 20)
    assert await stored(connection) == ([UUID(int=2), UUID(int=6)], 2)
    await analytics.close()
    await owned.close()


async def migrated(server: ClickHouse, **bounds: float) -> ClickHouseConnection:
    """A connection to a fresh database of a server that may be killed."""
    connection = await http_connection(await make_database(server.url), **bounds)
    await migrate(connection)
    return connection


@pytest.mark.parametrize("implementation", ["http"], indirect=True)
@pytest.mark.usefixtures("implementation")
async def test_a_server_that_stopped_gets_everything_once_when_it_is_back(
    own_server: ClickHouse, tmp_path: Path
) -> None:
    """Recording goes on without it, reads say that it is away, and nobody has to reopen anything."""
    connection = await migrated(own_server)
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    await analytics.record_events([make_event(event_id=UUID(int=1))])
    await analytics.flush(20)
    own_server.kill()
    for number in range(2, 102):
        await analytics.record_events([make_event(event_id=UUID(int=number))])
    with pytest.raises(TransientError, match=r"ClickHouse at 127\.0\.0\.1"):
        await analytics.user_activity(NOON, NOON + DAY)
    with pytest.raises(TransientError, match="not delivered"):
        await analytics.flush(0.1)
    own_server.start()
    await analytics.flush(30)
    assert await stored(connection) == ([UUID(int=number) for number in range(1, 102)], 101)
    await analytics.close()
    await connection.close()


@pytest.mark.parametrize("implementation", ["http"], indirect=True)
@pytest.mark.usefixtures("implementation")
async def test_a_paused_server_hangs_nobody(own_server: ClickHouse, tmp_path: Path) -> None:
    """Reads end at the deadline, recording does not notice, and all arrives when it goes on."""
    connection = await migrated(own_server, deadline_s=1)
    analytics = await open_analytics(connection, tmp_path, Bounds(segment_age_s=0.01))
    own_server.pause()
    began = time.monotonic()
    with pytest.raises(TransientError, match=r"ClickHouse at 127\.0\.0\.1"):
        await analytics.user_activity(NOON, NOON + DAY)
    for number in range(1, 51):
        await analytics.record_events([make_event(event_id=UUID(int=number))])
    assert time.monotonic() - began < 5
    own_server.resume()
    await analytics.flush(30)
    assert await stored(connection) == ([UUID(int=number) for number in range(1, 51)], 50)
    await analytics.close()
    await connection.close()


@pytest.mark.parametrize("implementation", ["http"], indirect=True)
@pytest.mark.usefixtures("implementation")
async def test_a_full_journal_pushes_back_and_takes_again(own_server: ClickHouse, tmp_path: Path) -> None:
    """While the server is away the bound holds: who was refused was not recorded, who was not is not lost."""
    connection = await migrated(own_server)
    analytics = await open_analytics(connection, tmp_path, Bounds(max_bytes=50_000, segment_age_s=0.01))
    own_server.kill()
    taken: list[UUID] = []

    async def fill() -> None:
        for number in range(1, 10_000):
            await analytics.record_events([make_event(event_id=UUID(int=number))])
            taken.append(UUID(int=number))

    with pytest.raises(OverloadedError, match="bytes; try again later"):
        await fill()
    assert analytics.bytes_waiting <= 50_000
    assert len(taken) > 50
    own_server.start()
    await analytics.flush(30)
    await analytics.record_events([make_event(event_id=UUID(int=20_000))])
    await analytics.flush(30)
    assert await stored(connection) == ([*taken, UUID(int=20_000)], len(taken) + 1)
    await analytics.close()
    await connection.close()


@pytest.mark.parametrize("implementation", ["http"], indirect=True)
@pytest.mark.usefixtures("implementation")
async def test_a_process_starts_while_the_server_is_away(own_server: ClickHouse, tmp_path: Path) -> None:
    """Opening a connection fails, but one that connects later serves the journal as soon as it can."""
    connection = await migrated(own_server)
    address = connection.address
    await connection.close()
    own_server.kill()
    url = f"{own_server.url}/{address.rpartition('/')[2]}"
    late = clickhouse_at(ClickHouseSettings(tmp_path, tmp_path, url))
    analytics = await open_analytics(late, tmp_path / "spill", Bounds(segment_age_s=0.01))
    await analytics.record_events([make_event(event_id=UUID(int=1))])
    own_server.start()
    await analytics.flush(30)
    assert await stored(late) == ([UUID(int=1)], 1)
    await analytics.close()
    await late.close()
