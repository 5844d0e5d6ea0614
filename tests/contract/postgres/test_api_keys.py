"""What every store of API keys keeps: no key, one owner per prefix, an end that is final."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from stores.domain.api_keys import ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.users import AuthMethod, AuthType, SubscriptionTier, User, UserProfile
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.api_keys import PostgresApiKeys
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.api_keys import ApiKeys

pytestmark = pytest.mark.role("api_keys")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def keys(pool: Pool) -> ApiKeys:
    """The keys of a fresh database."""
    return PostgresApiKeys(pool)


@pytest.fixture
def users(pool: Pool) -> PostgresUsers:
    """The users of the same database."""
    return PostgresUsers(pool)


@pytest.fixture
async def user_id(users: PostgresUsers) -> UUID:
    """An active user."""
    user = User(email="a@b", username="a", password_hash="h")  # noqa: S106
    await users.create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
    return user.user_id


def key(secret: str, **changes: Any) -> ApiKey:
    """The record of a key that was made at noon."""
    facts: dict[str, Any] = {
        "name": "bot",
        "tier": SubscriptionTier.PRO,
        "scopes": (Scope.READ, Scope.PREDICT),
        "created_at": NOON,
    }
    return ApiKey(prefix=prefix_of(secret) or "", digest=digest_of(secret), **facts | changes)


async def test_a_key_is_read_back_by_prefix_and_id(keys: ApiKeys, user_id: UUID) -> None:
    """Every field comes back equal, and creating it again gives what is there."""
    secret = new_key()
    given = key(secret, user_id=user_id, expires_at=NOON + HOUR)
    assert await keys.create(given) == given
    assert await keys.create(replace(given, name="other")) == given
    assert await keys.live(given.prefix, NOON) == given
    assert await keys.live_by_id(given.api_key_id, NOON) == given
    assert await keys.list() == (given,)


async def test_the_key_is_nowhere_in_the_database(keys: ApiKeys, pool: Pool) -> None:
    """Who reads the whole table cannot ask with it."""
    secret = new_key()
    await keys.create(key(secret))
    async with pool.transaction() as connection:
        (row,) = await connection.fetch("SELECT api_keys::text AS row FROM api_keys")
    assert secret.removeprefix(f"rl_live_{prefix_of(secret)}_") not in row["row"]


async def test_two_keys_share_no_prefix(keys: ApiKeys) -> None:
    """The second is refused, so that a prefix names one key."""
    first = await keys.create(key(new_key()))
    with pytest.raises(ConflictError):
        await keys.create(replace(first, api_key_id=uuid4()))


async def test_a_key_ends_at_its_time(keys: ApiKeys) -> None:
    """It is live until a moment before its end and not at it; one without an end lives on."""
    ending, lasting = key(new_key(), expires_at=NOON + HOUR), key(new_key())
    for one in (ending, lasting):
        await keys.create(one)
    assert await keys.live(ending.prefix, NOON + HOUR - timedelta(microseconds=1))
    for call in (keys.live(ending.prefix, NOON + HOUR), keys.live_by_id(ending.api_key_id, NOON + HOUR)):
        with pytest.raises(NotFoundError):
            await call
    assert await keys.live(lasting.prefix, NOON + 100_000 * HOUR)


async def test_a_revoked_key_stays_revoked(keys: ApiKeys) -> None:
    """It keeps its first moment, is in the list, and creating it again does not bring it back."""
    given = key(new_key())
    await keys.create(given)
    assert (await keys.revoke(given.prefix, NOON + HOUR)).revoked_at == NOON + HOUR
    assert (await keys.revoke(given.prefix, NOON + 2 * HOUR)).revoked_at == NOON + HOUR
    assert (await keys.create(given)).revoked_at == NOON + HOUR
    with pytest.raises(NotFoundError):
        await keys.live(given.prefix, NOON)
    assert [one.prefix for one in await keys.list()] == [given.prefix]
    with pytest.raises(NotFoundError):
        await keys.revoke("00000000", NOON)


async def test_a_key_is_as_good_as_its_user(keys: ApiKeys, users: PostgresUsers, user_id: UUID) -> None:
    """It sleeps while the account is closed and goes with it when it is deleted; nobody's user gets none."""
    given = await keys.create(key(new_key(), user_id=user_id))
    await users.deactivate(user_id)
    with pytest.raises(NotFoundError):
        await keys.live(given.prefix, NOON)
    with pytest.raises(NotFoundError, match=str(user_id)):
        await keys.create(key(new_key(), user_id=user_id))
    await users.reactivate(user_id)
    assert await keys.live(given.prefix, NOON)
    assert (await users.delete(user_id)).api_keys == 1
    assert await keys.list() == ()


async def test_the_last_use_is_kept(keys: ApiKeys) -> None:
    """A later one that is known stays, many are noted at once, and unknown ids are passed over."""
    both = [await keys.create(key(new_key())) for _ in range(2)]
    ids = [one.api_key_id for one in both]
    await keys.touch({ids[0]: NOON + HOUR, ids[1]: NOON, uuid4(): NOON})
    await asyncio.gather(*(keys.touch(dict.fromkeys(order, NOON)) for order in (ids, ids[::-1]) * 5))
    assert {one.api_key_id: one.last_used_at for one in await keys.list()} == {ids[0]: NOON + HOUR, ids[1]: NOON}
    await keys.touch({})


async def test_hostile_names_come_back_unchanged(keys: ApiKeys) -> None:
    """What a person calls a key is nothing but text; what is no prefix is refused and not quoted."""
    for name in INJECTIONS:
        if name.isprintable():
            given = await keys.create(key(new_key(), name=name))
            assert (await keys.live(given.prefix, NOON)).name == name
    secret = new_key()
    for wrong in (*INJECTIONS, secret, ""):
        with pytest.raises(InvalidError) as refused:
            await keys.live(wrong, NOON)
        assert refused.value.field == "prefix"
        assert secret not in str(refused.value)


async def test_times_need_a_zone(keys: ApiKeys) -> None:
    """A naive one is refused by name."""
    naive = NOON.replace(tzinfo=None)
    for field, call in (
        ("now", keys.live("00000000", naive)),
        ("now", keys.live_by_id(uuid4(), naive)),
        ("now", keys.revoke("00000000", naive)),
        ("used", keys.touch({uuid4(): naive})),
    ):
        with pytest.raises(InvalidError) as refused:
            await call
        assert refused.value.field == field
