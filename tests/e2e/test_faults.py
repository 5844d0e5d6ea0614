"""What survives: processes are killed while clients ask, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

from stores.errors import NotFoundError
from stores.postgres import embedded
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions
from tests.e2e.conftest import run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.e2e.conftest import Riftline, Traffic

    TrafficOf = Callable[[], Traffic]
    WaitUntil = Callable[[Callable[[], bool], str, float], None]

SHARD, GATEWAY = "ray::FeatureShard", "ray::ServeReplica:riftline:gateway"
RECOVERY_S = 60.0  # Serve finds a dead replica by its health check, then starts a process that imports everything
QUICK_UP_S = 60.0  # nothing is ingested or trained; what is left is connecting to Ray


def test_a_killed_feature_shard(riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil) -> None:
    """No request fails while a shard dies, and another process takes its place."""
    victim, *_ = riftline.processes(SHARD)
    before = {process.pid for process in riftline.processes(SHARD)}
    with traffic() as asking:
        victim.kill()
        wait_until(lambda: _pids(riftline, SHARD) - before != set(), "a new shard", RECOVERY_S)
        wait_until(lambda: _features_age_s(riftline) < 5, "features that the new shard confirmed", RECOVERY_S)
    assert asking.failures == []
    assert len(_pids(riftline, SHARD)) == len(before)


def test_shards_are_added_and_removed(riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil) -> None:
    """With another number of shards no request fails, no replica is replaced, and the shards that stay live on."""
    gateways, shards = _pids(riftline, GATEWAY), _pids(riftline, SHARD)
    more = {**riftline.env, "RIFTLINE_FEATURE_SHARDS": str(len(shards) + 1)}
    with traffic() as asking:
        for env, count in ((more, len(shards) + 1), (riftline.env, len(shards))):
            done = run_command(env, "up", "--data", str(riftline.data), "--json")
            assert done.returncode == 0, done.stderr
            wait_until(lambda count=count: len(_pids(riftline, SHARD)) == count, "the shards", RECOVERY_S)  # type: ignore[misc]
            wait_until(lambda: _features_age_s(riftline) < 5, "features that the shards confirmed", RECOVERY_S)
            answered = len(asking.answers)
            wait_until(lambda answered=answered: len(asking.answers) > answered + 10, "answers", RECOVERY_S)  # type: ignore[misc]
    assert asking.failures == []
    assert not {warning for answer in asking.answers for warning in answer["warnings"] if "unconfirmed" in warning}
    assert _pids(riftline, GATEWAY) == gateways
    assert _pids(riftline, SHARD) == shards


def test_a_killed_gateway(riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil) -> None:
    """The service recovers by itself, and every answer that was given is stored."""
    before = _pids(riftline, GATEWAY)
    with traffic() as asking:
        for process in riftline.processes(GATEWAY):
            process.kill()
        wait_until(lambda: bool(_pids(riftline, GATEWAY) - before), "a new replica", RECOVERY_S)
        wait_until(lambda: riftline.client.get("/ready").status_code == 200, "readiness", RECOVERY_S)
        known = len(asking.answers)
        wait_until(lambda: len(asking.answers) > known + 10, "answers again", RECOVERY_S)
    wait_until(lambda: _lost(riftline, asking.answers) == [], "every answer in the database", RECOVERY_S)


def test_a_killed_database(riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil) -> None:
    """Without its database the service is degraded and answers every request; no answer given meanwhile is lost."""
    data_dir = riftline.settings.postgres.data_dir
    with traffic() as asking:
        psutil.Process(int((data_dir / "postmaster.pid").read_text().split()[0])).kill()
        try:
            answered = riftline.ask()
            given = len(asking.answers)
            wait_until(lambda: len(asking.answers) > given + 10, "answers without a database", RECOVERY_S)
            ready = riftline.client.get("/ready")
            alive = riftline.client.get("/health")
            curve = riftline.client.get(f"/predict/curve/{_anyone(riftline)}", params={"prop_type": "kills"})
        finally:
            embedded.start(data_dir)
        wait_until(lambda: riftline.client.get("/ready").json()["status"] == "ready", "readiness", RECOVERY_S)
    assert (answered.status_code, alive.status_code, curve.status_code) == (200, 200, 200)
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["checks"]["database"] != "ok"
    assert asking.failures == []
    given_all = [*asking.answers, answered.json()]
    wait_until(lambda: _lost(riftline, given_all) == [], "every answer in the database", RECOVERY_S)


def test_a_release_and_its_rollback_under_load(riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil) -> None:
    """A new model is trained, kept back by the gates (a small season judges nothing), taken into service all the same,
    and taken back, without one failed request.
    """
    old = _model_version(riftline)
    with traffic() as asking:
        trained = riftline.command("train", "--json")
        assert trained.returncode == 3, trained.stderr
        report = json.loads(trained.stdout)
        new = report["model_version"]
        assert not report["released"]
        assert {check["passed"] for check in report["gates"]["checks"] if "series" in check["reason"]} >= {False}
        assert riftline.command("models", "promote", new).returncode == 3
        assert _model_version(riftline) == old
        forced = riftline.command("models", "promote", new, "--force", "--reason", "a season too small to judge")
        assert forced.returncode == 0, forced.stderr
        wait_until(lambda: _model_version(riftline) == new, "the new model", 30)
        wait_until(lambda: _last_versions(asking) == {new}, "answers of the new model alone", 30)
        back = riftline.command("models", "rollback", "--json")
        assert back.returncode == 0, back.stderr
        wait_until(lambda: _model_version(riftline) == old, "the model before", 30)
        wait_until(lambda: _last_versions(asking) == {old}, "answers of the model before alone", 30)
    assert asking.failures == []
    assert {answer["model_version"] for answer in asking.answers} == {old, new}


def _last_versions(asking: Traffic) -> set[str]:
    """Of so many answers that every replica gave some: they change versions within a second of one another."""
    return {answer["model_version"] for answer in asking.answers[-20:]}


def test_the_watch_settles_what_was_asked(riftline: Riftline) -> None:
    """It tests for drift, counts today's predictions as not yet played, and repeats itself."""
    riftline.ask()
    first, again = (riftline.command("models", "watch", "--json") for _ in range(2))
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["model_version"] == _model_version(riftline)
    assert report["outcomes"]["open"] >= 1
    assert {finding["kind"] for finding in report["drift"]["findings"]} >= {"feature", "prediction"}
    assert json.loads(again.stdout)["drift"] == report["drift"]


def test_up_again_changes_nothing(riftline: Riftline, traffic: TrafficOf) -> None:
    """A second `up` finds everything there: it is quick, trains nothing and interrupts nobody."""
    model, pids = _model_version(riftline), _pids(riftline, GATEWAY) | _pids(riftline, SHARD)
    begun = time.monotonic()
    with traffic() as asking:
        done = riftline.command("up", "--data", str(riftline.data), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["api"] == riftline.base_url
    assert time.monotonic() - begun < QUICK_UP_S
    assert asking.failures == []
    assert _model_version(riftline) == model
    assert _pids(riftline, GATEWAY) | _pids(riftline, SHARD) == pids


def test_predict_command(riftline: Riftline) -> None:
    """The command asks the running service, and the players it is told nothing of it finds."""
    done = riftline.command("predict", "--json", "--prop", "assists", "--maps", "1-3")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    again = riftline.client.post("/predict/single", json=said["request"]).json()
    assert again["confidence"] == said["answer"]["confidence"]
    assert said["request"]["prop_value"] in said["curve"]["prop_values"]
    unknown = riftline.command("predict", "Nobody At All")
    assert unknown.returncode == 2
    assert "Nobody At All" in unknown.stderr


def test_status_command(riftline: Riftline) -> None:
    """The status tells what runs, what the lake holds and which model answers."""
    done = riftline.command("status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["service"] == "ready"
    assert _model_version(riftline) in json.dumps(status["model"])
    assert all(table["rows"] > 0 for name, table in status["lake"].items() if name.startswith("gold"))


def _pids(riftline: Riftline, title: str) -> set[int]:
    return {process.pid for process in riftline.processes(title)}


def _model_version(riftline: Riftline) -> str:
    return str(riftline.client.get("/models/status").raise_for_status().json()["model_version"])


def _features_age_s(riftline: Riftline) -> float:
    return float(riftline.client.get("/models/status").raise_for_status().json()["features_age_s"])


def _anyone(riftline: Riftline) -> str:
    return str(riftline.players()[0]["player_id"])


def _lost(riftline: Riftline, answers: Sequence[dict[str, Any]]) -> list[str]:
    """The answers given that are not stored."""

    async def read() -> list[str]:
        pool = await open_pool(riftline.database_url, 1)
        store, lost = PostgresPredictions(pool), []
        try:
            for answer in answers:
                try:
                    await store.get(UUID(answer["prediction_id"]))
                except NotFoundError:
                    lost.append(answer["prediction_id"])
        finally:
            await pool.close()
        return lost

    assert answers
    return asyncio.run(read())
