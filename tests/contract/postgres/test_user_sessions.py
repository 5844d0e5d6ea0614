"""What every store of sessions keeps: no token, no life after the end, bounded purges."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.user_sessions import UserSession, new_session_token, session_id_of
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import InvalidError, NotFoundError
from stores.postgres.user_sessions import PostgresUserSessions
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS, UNSTORABLE

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.user_sessions import UserSessions

pytestmark = pytest.mark.role("user_sessions")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def sessions(pool: Pool) -> UserSessions:
    """The sessions of a fresh database."""
    return PostgresUserSessions(pool)


@pytest.fixture
def users(pool: Pool) -> PostgresUsers:
    """The users of the same database."""
    return PostgresUsers(pool)


@pytest.fixture
async def user_id(users: PostgresUsers) -> UUID:
    """A user who may log in."""
    user = User(email="a@b", username="a", password_hash="h")  # noqa: S106
    await users.create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
    return user.user_id


def session(user_id: UUID, token: str, **changes: Any) -> UserSession:
    """A session of an hour from noon on."""
    times = {"created_at": NOON, "last_activity_at": NOON, "expires_at": NOON + HOUR}
    return UserSession(session_id=session_id_of(token), user_id=user_id, **times | changes)


async def test_a_session_is_read_back_by_its_token(sessions: UserSessions, user_id: UUID) -> None:
    """Every field comes back equal, and creating it again gives what is there."""
    token = new_session_token()
    given = session(
        user_id,
        token,
        device_fingerprint="fp",
        ip_address=ip_address("2001:db8::1"),
        user_agent="Mozilla",
        location_data={"country": "KR", "at": [37.5, 127.0]},
    )
    assert await sessions.create(given) == given
    assert await sessions.create(replace(given, user_agent="other")) == given
    assert await sessions.live(token, NOON) == given
    assert await sessions.of_user(user_id, NOON) == (given,)


async def test_the_token_is_nowhere_in_the_database(sessions: UserSessions, user_id: UUID, pool: Pool) -> None:
    """Who reads the whole table cannot pose as the user."""
    token = new_session_token()
    await sessions.create(session(user_id, token))
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT user_sessions::text AS row FROM user_sessions")
    assert len(rows) == 1
    assert token not in rows[0]["row"]
    with pytest.raises(NotFoundError) as caught:
        await sessions.live(session_id_of(token), NOON)  # the stored id opens nothing
    assert session_id_of(token) not in str(caught.value)


async def test_a_session_ends_at_its_time(sessions: UserSessions, user_id: UUID) -> None:
    """It is live until a moment before its end and not at it, for every way of asking."""
    token = new_session_token()
    await sessions.create(session(user_id, token))
    assert (await sessions.live(token, NOON + HOUR - timedelta(microseconds=1))).is_active
    with pytest.raises(NotFoundError):
        await sessions.live(token, NOON + HOUR)
    with pytest.raises(NotFoundError):
        await sessions.touch(token, NOON + HOUR, 60)
    assert await sessions.of_user(user_id, NOON + HOUR) == ()


async def test_activity_prolongs_and_never_shortens(sessions: UserSessions, user_id: UUID) -> None:
    """The end slides with the last activity; a late or short touch moves nothing back."""
    token = new_session_token()
    await sessions.create(session(user_id, token))
    touched = await sessions.touch(token, NOON + HOUR / 2, 3600)
    assert (touched.last_activity_at, touched.expires_at) == (NOON + HOUR / 2, NOON + 1.5 * HOUR)
    assert await sessions.touch(token, NOON, 60) == touched
    assert await sessions.live(token, NOON + HOUR) == touched


async def test_a_revoked_session_stays_ended(sessions: UserSessions, user_id: UUID) -> None:
    """One is ended by its public id, all of a user at once, and neither touch nor creation brings it back."""
    tokens = [new_session_token() for _ in range(3)]
    for token in tokens:
        await sessions.create(session(user_id, token))
    assert await sessions.revoke(session_id_of(tokens[0]))
    assert not await sessions.revoke(session_id_of(tokens[0]))
    assert not await sessions.revoke(session_id_of("unknown"))
    with pytest.raises(NotFoundError):
        await sessions.touch(tokens[0], NOON, 3600)
    assert not (await sessions.create(session(user_id, tokens[0]))).is_active
    assert len(await sessions.of_user(user_id, NOON)) == 2
    assert await sessions.revoke_all(user_id) == 2
    assert await sessions.revoke_all(user_id) == 0
    assert await sessions.of_user(user_id, NOON) == ()


async def test_a_closed_account_has_no_session(sessions: UserSessions, users: PostgresUsers, user_id: UUID) -> None:
    """Closing ends the open ones, refuses new ones, and opening again does not revive them."""
    token = new_session_token()
    await sessions.create(session(user_id, token))
    assert await users.deactivate(user_id) == 1
    with pytest.raises(NotFoundError):
        await sessions.live(token, NOON)
    with pytest.raises(NotFoundError, match=str(user_id)):
        await sessions.create(session(user_id, new_session_token()))
    await users.reactivate(user_id)
    with pytest.raises(NotFoundError):
        await sessions.live(token, NOON)
    with pytest.raises(NotFoundError):
        await sessions.create(session(uuid4(), new_session_token()))


async def test_logins_beside_a_closing_are_refused_or_ended(
    sessions: UserSessions, users: PostgresUsers, user_id: UUID
) -> None:
    """Whatever the order of twenty logins and the closing of the account, none is live afterwards."""
    logins = [sessions.create(session(user_id, new_session_token())) for _ in range(20)]
    outcomes = await asyncio.gather(*logins[:10], users.deactivate(user_id), *logins[10:], return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {UserSession, NotFoundError, int}
    assert await sessions.of_user(user_id, NOON) == ()


async def test_sessions_go_with_their_user(sessions: UserSessions, users: PostgresUsers, user_id: UUID) -> None:
    """A deletion takes the sessions along and counts them."""
    for _ in range(3):
        await sessions.create(session(user_id, new_session_token()))
    assert (await users.delete(user_id)).user_sessions == 3


async def test_a_purge_takes_what_has_expired_in_bounded_steps(
    sessions: UserSessions, user_id: UUID, pool: Pool
) -> None:
    """Several purges at once take each row once, never more than asked, and leave what lives."""
    async with pool.transaction() as connection:
        await connection.execute(
            "INSERT INTO user_sessions (session_id, user_id, created_at, expires_at)"
            " SELECT encode(sha256(n::text::bytea), 'hex'), $1, $2::timestamptz - interval '1 day',"
            " $2::timestamptz + make_interval(secs => n - 250) FROM generate_series(1, 300) AS n",
            user_id,
            NOON,
        )
    assert await sessions.purge_expired(NOON, 10) == 10
    taken = await asyncio.gather(*(sessions.purge_expired(NOON, 100) for _ in range(4)))
    assert max(taken) <= 100
    assert sum(taken) == 240
    assert await sessions.purge_expired(NOON, 100) == 0
    assert len(await sessions.of_user(user_id, NOON)) == 50


async def test_hostile_text_comes_back_unchanged(sessions: UserSessions, user_id: UUID) -> None:
    """What a client says of itself is nothing but text, and a hostile token opens nothing."""
    for text in INJECTIONS:
        token = new_session_token()
        given = session(user_id, token, device_fingerprint=text, user_agent=text, location_data={text: text})
        await sessions.create(given)
        assert await sessions.live(token, NOON) == given
    for wrong in (*INJECTIONS, *UNSTORABLE, ""):
        with pytest.raises(NotFoundError):
            await sessions.live(wrong, NOON)


async def test_wrong_arguments_are_named(sessions: UserSessions, user_id: UUID) -> None:
    """A naive time, an endless life, an endless purge and a token in place of an id are refused."""
    token = new_session_token()
    for field, call in (
        ("now", sessions.live(token, NOON.replace(tzinfo=None))),
        ("now", sessions.of_user(user_id, NOON.replace(tzinfo=None))),
        ("lifetime_s", sessions.touch(token, NOON, float("inf"))),
        ("limit", sessions.purge_expired(NOON, 0)),
        ("session_id", sessions.revoke(token)),
    ):
        with pytest.raises(InvalidError) as caught:
            await call
        assert caught.value.field == field
