"""What every store of configurations keeps: no editor undoes another unseen, no value is shown, flags in one query."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stores.domain.configurations import ConfigType, Configuration
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.configurations import PostgresConfigurations
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS, UNSTORABLE

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.configurations import Configurations

pytestmark = pytest.mark.role("configurations")


@pytest.fixture
def configurations(pool: Pool) -> Configurations:
    """The configurations of a fresh database."""
    return PostgresConfigurations(pool)


def setting(value: Any = 1, **changes: Any) -> Configuration:
    """A setting of production."""
    return Configuration(
        **{"config_key": "cache.ttl_s", "config_value": value, "config_type": ConfigType.SETTING} | changes
    )


async def test_an_entry_is_read_back_as_written(configurations: Configurations) -> None:
    """Any JSON value comes back equal and of its type, at version 1."""
    values = [0, False, "", "text", [], {}, [1, 0.1 + 0.2, None, {"a": "ü"}], 2**63, -(2**63), 1e300]
    for number, value in enumerate(values):
        given = setting(value, config_key=f"{number}", description="why", environment="staging", is_active=False)
        stored = await configurations.put(given, 0)
        assert stored == replace(given, version=1, created_at=stored.created_at, updated_at=stored.updated_at)
        assert type(stored.config_value) is type(value)
        assert stored.config_id == given.config_id
        assert await configurations.get(f"{number}", "staging") == stored
    with pytest.raises(NotFoundError, match="production"):
        await configurations.get("0", "production")


async def test_of_two_editors_one_wins(configurations: Configurations) -> None:
    """Ten who read the same version: one write is kept, nine hear that they must read again."""
    await configurations.put(setting(0), 0)
    writes = [configurations.put(setting(value), 1) for value in range(1, 11)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    [kept] = [outcome for outcome in outcomes if isinstance(outcome, Configuration)]
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    assert await configurations.get("cache.ttl_s", "production") == kept
    assert kept.version == 2


async def test_of_two_who_add_one_wins(configurations: Configurations) -> None:
    """Ten who add the same key with their own values: one is kept."""
    outcomes = await asyncio.gather(
        *(configurations.put(setting(value), 0) for value in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    assert (await configurations.get("cache.ttl_s", "production")).version == 1


async def test_a_repeated_write_is_one(configurations: Configurations) -> None:
    """After an unknown outcome the same write gives what it wrote; it is no conflict and no second version."""
    first = await configurations.put(setting(1), 0)
    assert await configurations.put(setting(1), 0) == first
    second = await configurations.put(setting(True), 1)
    assert await configurations.put(setting(True), 1) == second
    for stale, version in (
        (setting(1), 0),
        (setting(1), 1),
        (setting(True), 2 + 1),
        (setting(True, description=""), 1),
    ):
        with pytest.raises(ConflictError, match="version 2"):
            await configurations.put(stale, version)


async def test_what_is_not_there_is_not_replaced(configurations: Configurations) -> None:
    """A version of an entry that does not exist is refused, and so is an unknown editor."""
    with pytest.raises(NotFoundError, match=r"cache\.ttl_s"):
        await configurations.put(setting(), 3)
    with pytest.raises(InvalidError) as caught:
        await configurations.put(setting(last_modified_by=uuid4()), 0)
    assert caught.value.field == "last_modified_by"
    with pytest.raises(InvalidError) as caught:
        await configurations.put(setting(), -1)
    assert caught.value.field == "expected_version"
    assert await configurations.list("production") == ()


async def test_flags_are_the_active_ones_of_an_environment(configurations: Configurations) -> None:
    """Settings, secrets, inactive flags and other environments are left out; the list has them all."""
    flag = ConfigType.FEATURE_FLAG
    for entry in (
        setting(True, config_key="new_curve", config_type=flag),
        setting({"percent": 10}, config_key="canary", config_type=flag),
        setting(True, config_key="old", config_type=flag, is_active=False),
        setting(True, config_key="new_curve", config_type=flag, environment="staging"),
        setting("s", config_key="key", config_type=ConfigType.SECRET),
        setting(3, config_key="size"),
    ):
        await configurations.put(entry, 0)
    assert await configurations.flags("production") == {"canary": {"percent": 10}, "new_curve": True}
    assert await configurations.flags("staging") == {"new_curve": True}
    assert await configurations.flags("nowhere") == {}
    keys = [entry.config_key for entry in await configurations.list("production")]
    assert keys == ["canary", "key", "new_curve", "old", "size"]


async def test_a_secret_is_never_shown(configurations: Configurations) -> None:
    """Neither what is stored nor any error, with all its causes, holds the value."""
    secret = setting("hunter2", config_type=ConfigType.SECRET)
    stored = await configurations.put(secret, 0)
    assert stored.config_value == "hunter2"
    shown = [repr(stored), str(stored), repr(await configurations.list("production"))]
    for entry, version in (
        (replace(secret, description="x"), 0),
        (replace(secret, environment="else"), 7),
        (replace(secret, last_modified_by=uuid4()), 1),
    ):
        try:
            await configurations.put(entry, version)
        except (ConflictError, NotFoundError, InvalidError) as error:
            shown.append("".join(traceback.format_exception(error)))
    assert len(shown) == 6
    assert not [text for text in shown if "hunter2" in text]


async def test_an_entry_outlives_its_editor(configurations: Configurations, pool: Pool) -> None:
    """When its last editor is deleted the entry stays, at its version."""
    users = PostgresUsers(pool)
    user = User(email="a@b", username="a", password_hash="h")  # noqa: S106
    await users.create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
    stored = await configurations.put(setting(last_modified_by=user.user_id), 0)
    assert stored.last_modified_by == user.user_id
    await users.delete(user.user_id)
    assert await configurations.get("cache.ttl_s", "production") == replace(stored, last_modified_by=None)


async def test_hostile_text_comes_back_unchanged(configurations: Configurations) -> None:
    """In every text field a piece of SQL is nothing but text."""
    for text in INJECTIONS:
        environment = text[:20]
        given = setting({text: text}, config_key=text, environment=environment, description=text)
        stored = await configurations.put(given, 0)
        assert (stored.config_key, stored.environment, stored.description) == (text, environment, text)
        assert stored.config_value == {text: text}
        assert await configurations.get(text, environment) == stored
        assert await configurations.list(environment) == (stored,)
        assert await configurations.flags(environment) == {}


async def test_what_no_server_holds_is_refused(configurations: Configurations) -> None:
    """Look-ups with NUL or half a surrogate pair name their field."""
    for text in UNSTORABLE:
        for field, call in (
            ("config_key", configurations.get(text, "production")),
            ("environment", configurations.get("a", text)),
            ("environment", configurations.list(text)),
            ("environment", configurations.flags(text)),
        ):
            with pytest.raises(InvalidError) as caught:
                await call
            assert caught.value.field == field
