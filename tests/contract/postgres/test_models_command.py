"""`riftline models` over a real registry: what people see, what machines read, and what each command leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from stores.domain.models import MODEL_NAME
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stores.domain.models import ModelRecord, Transition

    Command = Callable[..., Any]

pytestmark = pytest.mark.role("model registry")


@pytest.fixture
def url(make_database: Callable[[], str], model: Callable[..., ModelRecord]) -> str:
    """A registry with three versions, none of which has files; the first is the champion."""
    url = make_database()

    async def fill() -> None:
        pool = await open_pool(url, 1)
        registry = PostgresModelRegistry(pool)
        for version in ("1", "2", "3"):
            await registry.register(model(version, model_name=MODEL_NAME, training_metrics={"crps": float(version)}))
        await registry.promote(MODEL_NAME, "1", gates={"passed": True, "checks": []})
        await pool.close()

    asyncio.run(fill())
    return url


@pytest.fixture
def models(url: str, tmp_path: Path) -> Command:
    """Run `riftline models` over that registry."""
    environment = {"RIFTLINE_HOME": str(tmp_path), "RIFTLINE_DATABASE_URL": url, "LOGNAME": "ana"}
    return lambda *arguments: CliRunner().invoke(app, ["models", *arguments], env={**os.environ, **environment})


def _json(done: Any) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _history(url: str) -> tuple[Transition, ...]:
    async def read() -> tuple[Transition, ...]:
        pool = await open_pool(url, 1)
        try:
            return await PostgresModelRegistry(pool).history(MODEL_NAME)
        finally:
            await pool.close()

    return asyncio.run(read())


def test_versions_are_listed_shown_and_compared(models: Command) -> None:
    """By version and by alias, as text and as JSON."""
    assert "player-props" in models("list").stdout
    assert {one["model_version"]: one["alias"] for one in _json(models("list", "--json"))} == {
        "1": "champion",
        "2": None,
        "3": None,
    }
    shown = _json(models("show", "champion", "--json"))
    assert (shown["model_version"], shown["alias"], shown["training_metrics"]) == ("1", "champion", {"crps": 1.0})
    assert shown["gates"] == {"passed": True, "checks": []}
    assert [one["to_version"] for one in shown["history"]] == ["1"]
    assert "training_metrics.crps" in models("show", "2").stdout
    assert _json(models("compare", "champion", "3", "--json"))["metrics"] == {
        "crps": [1.0, 3.0],
        "test_accuracy": [0.5512345678901234] * 2,
    }
    assert "+2.0000" in models("compare", "1", "3").stdout


def test_refused_gates_change_nothing_and_force_is_remembered(models: Command, url: str) -> None:
    """A version without files is refused, each reason told; forced, it is the champion and every trace says so."""
    before = _history(url)
    refused = models("promote", "2", "--reason", "trial")
    assert refused.exit_code == 3
    assert "refused: artefact" in refused.stderr
    document = models("promote", "2", "--json")
    assert document.exit_code == 3
    assert json.loads(document.stdout)["promoted"] is False
    assert _history(url) == before
    forced = models("promote", "2", "--force", "--reason", "the champion is broken")
    assert forced.exit_code == 0, forced.output
    assert "overridden: artefact" in forced.stderr
    told, _ = _history(url)
    assert (told.from_version, told.to_version, told.forced, told.reason) == ("1", "2", True, "the champion is broken")
    assert told.actor.startswith("ana@")
    assert told.gates is not None
    assert told.gates["passed"] is False
    shown = models("show", "2").stdout
    assert "forced" in shown
    assert "artefact" in shown


def test_aliases_move_without_gates_and_rollback_goes_back(models: Command, url: str) -> None:
    """A shadow needs no gates; a promoted champion is asked none; a rollback ends where nothing is before."""
    assert _json(models("promote", "3", "--alias", "shadow", "--json"))["gates"] is None
    assert _json(models("show", "shadow", "--json"))["deployment_status"] == "staging"
    assert models("promote", "champion").exit_code == 0
    assert models("promote", "champion", "--alias", "shadow").exit_code == 2
    assert models("promote", "3", "--force").exit_code == 0
    done = _json(models("rollback", "--reason", "worse", "--json"))
    assert done == {"model_version": "1", "from_version": "3"}
    assert _history(url)[0].reason == "worse"
    ended = models("rollback")
    assert ended.exit_code == 2
    assert "promote the version" in ended.stderr


def test_an_unknown_version_names_those_there_are(models: Command) -> None:
    """Wrong input, for every command that takes a version."""
    for arguments in (("show", "9"), ("compare", "1", "9"), ("promote", "9"), ("show", "challenger")):
        done = models(*arguments)
        assert done.exit_code == 2
        assert "the newest are" in done.stderr
