"""What every model registry keeps: versions that never change, one of them in production, and how it came there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from stores.domain.audit import AuditQuery
from stores.domain.models import Alias, DeploymentStatus, ModelRecord, TransitionKind
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.migration_files import read_migrations
from stores.postgres.audit_log import PostgresAuditLog
from stores.postgres.migrate import migrate, shipped_migrations
from stores.postgres.models import PostgresModelRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stores.postgres.pool import Pool

    MakeModel = Callable[..., ModelRecord]


pytestmark = pytest.mark.role("model registry")


@pytest.fixture
def registry(pool: Pool) -> PostgresModelRegistry:
    """A registry on a fresh database."""
    return PostgresModelRegistry(pool)


async def register(registry: PostgresModelRegistry, model: MakeModel, *versions: str) -> None:
    """Register these versions of ``props``."""
    for version in versions:
        await registry.register(model(version))


async def aliases(registry: PostgresModelRegistry) -> dict[Alias, str]:
    """Which version of ``props`` has which alias."""
    return {alias: record.model_version for alias, record in (await registry.aliases("props")).items()}


async def walk_back(registry: PostgresModelRegistry) -> list[str]:
    """The champions of ``props`` that rollbacks reach, until there is none."""
    reached: list[str] = []
    while True:
        try:
            reached.append((await registry.rollback("props")).model_version)
        except NotFoundError:
            return reached


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


async def test_an_alias_leads_to_one_version(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """A version takes an alias from the one that had it, and leaves its own; status and percentage follow."""
    await register(registry, model, "1", "2", "3")
    assert await aliases(registry) == {}
    await registry.promote("props", "1")
    await registry.promote("props", "2", alias=Alias.CHALLENGER)
    await registry.promote("props", "3", alias=Alias.CHALLENGER)
    shadow = await registry.promote("props", "2", alias=Alias.SHADOW)
    assert (shadow.deployment_status, shadow.deployment_percentage) == (DeploymentStatus.STAGING, 0)
    assert await aliases(registry) == {Alias.CHAMPION: "1", Alias.CHALLENGER: "3", Alias.SHADOW: "2"}
    assert (await registry.aliases("props"))[Alias.SHADOW] == shadow
    await registry.promote("props", "3")
    assert await aliases(registry) == {Alias.CHAMPION: "3", Alias.SHADOW: "2"}
    back = await registry.promote("props", "1", alias=Alias.CHALLENGER)
    assert (back.deployment_status, back.deprecated_at) == (DeploymentStatus.STAGING, None)
    await registry.promote("props", "1", alias=Alias.SHADOW)
    assert await aliases(registry) == {Alias.CHAMPION: "3", Alias.SHADOW: "1"}
    await registry.promote("props", "2")
    await registry.promote("props", "3", alias=Alias.SHADOW)
    assert await aliases(registry) == {Alias.CHAMPION: "2", Alias.SHADOW: "3"}
    assert await registry.aliases("curve") == {}


async def test_the_champion_is_nothing_else(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Production cannot be emptied by making its version a challenger: the error says what to do instead."""
    await register(registry, model, "1")
    await registry.promote("props", "1")
    with pytest.raises(InvalidError, match="promote another version to champion first"):
        await registry.promote("props", "1", alias=Alias.CHALLENGER)
    assert await aliases(registry) == {Alias.CHAMPION: "1"}


async def test_a_move_is_in_history_and_audit_as_it_was(
    registry: PostgresModelRegistry, pool: Pool, model: MakeModel
) -> None:
    """Who, what, why and the gates' report are read back equal from both, the newest first, and nothing else is."""
    await register(registry, model, "1", "2")
    report = {"passed": True, "failures": [], "scores": {"kills": {"crps": 1 / 3}}}
    await registry.promote("props", "1", actor="ana", reason='first "one" 페이커', gates=report)
    await registry.promote("props", "2", alias=Alias.CHALLENGER)
    await registry.promote("props", "2", actor="bo", reason="better", gates=report)
    await registry.promote("props", "2", actor="nobody", reason="it is already")
    await registry.rollback("props", actor="cy", reason="worse")
    back, better, tried, first = await registry.history("props")
    assert (first.kind, first.alias, first.from_version, first.to_version) == ("promote", "champion", None, "1")
    assert (first.actor, first.reason, first.gates, first.forced) == ("ana", 'first "one" 페이커', report, False)
    assert (tried.alias, tried.left_alias, tried.forced) == (Alias.CHALLENGER, None, False)
    assert (better.from_version, better.to_version, better.left_alias) == ("1", "2", Alias.CHALLENGER)
    assert (back.kind, back.from_version, back.to_version) == (TransitionKind.ROLLBACK, "2", "1")
    assert (back.actor, back.reason, back.gates, back.forced) == ("cy", "worse", None, False)
    events = (await PostgresAuditLog(pool).search(AuditQuery(action="model_deploy", resource_type="model"), 10)).events
    moved = {"from_version": "1", "to_version": "2", "left_alias": "challenger", "alias": "champion", "kind": "promote"}
    words = {"model_name": "props", "actor": "bo", "reason": "better", "gates": report, "forced": False}
    assert [one.event_data for one in events if (one.event_data or {})["actor"] == "bo"] == [moved | words]
    assert len(events) == 4
    ids = {version: (await registry.get("props", version)).model_id for version in ("1", "2")}
    assert {one.resource_id for one in events} == set(ids.values())


async def test_gates_that_did_not_pass_need_force(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """A refusal changes nothing and leaves no trace; what overrode or left out the gates says so for ever."""
    await register(registry, model, "1", "2")
    refused = {"passed": False, "failures": ["kills: crps"]}
    with pytest.raises(InvalidError) as caught:
        await registry.promote("props", "1", gates=refused)
    assert caught.value.field == "gates"
    with pytest.raises(InvalidError):
        await registry.promote("props", "1", gates={"passed": "yes"})
    assert await registry.production("props") is None
    assert await registry.history("props") == ()
    await registry.promote("props", "1", gates=refused, force=True)
    await registry.promote("props", "2")
    skipped, overridden = await registry.history("props")
    assert (overridden.forced, overridden.gates) == (True, refused)
    assert (skipped.forced, skipped.gates) == (True, None)


async def test_a_wrong_word_moves_nothing(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Deployment, history and audit are one transaction: what one of them cannot hold, none has."""
    await register(registry, model, "1")
    for field, words in (
        ("actor", {"actor": " "}),
        ("reason", {"reason": "x\0"}),
        ("gates.score", {"gates": {"passed": True, "score": float("nan")}}),
        ("event_data", {"gates": {"passed": True, "text": "x" * 65_000}, "reason": "y" * 2000}),
    ):
        with pytest.raises(InvalidError) as caught:
            await registry.promote("props", "1", **words)
        assert caught.value.field == field
    assert await aliases(registry) == {}
    assert await registry.history("props") == ()


async def test_rollbacks_go_further_back(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Each reaches the champion before, never the one just left, until there is none; a promotion starts from there."""
    await register(registry, model, "1", "2", "3", "4")
    for version in ("1", "2", "3"):
        await registry.promote("props", version)
    back = await registry.rollback("props")
    assert (back.model_version, back.deployment_status, back.deprecated_at) == ("2", DeploymentStatus.PRODUCTION, None)
    assert (await registry.get("props", "3")).deployment_status == DeploymentStatus.DEPRECATED
    await registry.promote("props", "4")
    await registry.promote("props", "3", alias=Alias.SHADOW)
    assert await walk_back(registry) == ["2", "1"]
    assert await aliases(registry) == {Alias.CHAMPION: "1", Alias.SHADOW: "3"}
    with pytest.raises(NotFoundError, match="promote the version that you want"):
        await registry.rollback("props")


async def test_a_rollback_takes_the_alias_of_its_version(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """A former champion that is the challenger now becomes champion and is the challenger no more."""
    await register(registry, model, "1", "2")
    await registry.promote("props", "1")
    await registry.promote("props", "2")
    await registry.promote("props", "1", alias=Alias.CHALLENGER)
    await registry.rollback("props")
    assert await aliases(registry) == {Alias.CHAMPION: "1"}
    assert (await registry.history("props"))[0].left_alias is Alias.CHALLENGER


async def test_there_must_be_something_to_go_back_to(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Without a champion, or without one before it, the error says so and nothing changes."""
    with pytest.raises(NotFoundError, match="props has no champion"):
        await registry.rollback("props")
    await register(registry, model, "1")
    serving = await registry.promote("props", "1")
    with pytest.raises(NotFoundError, match="before 1"):
        await registry.rollback("props")
    assert await registry.production("props") == serving


async def test_a_decision_about_another_champion_is_refused(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """Ten rollbacks from what was seen go back once; a promotion judged against a former champion is a conflict."""
    await register(registry, model, "1", "2", "3")
    for version in ("1", "2", "3"):
        await registry.promote("props", version)
    rollbacks = (registry.rollback("props", expected_champion="3") for _ in range(10))
    outcomes = await asyncio.gather(*rollbacks, return_exceptions=True)
    assert sum(isinstance(outcome, ModelRecord) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    with pytest.raises(ConflictError, match="the champion of props is 2"):
        await registry.promote("props", "1", expected_champion="3")
    assert await aliases(registry) == {Alias.CHAMPION: "2"}


async def test_concurrent_moves_form_one_line(registry: PostgresModelRegistry, model: MakeModel) -> None:
    """However twenty moves at once fall out, each starts where the one before ended, and its time is not before."""
    versions = [str(number) for number in range(5)]
    await register(registry, model, *versions)
    await registry.promote("props", "0")
    moves = [registry.promote("props", version) for version in versions * 3]
    moves += [registry.promote("props", version, alias=Alias.SHADOW) for version in versions]
    for outcome in await asyncio.gather(*moves, return_exceptions=True):
        assert isinstance(outcome, ModelRecord | InvalidError)  # what was champion just then cannot be shadow
    line = [one for one in reversed(await registry.history("props")) if one.alias is Alias.CHAMPION]
    assert [one.from_version for one in line] == [None, *(one.to_version for one in line[:-1])]
    assert [one.created_at for one in line] == sorted(one.created_at for one in line)
    assert (await aliases(registry))[Alias.CHAMPION] == line[-1].to_version
    assert await walk_back(registry) == [one.to_version for one in reversed(line[:-1])]


async def test_a_champion_of_before_the_history_is_kept(bare_pool: Pool, tmp_path: Path, model: MakeModel) -> None:
    """What was in production before this table, or was put there by an older program since, is gone back to as well."""
    for migration in read_migrations(shipped_migrations()):
        if migration.version < 8:
            (tmp_path / migration.name).write_text(migration.sql)
    await migrate(bare_pool, tmp_path)
    registry = PostgresModelRegistry(bare_pool)
    await register(registry, model, "1", "2", "3")
    await _promote_as_before(bare_pool, "1")
    await migrate(bare_pool)
    assert await aliases(registry) == {Alias.CHAMPION: "1"}
    await registry.promote("props", "2")
    await registry.promote("props", "3", alias=Alias.CHALLENGER)
    await _promote_as_before(bare_pool, "3")
    assert await aliases(registry) == {Alias.CHAMPION: "3"}
    assert await walk_back(registry) == ["2", "1"]


async def _promote_as_before(pool: Pool, version: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute(
            "UPDATE ml_models SET deployment_status = 'deprecated' WHERE deployment_status = 'production'"
        )
        await connection.execute(
            "UPDATE ml_models SET deployment_status = 'production' WHERE model_version = $1", version
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ml_models SET checksum = 'other'",
        "UPDATE ml_models SET training_metrics = '{}', deployment_percentage = 1",
        "UPDATE ml_models SET test_accuracy = NULL",
        "UPDATE ml_models SET model_version = '2'",
        "DELETE FROM ml_models",
        "TRUNCATE ml_models CASCADE",
        "UPDATE model_transitions SET reason = 'other'",
        "DELETE FROM model_transitions",
        "TRUNCATE model_transitions",
    ],
)
async def test_the_database_itself_keeps_versions_and_history(
    registry: PostgresModelRegistry, pool: Pool, model: MakeModel, statement: str
) -> None:
    """Not even a statement past the registry changes what was registered or what became of it."""
    await register(registry, model, "1")
    stored = await registry.promote("props", "1", reason="first")
    told = await registry.history("props")
    with pytest.raises(InvalidError, match="never change"):
        async with pool.transaction() as connection:
            await connection.execute(statement)
    assert await registry.get("props", "1") == stored
    assert await registry.history("props") == told
