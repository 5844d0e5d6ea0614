"""Killed in the middle of writes and stopped in its tracks: what was acknowledged is there, once, and nobody hangs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from stores.domain.audit import AuditEvent, AuditQuery
from stores.domain.configurations import ConfigType, Configuration
from stores.domain.time_ids import new_time_id
from stores.domain.usage import ApiCall
from stores.domain.user_sessions import UserSession, new_session_token, session_id_of
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import OutcomeUnknownError, TransientError
from stores.postgres.api_usage import PostgresApiUsage
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.configurations import PostgresConfigurations
from stores.postgres.migrate import migrate
from stores.postgres.pool import Deadlines, open_pool
from stores.postgres.user_sessions import PostgresUserSessions
from stores.postgres.users import PostgresUsers
from tests.servers.need import needed
from tests.servers.postgres import PASSWORD, Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from stores.postgres.pool import Pool

T = TypeVar("T")

KILLS = 4
WRITES_BETWEEN = 60  # of all writers together
RETRY_S = 0.05
DEADLINES = Deadlines(connect_s=1.0, acquire_s=2.0, statement_s=1.0)
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def faulty_server(home: Path) -> Iterator[Postgres]:
    """A durable server of this module alone, which may be killed."""
    with needed():
        server = Postgres(home / "faulty")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def faulty_pool(faulty_server: Postgres) -> AsyncIterator[Pool]:
    """A pool with short deadlines and the schema."""
    pool = await open_pool(faulty_server.url, 8, DEADLINES)
    await migrate(pool)
    yield pool
    await pool.close()


class Burst:
    """Writers that repeat what was not acknowledged, and what each of them was told is stored."""

    def __init__(self, pool: Pool) -> None:
        self.users: list[User] = []
        self.sessions: list[str] = []
        self.events: list[AuditEvent] = []
        self.calls: list[ApiCall] = []
        self.versions: list[int] = []
        self.stopped = False
        self._pool = pool
        self._acknowledged = asyncio.Condition()

    @property
    def writes(self) -> int:
        """How many writes were acknowledged."""
        return len(self.users) + len(self.sessions) + len(self.events) + len(self.calls) + len(self.versions)

    async def more(self, count: int) -> None:
        """Wait for so many further writes."""
        goal = self.writes + count
        async with self._acknowledged:
            await self._acknowledged.wait_for(lambda: self.writes >= goal)

    async def write_people(self, writer: int) -> None:
        """Users, each with a session."""
        users, sessions = PostgresUsers(self._pool), PostgresUserSessions(self._pool)
        while not self.stopped:
            name = f"u{writer}-{len(self.users)}"
            user = User(email=f"{name}@x", username=name, password_hash="h")  # noqa: S106
            method = AuthMethod(auth_type=AuthType.PASSWORD)
            await self._told(lambda user=user, method=method: users.create(user, method, UserProfile()))  # type: ignore[misc]
            self.users.append(user)
            token = new_session_token()
            session = UserSession(
                session_id=session_id_of(token),
                user_id=user.user_id,
                created_at=NOW,
                last_activity_at=NOW,
                expires_at=LATER,
            )
            await self._told(lambda session=session: sessions.create(session))  # type: ignore[misc]
            self.sessions.append(token)

    async def write_trail(self) -> None:
        """Audit events and API calls."""
        log, usage = PostgresAuditLog(self._pool), PostgresApiUsage(self._pool)
        while not self.stopped:
            event = AuditEvent(log_id=new_time_id(NOW), action="login", success=True)
            await self._told(lambda event=event: log.record(event))  # type: ignore[misc]
            self.events.append(event)
            calls = [
                ApiCall(usage_id=new_time_id(NOW), endpoint="/", http_method="GET", status_code=200) for _ in range(10)
            ]
            await self._told(lambda calls=calls: usage.record_many(calls))  # type: ignore[misc]
            self.calls += calls

    async def write_counter(self) -> None:
        """One configuration, raised by one from the version that was read last."""
        configurations = PostgresConfigurations(self._pool)
        while not self.stopped:
            version = len(self.versions)
            entry = Configuration(config_key="n", config_value=version, config_type=ConfigType.SETTING)
            stored = await self._told(lambda e=entry, v=version: configurations.put(e, v))  # type: ignore[misc]
            self.versions.append(stored.version)

    async def _told(self, write: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                answer = await write()
            except (TransientError, OutcomeUnknownError):
                await asyncio.sleep(RETRY_S)  # a client that backs off
            else:
                async with self._acknowledged:
                    self._acknowledged.notify_all()
                return answer


async def test_a_kill_loses_and_doubles_nothing(faulty_server: Postgres, faulty_pool: Pool) -> None:
    """Through SIGKILLs in the middle of writes of every kind all that was acknowledged is stored exactly once."""
    burst = Burst(faulty_pool)
    async with asyncio.TaskGroup() as group:
        for writer in range(3):
            group.create_task(burst.write_people(writer))
            group.create_task(burst.write_trail())
        group.create_task(burst.write_counter())
        for _ in range(KILLS):
            await burst.more(WRITES_BETWEEN)
            await asyncio.to_thread(faulty_server.restart)
        await burst.more(WRITES_BETWEEN)
        burst.stopped = True

    assert burst.versions == list(range(1, len(burst.versions) + 1))
    async with faulty_pool.transaction() as connection:
        stored = {
            query: [row[0] for row in await connection.fetch(f"SELECT {query}")]
            for query in (
                "user_id FROM users",
                "user_id FROM user_profiles",
                "user_id FROM user_auth_methods",
                "session_id FROM user_sessions",
                "log_id FROM audit_logs",
                "usage_id FROM api_usage",
            )
        }
    people = [user.user_id for user in burst.users]
    expected: list[list[Any]] = [people, people, people, [session_id_of(token) for token in burst.sessions]]
    expected += [[event.log_id for event in burst.events], [call.usage_id for call in burst.calls]]
    assert [sorted(rows) for rows in stored.values()] == [sorted(rows) for rows in expected]


async def test_a_server_that_stands_still_holds_nobody(faulty_server: Postgres, faulty_pool: Pool) -> None:
    """While it is stopped every call ends in a TransientError that shows no password; afterwards all works again."""
    users, log = PostgresUsers(faulty_pool), PostgresAuditLog(faulty_pool)
    event = AuditEvent(log_id=new_time_id(NOW), action="paused", success=True)
    user = User(email="paused@x", username="paused", password_hash="h")  # noqa: S106
    method = AuthMethod(auth_type=AuthType.PASSWORD)
    faulty_server.pause()
    try:
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(
                users.create(user, method, UserProfile()),
                users.by_email("paused@x"),
                log.record(event),
                log.search(AuditQuery(), 1),
                PostgresConfigurations(faulty_pool).flags("production"),
                return_exceptions=True,
            )
    finally:
        faulty_server.resume()
    assert [type(outcome) for outcome in outcomes] == [TransientError] * 5
    assert not [outcome for outcome in outcomes if PASSWORD in repr(outcome)]
    assert (await users.create(user, method, UserProfile())).username == "paused"
    await log.record(event)
    assert (await log.search(AuditQuery(action="paused"), 10)).events == (event,)
