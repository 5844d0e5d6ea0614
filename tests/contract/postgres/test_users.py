"""What every store of users keeps: one owner per name, whole creations, updates that lose nothing, proven deletions."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stores.domain.users import AuthMethod, AuthType, ProfileVisibility, SubscriptionTier, User, UserProfile
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS, UNSTORABLE

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.users import Users

pytestmark = pytest.mark.role("users")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
CREATE = """
import asyncio, sys
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import ConflictError
from stores.postgres.pool import open_pool
from stores.postgres.users import PostgresUsers

async def main():
    pool = await open_pool(sys.argv[1], 1)
    print("ready", flush=True)
    sys.stdin.readline()
    user = User(email="same@example.org", username=sys.argv[2], password_hash="h")
    try:
        await PostgresUsers(pool).create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
        print("created")
    except ConflictError as error:
        print(error)
    await pool.close()

asyncio.run(main())
"""


@pytest.fixture
def users(pool: Pool) -> Users:
    """The users of a fresh database."""
    return PostgresUsers(pool)


def person(name: str = "Faker", **changes: Any) -> User:
    """A user who logs in by a password."""
    return User(**{"email": f"{name}@Example.org", "username": name, "password_hash": "$argon2id$x"} | changes)


def password() -> AuthMethod:
    """A primary password."""
    return AuthMethod(auth_type=AuthType.PASSWORD, is_primary=True)


def google(provider_id: str = "g-1", **changes: Any) -> AuthMethod:
    """An account at a provider."""
    return AuthMethod(auth_type=AuthType.OAUTH_GOOGLE, provider_id=provider_id, **changes)


async def create(users: Users, user: User) -> User:
    """Add a user with a password and an empty profile."""
    return await users.create(user, password(), UserProfile())


async def test_a_user_is_read_back_as_created(users: Users) -> None:
    """User, profile and first method come back equal to the bit, found by every name in any case."""
    user = person(metadata={"a": [1, 0.1 + 0.2, None, "x"]}, subscription_tier=SubscriptionTier.PRO, created_by=uuid4())
    profile = UserProfile(
        first_name="Lee", preferences={"dark": True}, profile_visibility=ProfileVisibility.PRIVATE, region="KR"
    )
    stored = await users.create(user, password(), profile)
    assert (stored.email, stored.username, stored.metadata) == (user.email, user.username, user.metadata)
    assert stored.password_hash == user.password_hash
    assert stored.created_at is not None
    assert await users.get(user.user_id) == stored
    assert await users.by_email("FAKER@example.ORG") == stored
    assert await users.by_username("faker") == stored
    kept = await users.profile(user.user_id)
    assert (kept.first_name, kept.preferences, kept.region) == ("Lee", {"dark": True}, "KR")
    assert kept.profile_visibility is ProfileVisibility.PRIVATE
    [method] = await users.auth_methods(user.user_id)
    assert (method.auth_type, method.is_primary) == (AuthType.PASSWORD, True)


async def test_a_repeated_creation_is_one_user(users: Users) -> None:
    """After an unknown outcome the same creation gives the user that is there, and nothing twice."""
    user, method = person(), password()
    first = await users.create(user, method, UserProfile())
    assert await users.create(user, method, UserProfile()) == first
    assert len(await users.auth_methods(user.user_id)) == 1
    with pytest.raises(ConflictError, match="user_id"):
        await create(users, person("Chovy", user_id=user.user_id))


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        ({"email": "fAKER@example.org", "username": "x"}, "email"),
        ({"username": "FAKER", "email": "x@y"}, "username"),
        ({"username": "\uff26aker", "email": "x@y"}, "username"),  # a full-width F
    ],
)
async def test_a_name_has_one_owner(users: Users, other: dict[str, Any], taken: str) -> None:
    """Neither case nor a compatible letter makes another name; the error says which, and quotes nothing."""
    await create(users, person())
    with pytest.raises(ConflictError, match=f"this {taken} is taken") as caught:
        await create(users, person(**other))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_provider_account_has_one_owner(users: Users) -> None:
    """A second user with the same account at a provider is refused whole: no user is left without a method."""
    first = await users.create(person("A"), google(), UserProfile())
    assert await users.by_provider(AuthType.OAUTH_GOOGLE, "g-1") == first
    with pytest.raises(ConflictError, match="belongs to another user"):
        await users.create(person("B"), google(), UserProfile())
    with pytest.raises(NotFoundError):
        await users.by_username("B")
    second = await create(users, person("B"))
    with pytest.raises(ConflictError, match="belongs to another user"):
        await users.put_auth_method(second.user_id, google())


async def test_two_processes_with_one_email_make_one_user(database: str) -> None:
    """Of two processes that create the same email at once exactly one gets a conflict."""
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", CREATE, database, name, stdin=pipe, stdout=pipe)
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert sorted(output.decode().strip() for output, _ in outputs) == ["created", "this email is taken"]


async def test_an_update_changes_the_given_fields_alone(users: Users) -> None:
    """What is not given stays, the time moves, and updates of two fields at once are both kept."""
    user = await create(users, person())
    await asyncio.gather(
        users.update(user.user_id, subscription_tier=SubscriptionTier.PREMIUM),
        users.update(user.user_id, metadata={"beta": True}),
    )
    updated = await users.get(user.user_id)
    assert (updated.subscription_tier, updated.metadata) == (SubscriptionTier.PREMIUM, {"beta": True})
    assert (updated.email, updated.password_hash) == (user.email, user.password_hash)
    assert updated.updated_at is not None
    assert user.updated_at is not None
    assert updated.updated_at > user.updated_at


async def test_a_changed_email_is_unverified(users: Users) -> None:
    """A new email must be verified anew unless the caller did, and can be found."""
    user = await create(users, person(email_verified=True))
    changed = await users.update(user.user_id, email="new@example.org")
    assert not changed.email_verified
    assert await users.by_email("NEW@example.org") == changed
    assert (await users.update(user.user_id, email="b@example.org", email_verified=True)).email_verified


async def test_an_update_cannot_take_a_name_or_another_field(users: Users) -> None:
    """A taken name, an unknown user and a field that is not the caller's are refused."""
    user = await create(users, person())
    await create(users, person("Chovy"))
    with pytest.raises(ConflictError, match="email"):
        await users.update(user.user_id, email="CHOVY@example.org")
    with pytest.raises(NotFoundError):
        await users.update(uuid4(), email="x@y")
    with pytest.raises(InvalidError) as caught:
        await users.update(user.user_id, is_active=False)  # type: ignore[call-arg]
    assert caught.value.field == "is_active"
    assert await users.get(user.user_id) == user


async def test_a_profile_is_updated_field_by_field(users: Users) -> None:
    """A given None clears a field, what is not given stays."""
    user = await users.create(person(), password(), UserProfile(first_name="Lee", last_name="Sang-hyeok"))
    profile = await users.update_profile(user.user_id, first_name=None, marketing_consent=True)
    assert (profile.first_name, profile.last_name, profile.marketing_consent) == (None, "Sang-hyeok", True)
    assert await users.profile(user.user_id) == profile
    with pytest.raises(NotFoundError):
        await users.update_profile(uuid4(), first_name="x")


async def test_a_user_has_one_method_of_a_type_and_one_primary(users: Users) -> None:
    """A new primary displaces the former, the same id is replaced, another one of the type is refused."""
    user = await create(users, person())
    method = google(is_primary=True, auth_data={"token": "t"})
    assert (await users.put_auth_method(user.user_id, method)).auth_data == {"token": "t"}
    again = google("g-2", is_primary=True, is_verified=True, auth_method_id=method.auth_method_id)
    await users.put_auth_method(user.user_id, again)
    first, second = await users.auth_methods(user.user_id)
    assert (first.auth_type, first.provider_id, first.is_verified) == (AuthType.OAUTH_GOOGLE, "g-2", True)
    assert (second.auth_type, second.is_primary) == (AuthType.PASSWORD, False)
    with pytest.raises(ConflictError, match="another method of this type"):
        await users.put_auth_method(user.user_id, google("g-3"))
    with pytest.raises(NotFoundError):
        await users.put_auth_method(uuid4(), google("g-4"))


async def test_a_method_of_someone_else_is_not_replaced(users: Users) -> None:
    """Knowing the id of another user's method gives no hold of it."""
    owner = await users.create(person("A"), google(), UserProfile())
    thief = await create(users, person("B"))
    [method] = await users.auth_methods(owner.user_id)
    with pytest.raises(ConflictError):
        await users.put_auth_method(thief.user_id, google("g-9", auth_method_id=method.auth_method_id))
    assert await users.auth_methods(owner.user_id) == (method,)


async def test_a_login_is_noted_and_never_moved_back(users: Users) -> None:
    """User and method get the time; a late note of an earlier login changes nothing."""
    user = await create(users, person())
    await users.touch_login(user.user_id, AuthType.PASSWORD, NOON)
    await users.touch_login(user.user_id, AuthType.PASSWORD, NOON - timedelta(hours=1))
    assert (await users.get(user.user_id)).last_login_at == NOON
    [method] = await users.auth_methods(user.user_id)
    assert method.last_used_at == NOON
    with pytest.raises(NotFoundError):
        await users.touch_login(user.user_id, AuthType.OAUTH_RIOT, NOON + timedelta(hours=1))
    assert (await users.get(user.user_id)).last_login_at == NOON


async def test_an_account_is_closed_and_opened(users: Users) -> None:
    """Both may be repeated, and are refused for a user that does not exist."""
    user = await create(users, person())
    assert await users.deactivate(user.user_id) == 0
    closed = await users.get(user.user_id)
    assert not closed.is_active
    assert await users.deactivate(user.user_id) == 0
    assert await users.get(user.user_id) == closed
    await users.reactivate(user.user_id)
    assert (await users.get(user.user_id)).is_active
    with pytest.raises(NotFoundError):
        await users.deactivate(uuid4())


async def test_a_deletion_is_proven_and_whole(users: Users, pool: Pool) -> None:
    """The rows that went are counted, nothing of the user is left in any table, and a repeat gives zero."""
    user = await create(users, person())
    await users.put_auth_method(user.user_id, google())
    gone = await users.delete(user.user_id)
    assert (gone.users, gone.user_profiles, gone.user_auth_methods, gone.user_sessions) == (1, 1, 2, 0)
    again = await users.delete(user.user_id)
    assert (again.users, again.user_profiles, again.user_auth_methods, again.user_sessions) == (0, 0, 0, 0)
    async with pool.transaction() as connection:
        for table in ("users", "user_profiles", "user_auth_methods"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608  # constants
    assert (await create(users, person())).username == "Faker"  # the names are free again


async def test_hostile_text_comes_back_unchanged(users: Users) -> None:
    """In every text field a piece of SQL or of a format is nothing but text."""
    for text in INJECTIONS:
        await round_trip(users, text)


async def round_trip(users: Users, text: str) -> None:
    """Create a user who is this text in every field and read them back."""
    name = "".join(filter(str.isprintable, text)).strip()
    email = f"{name.replace(' ', '')}@example.org"
    names = ("first_name", "last_name", "display_name", "avatar_url", "riot_account_id", "summoner_name", "timezone")
    fields: dict[str, Any] = dict.fromkeys(names, text)
    profile = UserProfile(**fields, preferences={text: text})
    user = User(email=email, username=name, metadata={text: [text]})
    method = google(text, auth_data={text: text})
    await users.create(user, method, profile)
    stored = await users.by_provider(AuthType.OAUTH_GOOGLE, text)
    assert (stored.email, stored.username, stored.metadata) == (email, name, {text: [text]})
    assert await users.by_email(email) == await users.by_username(name) == stored
    kept = await users.profile(user.user_id)
    assert {name: getattr(kept, name) for name in names} == fields
    assert kept.preferences == {text: text}
    assert [one.auth_data for one in await users.auth_methods(user.user_id)] == [{text: text}]


async def test_what_no_server_holds_finds_nobody(users: Users) -> None:
    """NUL and half a surrogate pair are refused by every look-up and update, naming the field."""
    user = await create(users, person())
    for text in UNSTORABLE:
        for field, call in (
            ("email", users.by_email(text)),
            ("username", users.by_username(text)),
            ("provider_id", users.by_provider(AuthType.OAUTH_RIOT, text)),
            ("first_name", users.update_profile(user.user_id, first_name=text)),
            ("metadata.a", users.update(user.user_id, metadata={"a": text})),
        ):
            with pytest.raises(InvalidError) as caught:
                await call
            assert caught.value.field == field
    assert await users.get(user.user_id) == user


async def test_the_server_itself_refuses_a_wrong_row(users: Users, pool: Pool) -> None:
    """What comes past the domain, by hand, meets the table's checks."""
    user = await create(users, person())
    for change in ("subscription_tier = 'gold'", "metadata = '[]'", "email = repeat('x', 256)", "password_hash = ''"):
        statement = f"UPDATE users SET {change} WHERE user_id = $1"  # noqa: S608  # constants
        with pytest.raises(InvalidError):
            async with pool.transaction() as connection:
                await connection.execute(statement, user.user_id)
