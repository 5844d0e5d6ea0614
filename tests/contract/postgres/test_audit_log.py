"""What every audit log keeps: events once and for ever, pages that miss nothing, and no way to change the past."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from stores.domain.audit import AuditEvent, AuditQuery
from stores.domain.time_ids import new_time_id
from stores.domain.user_sessions import session_id_of
from stores.errors import InvalidError
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.partitions import TABLES, drop_expired, ensure_partitions
from tests.contract.postgres.texts import INJECTIONS

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.audit_log import AuditLog

pytestmark = pytest.mark.role("audit_log")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
ALL = AuditQuery()
ALICE, BOB, MODEL = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.fixture
def log(pool: Pool) -> AuditLog:
    """The log of a fresh database."""
    return PostgresAuditLog(pool)


def event(at: datetime = NOON, **changes: Any) -> AuditEvent:
    """An event with every field filled."""
    fields: dict[str, Any] = {
        "log_id": new_time_id(at),
        "action": "model_deploy",
        "success": False,
        "user_id": ALICE,
        "resource_type": "model",
        "resource_id": MODEL,
        "event_data": {"version": "2026.03.14", "share": 0.1 + 0.2},
        "ip_address": ip_address("192.0.2.7"),
        "user_agent": "curl",
        "session_id": session_id_of("token"),
        "error_message": "no such version",
    }
    return AuditEvent(**fields | changes)


async def record(log: AuditLog, *events: AuditEvent) -> None:
    """Store these events, one after the other."""
    for one in events:
        await log.record(one)


async def test_an_event_is_read_back_as_recorded(log: AuditLog) -> None:
    """Every field of a full and of a bare event comes back equal, the newest first."""
    bare = AuditEvent(log_id=new_time_id(NOON + timedelta(seconds=1)), action="login", success=True)
    full = event()
    await record(log, full, bare)
    page = await log.search(ALL, 10)
    assert page.events == (bare, full)
    assert page.next_after is None


async def test_a_repeated_event_is_one(log: AuditLog) -> None:
    """The same event recorded ten times at once is there once, and the first text of it stays."""
    one = event()
    await asyncio.gather(*(log.record(one) for _ in range(10)))
    await log.record(replace(one, action="other"))
    assert (await log.search(ALL, 10)).events == (one,)


SEARCHES: tuple[tuple[AuditQuery, list[int]], ...] = (
    (ALL, [5, 4, 3, 2, 1, 0]),
    (AuditQuery(user_id=ALICE), [4, 2, 0]),
    (AuditQuery(action="login"), [5, 4, 3]),
    (AuditQuery(user_id=ALICE, action="login"), [4]),
    (AuditQuery(resource_type="model"), [2, 1, 0]),
    (AuditQuery(resource_type="model", resource_id=MODEL), [0]),
    (AuditQuery(since=NOON + timedelta(hours=2), until=NOON + timedelta(hours=4)), [3, 2]),
    (AuditQuery(user_id=BOB, since=NOON + timedelta(hours=4)), [5]),
    (AuditQuery(user_id=MODEL), []),
)


async def test_a_search_finds_what_was_asked_for(log: AuditLog) -> None:
    """All that is given must hold; since is included, until is not."""
    events = [
        event(
            NOON + timedelta(hours=hour),
            user_id=ALICE if hour % 2 == 0 else BOB,
            action="login" if hour > 2 else "model_deploy",
            resource_type="user" if hour > 2 else "model",
            resource_id=MODEL if hour == 0 else uuid4(),
        )
        for hour in range(6)
    ]
    await record(log, *events)
    for query, found in SEARCHES:
        assert (await log.search(query, 10)).events == tuple(events[hour] for hour in found)


async def test_pages_hold_every_event_once(log: AuditLog, pool: Pool) -> None:
    """Also of one millisecond, over the partitions of two months, while new events come in between the pages."""
    month = datetime(2026, 3, 1, tzinfo=UTC)
    events = [event(month + timedelta(seconds=second)) for second in range(-5, 5) for _ in range(3)]
    await record(log, *events[::2], *events[1::2])
    await ensure_partitions(pool, NOON, [table for table in TABLES if table.name == "audit_logs"])
    seen: list[AuditEvent] = []
    after = None
    while True:
        page = await log.search(AuditQuery(user_id=ALICE), 7, after)
        assert len(page.events) <= 7
        seen += page.events
        await log.record(event(NOON))  # newer than every page
        if page.next_after is None:
            break
        after = page.next_after
    assert seen == sorted(events, key=lambda one: one.log_id, reverse=True)


async def test_a_page_that_ends_the_trail_says_so(log: AuditLog) -> None:
    """When exactly a page's number of events is left there is no next page."""
    await record(log, *(event() for _ in range(3)))
    assert (await log.search(ALL, 3)).next_after is None
    assert (await log.search(ALL, 2)).next_after is not None


async def test_the_past_cannot_be_changed(log: AuditLog, pool: Pool) -> None:
    """The server refuses it for the whole trail and for a partition alone; a whole month is the policy's to drop."""
    await ensure_partitions(pool, NOON, [table for table in TABLES if table.name == "audit_logs"])
    events = event(), event(datetime(2031, 1, 1, tzinfo=UTC))
    await record(log, *events)
    changes = [
        f"{change} {table}{rest}"
        for table in ("audit_logs", "audit_logs_default", "audit_logs_2026_03")
        for change, rest in (("UPDATE", " SET action = 'x'"), ("DELETE FROM", ""))
    ]
    for change in (*changes, "TRUNCATE audit_logs", "TRUNCATE audit_logs_default"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            async with pool.transaction() as connection:
                await connection.execute(change)
    assert (await log.search(ALL, 10)).events == events[::-1]


async def test_a_month_is_dropped_by_policy(log: AuditLog, pool: Pool) -> None:
    """Events of the default partition move into their month, which may go whole when it is old enough."""
    tables = [table for table in TABLES if table.name == "audit_logs"]
    old, young = event(NOON), event(NOON + timedelta(days=31))
    await record(log, old, young)
    assert "audit_logs_2026_03" in await ensure_partitions(pool, NOON, tables)
    assert (await log.search(ALL, 10)).events == (young, old)
    dropped = await drop_expired(pool, datetime(2026, 4, 1, tzinfo=UTC) + tables[0].kept, tables)
    assert "audit_logs_2026_03" in dropped
    assert (await log.search(ALL, 10)).events == (young,)


async def test_hostile_text_comes_back_unchanged(log: AuditLog) -> None:
    """In every text field a piece of SQL is nothing but text, in what is recorded and in what is searched for."""
    for text in INJECTIONS:
        hostile = event(
            action=text, resource_type=text[:50], event_data={text: text}, user_agent=text, error_message=text
        )
        await record(log, hostile)
        assert (await log.search(AuditQuery(action=text, resource_type=text[:50]), 10)).events == (hostile,)


async def test_wrong_pages_are_named(log: AuditLog) -> None:
    """A page of nothing or of too much, and a cursor of another kind, are refused."""
    for field, call in (
        ("limit", log.search(ALL, 0)),
        ("limit", log.search(ALL, 1001)),
        ("after", log.search(ALL, 1, uuid4())),
    ):
        with pytest.raises(InvalidError) as caught:
            await call
        assert caught.value.field == field
