"""What every store of feature definitions keeps: one meaning per name, registered by everyone, written once."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stores.domain.feature_definitions import DataType, FeatureDefinition, FeatureType, UpdateFrequency
from stores.domain.users import AuthMethod, AuthType, User, UserProfile
from stores.errors import InvalidError, NotFoundError
from stores.features.definitions import model_feature_definitions
from stores.features.schema import MODEL_FEATURES
from stores.postgres.feature_definitions import PostgresFeatureDefinitions
from stores.postgres.users import PostgresUsers
from tests.contract.postgres.texts import INJECTIONS, UNSTORABLE

if TYPE_CHECKING:
    from stores.postgres.pool import Pool
    from stores.roles.feature_definitions import FeatureDefinitions

pytestmark = pytest.mark.role("feature_definitions")


@pytest.fixture
def features(pool: Pool) -> FeatureDefinitions:
    """The definitions of a fresh database."""
    return PostgresFeatureDefinitions(pool)


def definition(name: str = "elo_difference", **changes: Any) -> FeatureDefinition:
    """A definition with every field filled."""
    return FeatureDefinition(
        **{
            "feature_name": name,
            "feature_type": FeatureType.NUMERICAL,
            "data_type": DataType.FLOAT,
            "computation_logic": "team_elo - opponent_elo",
            "dependencies": ("team_elo", 'quo"ted, {brace}'),
            "update_frequency": UpdateFrequency.REAL_TIME,
            "validation_rules": {"min": -2000, "max": 2000.5},
            "data_quality_checks": {"missing": {"at_most": 0.01}},
            "description": "strength",
            "business_context": "the favourite kills more",
        }
        | changes
    )


def given(stored: FeatureDefinition) -> FeatureDefinition:
    """What was registered, without what the store adds."""
    names = ("is_active", "deprecated_at", "created_at", "updated_at")
    added = {field.name: field.default for field in fields(FeatureDefinition) if field.name in names}
    return replace(stored, **added)  # type: ignore[arg-type]


async def test_a_definition_is_read_back_as_registered(features: FeatureDefinitions) -> None:
    """Every field comes back equal, the id too."""
    assert await features.register([definition(), definition("elo", dependencies=(), update_frequency=None)]) == 2
    stored = await features.get("elo_difference")
    assert given(stored) == definition()
    assert [one.feature_name for one in await features.active()] == ["elo", "elo_difference"]


async def test_what_is_equal_is_not_written(features: FeatureDefinitions) -> None:
    """Registering the same again changes nothing; of ten at once one writes."""
    outcomes = await asyncio.gather(*(features.register([definition(), definition("elo")]) for _ in range(10)))
    assert sorted(outcomes) == [0] * 9 + [2]
    first = await features.get("elo")
    assert await features.register([definition("elo")]) == 0
    assert await features.get("elo") == first


async def test_what_differs_is_replaced(features: FeatureDefinitions) -> None:
    """The id and the first time stay, everything else is the new one's."""
    await features.register([definition()])
    first = await features.get("elo_difference")
    changed = definition(dependencies=("team_elo",), validation_rules=None, data_type=DataType.INT)
    assert await features.register([changed]) == 1
    second = await features.get("elo_difference")
    assert given(second) == changed
    assert (second.feature_id, second.created_at) == (first.feature_id, first.created_at)
    assert second.updated_at is not None
    assert first.updated_at is not None
    assert second.updated_at > first.updated_at


async def test_a_deprecated_feature_can_come_back(features: FeatureDefinitions) -> None:
    """It leaves the active ones and is still found; registering it makes it active again."""
    await features.register([definition()])
    gone = await features.deprecate("elo_difference")
    assert (gone.is_active, await features.active()) == (False, ())
    assert gone.deprecated_at is not None
    assert await features.deprecate("elo_difference") == gone
    assert await features.get("elo_difference") == gone
    assert await features.register([definition()]) == 1
    assert (await features.get("elo_difference")).is_active


async def test_the_features_of_the_model_are_all_defined(features: FeatureDefinitions) -> None:
    """The table names exactly what the model uses, and rests on nothing that is not there."""
    assert await features.register(model_feature_definitions()) == len(MODEL_FEATURES)
    active = await features.active()
    assert {one.feature_name for one in active} == set(MODEL_FEATURES)
    assert {name for one in active for name in one.dependencies} <= set(MODEL_FEATURES)
    assert await features.register(model_feature_definitions()) == 0


async def test_what_cannot_be_registered_leaves_nothing(features: FeatureDefinitions) -> None:
    """A name that comes twice and an unknown creator refuse the whole call."""
    with pytest.raises(InvalidError) as caught:
        await features.register([definition("a"), definition("b"), definition("a")])
    assert caught.value.field == "definitions.2.feature_name"
    with pytest.raises(InvalidError) as caught:
        await features.register([definition("a"), definition("b", created_by=uuid4())])
    assert caught.value.field == "created_by"
    assert await features.active() == ()
    for call in (features.get("a"), features.deprecate("a")):
        with pytest.raises(NotFoundError, match="'a'"):
            await call


async def test_a_definition_outlives_its_creator(features: FeatureDefinitions, pool: Pool) -> None:
    """When its creator is deleted the definition stays without one."""
    users = PostgresUsers(pool)
    user = User(email="a@b", username="a", password_hash="h")  # noqa: S106
    stored = await users.create(user, AuthMethod(auth_type=AuthType.PASSWORD), UserProfile())
    await features.register([definition(created_by=stored.user_id)])
    assert (await features.get("elo_difference")).created_by == user.user_id
    await users.delete(user.user_id)
    assert given(await features.get("elo_difference")) == definition()


async def test_hostile_text_comes_back_unchanged(features: FeatureDefinitions) -> None:
    """In every text field a piece of SQL is nothing but text."""
    texts = ("computation_logic", "description", "business_context")
    hostile = [
        definition(text, dependencies=(text,), validation_rules={text: text}, **dict.fromkeys(texts, text))
        for text in INJECTIONS
    ]
    await features.register(hostile)
    assert [given(await features.get(text)) for text in INJECTIONS] == hostile


async def test_what_no_server_holds_is_refused(features: FeatureDefinitions) -> None:
    """Look-ups with NUL or half a surrogate pair name their field."""
    for call in (ask(text) for text in UNSTORABLE for ask in (features.get, features.deprecate)):
        with pytest.raises(InvalidError) as caught:
            await call
        assert caught.value.field == "feature_name"
