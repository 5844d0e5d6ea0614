"""What every model registry keeps: versions that never change, and one version in production."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from stores.domain.models import DeploymentStatus, ModelRecord
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.postgres.models import PostgresModelRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.postgres.pool import Pool

    MakeModel = Callable[..., ModelRecord]


pytestmark = pytest.mark.role("model registry")


@pytest.fixture
def registry(pool: Pool) -> PostgresModelRegistry:
    """A registry on a fresh database."""
    return PostgresModelRegistry(pool)


async def test_a_registered_version_is_read_back_as_it_was(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Every given field comes back equal, floats to the bit, and the registry adds id and times."""
    stored = await registry.register(model())
    assert await registry.get("props", "2026.03.14") == stored
    assert stored.model_id is not None
    assert stored.created_at is not None
    given = replace(stored, model_id=None, created_at=None, updated_at=None)
    assert given == model()


async def test_a_version_is_registered_once(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """A second registration is refused and changes nothing."""
    first = await registry.register(model())
    with pytest.raises(ConflictError, match=r"props 2026\.03\.14"):
        await registry.register(model(checksum="cd" * 32))
    assert await registry.get("props", "2026.03.14") == first


async def test_of_concurrent_registrations_one_wins(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Of ten at once exactly one is told that it registered."""
    outcomes = await asyncio.gather(*(registry.register(model()) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(outcome, ModelRecord) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9


async def test_production_is_reached_by_promotion_alone(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """A record cannot be registered straight into production."""
    with pytest.raises(InvalidError) as caught:
        await registry.register(model(deployment_status=DeploymentStatus.PRODUCTION))
    assert caught.value.field == "deployment_status"


async def test_a_wrong_value_names_its_cause(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """What the table or JSON cannot hold is an InvalidError, not the driver's."""
    with pytest.raises(InvalidError):
        await registry.register(model(model_size_bytes=-1))
    with pytest.raises(InvalidError):
        await registry.register(model(hyperparameters={"object": object()}))
    with pytest.raises(InvalidError):
        await registry.register(model(model_size_bytes="many"))


async def test_promotion_replaces_the_version_in_production(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """The former version is deprecated in the same step, and going back to it works alike."""
    assert await registry.production("props") is None
    for version in ("1", "2"):
        await registry.register(model(version))
        promoted = await registry.promote("props", version)
        assert (promoted.deployment_status, promoted.deployment_percentage) == (DeploymentStatus.PRODUCTION, 100)
        assert promoted.deployed_at is not None
        assert await registry.production("props") == promoted
    former = await registry.get("props", "1")
    assert (former.deployment_status, former.deployment_percentage) == (DeploymentStatus.DEPRECATED, 0)
    assert former.deprecated_at is not None
    back = await registry.promote("props", "1")
    assert await registry.production("props") == back
    assert back.deprecated_at is None


async def test_promotion_is_idempotent(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Promoting what is in production changes nothing, not even its times."""
    await registry.register(model("1"))
    assert await registry.promote("props", "1") == await registry.promote("props", "1")


async def test_promoting_what_does_not_exist_leaves_production(
    registry: PostgresModelRegistry, model: MakeModel
) -> None:
    """A wrong version raises, suggests the known ones, and the old one keeps serving."""
    await registry.register(model("1"))
    serving = await registry.promote("props", "1")
    with pytest.raises(NotFoundError) as caught:
        await registry.promote("props", "3")
    assert caught.value.suggestions == ("1",)
    assert await registry.production("props") == serving


async def test_concurrent_promotions_leave_one_in_production(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Twenty promotions at once all succeed, one after the other, and one version is in production."""
    versions = [str(number) for number in range(5)]
    for version in versions:
        await registry.register(model(version))
    await asyncio.gather(*(registry.promote("props", version) for version in versions * 4))
    statuses = [record.deployment_status for record in await registry.list("props")]
    assert statuses.count(DeploymentStatus.PRODUCTION) == 1
    assert statuses.count(DeploymentStatus.DEPRECATED) == 4


async def test_the_database_itself_refuses_two_in_production(
    registry: PostgresModelRegistry, model: MakeModel, database: str
) -> None:
    """Not even a statement past the registry can put two versions of a name into production."""
    for version in ("1", "2"):
        await registry.register(model(version))
    connection = await asyncpg.connect(database)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("UPDATE ml_models SET deployment_status = 'production'")
    await connection.close()


async def test_names_have_their_own_production(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Two names are promoted independently and listed by name, the newest version first."""
    for name, version in (("props", "1"), ("props", "2"), ("curve", "1")):
        await registry.register(model(version, model_name=name))
    await registry.promote("props", "1")
    await registry.promote("curve", "1")
    listed = [(record.model_name, record.model_version) for record in await registry.list()]
    assert listed == [("curve", "1"), ("props", "2"), ("props", "1")]
    assert [record.model_version for record in await registry.list("curve")] == ["1"]
    assert await registry.list("none") == ()
