"""The ensemble in a deployment of its own, by real Serve: the same answers to the bit, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from fastapi.testclient import TestClient
from ray import serve

from actors.answers import look, look_all
from actors.ensemble import PropEnsemble
from actors.explanations import explain
from serve_apps.api import create_api
from serve_apps.app import APP_NAME, MODEL, GatewayArgs, model
from serve_apps.destinations import Destinations
from serve_apps.placement import LIMIT_S, Composed
from stores.domain.models import MODEL_NAME
from stores.domain.props import PropType
from stores.errors import InvalidError, RiftlineError
from stores.lake.artifacts import WarehouseArtifacts
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.settings import ModelPlacement
from tests.integration.api.conftest import OneView, question
from tests.integration.api.test_fast_path import both, raw, running
from tests.unit.small_world import PLAYERS, ask, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ray.serve.handle import DeploymentHandle

    from actors.answers import Outlook, Predictor
    from serve_apps.api import ApiSettings
    from stores.domain.models import ModelRecord
    from stores.domain.props import PropRequest
    from tests.integration.api.conftest import Api

pytestmark = [pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(240)]
REPLICAS = 2
QUESTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"prop_type": "assists", "map_range": [1, 1]},
    {"player_names": ["Faker", "Oner"], "map_range": [1, 3]},
    {"player_names": ["Faker", "Chovy"], "tournament": "LCK"},
    {"player_names": ["Faker", "Lost"], "prop_value": 7},  # of two series
    {"champions": ["Ahri"], "best_of": 5, "map_range": [2, 4]},
    {"player_names": ["Newest"], "explain": True},
    {"player_names": ["Faker", "Rookie"], "champions": ["Ahri", "Jinx"], "explain": True},
)
OF_ITS_OWN = {"prediction_id", "processing_time_ms", "cache_hit"}


@pytest.fixture(scope="module")
def handle(ray_cluster: None, settings: ApiSettings) -> Iterator[DeploymentHandle[Any]]:  # noqa: ARG001
    """Two replicas of the model, as the application deploys them."""
    args = GatewayArgs(
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        access=settings.access,
        warehouse=settings.warehouse,
        destinations=settings.destinations,
        model=ModelPlacement(composed=True, replicas=REPLICAS, max_replicas=REPLICAS),
    )
    serve.start(proxy_location="Disabled")
    try:
        yield serve.run(model(args), name=APP_NAME, route_prefix=None)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def composed(handle: DeploymentHandle[Any], settings: ApiSettings, home: Path) -> Iterator[TestClient]:
    """A gateway that has its model elsewhere."""
    apart = replace(settings, destinations=Destinations(home / "journal-composed"))
    with TestClient(create_api(apart, OneView(), models=Composed(handle)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def record(settings: ApiSettings) -> ModelRecord:
    """The released version."""

    async def read() -> ModelRecord | None:
        pool = await open_pool(settings.database_url, 1)
        try:
            return await PostgresModelRegistry(pool).production(MODEL_NAME)
        finally:
            await pool.close()

    found = asyncio.run(read())
    assert found
    return found


@pytest.mark.parametrize("changes", QUESTIONS)
def test_a_question_has_the_same_answer(api: Api, composed: TestClient, changes: dict[str, Any]) -> None:
    """Single and explained, through the whole app."""
    said = composed.post("/predict/single", json=question(**changes))
    assert said.status_code == 200, said.text
    assert _plain(said.json()) == _plain(api.ask(**changes))
    again = composed.post("/predict/single", json=question(**changes)).json()
    assert again["cache_hit"]
    assert _plain(again) == _plain(said.json())


def test_the_socket_answers_when_the_model_has(handle: DeploymentHandle[Any], api: Api, home: Path) -> None:
    """A plain question is answered by the connection itself; known or not, as the app answers it."""
    apart = replace(api.settings, destinations=Destinations(home / "journal-socket"))
    plain = [question(**changes) for changes in QUESTIONS if "explain" not in changes]
    with running(apart, Composed(handle)) as replica:
        for asked in plain:
            whole, parted, at_once = both(replica, raw(asked))
            assert (whole.alike(), whole.status, at_once) == (parted.alike(), 200, 1)
            assert [one.body["cache_hit"] for one in (whole, parted)] == [False, True]
            assert _plain(whole.body) == _plain(api.ask(**asked))
        whole, parted, at_once = both(replica, raw(question(player_names=["nobody"])))
        assert (whole.alike(), whole.status, at_once) == (parted.alike(), 404, 1)


def test_a_batch_has_the_same_answers(api: Api, composed: TestClient) -> None:
    """Also where one fails alone, and where more are alike than one call takes."""
    many = [question(prop_value=line + 0.5) for line in range(90)]
    asked = {"requests": [*(question(**one) for one in QUESTIONS), question(player_names=["nobody"]), *many]}
    there, here = (client.post("/predict/batch", json=asked).json()["items"] for client in (composed, api.client))
    assert [one["status"] for one in there] == [one["status"] for one in here] == [200] * 8 + [404] + [200] * 90
    assert [_plain(one.get("result")) for one in there] == [_plain(one.get("result")) for one in here]


def test_a_curve_is_the_same(api: Api, composed: TestClient) -> None:
    """Its lines follow from the distribution."""
    path, params = "/predict/curve/Chovy", {"prop_type": "kills", "map_last": 3}
    here = api.client.get(path, params=params).json()
    assert composed.get(path, params=params).json() == here
    assert len(here["over_probabilities"]) > 5


def test_what_is_wrong_is_told_alike(api: Api, composed: TestClient) -> None:
    """A format that has not so many maps: the gateway's own checks and the model's."""
    for changes in ({"best_of": 1, "map_range": [1, 2]}, {"map_range": [6, 7]}, {"player_names": ["nobody"]}):
        there, here = (client.post("/predict/single", json=question(**changes)) for client in (composed, api.client))
        assert (there.status_code, there.json()["detail"]) == (here.status_code, here.json()["detail"])
        assert there.status_code in {404, 422}


def _requests() -> list[PropRequest]:
    asked = [ask("Faker", maps=maps, best_of=best_of) for maps in ((1, 1), (1, 2), (2, 3)) for best_of in (None, 3, 5)]
    asked += [ask("Faker", "Oner"), ask("Faker", "Chovy"), ask("Faker", "Lost"), ask("Lost", "Faker", maps=(1, 1))]
    asked += [ask(one.name, champions=("Jinx",)) for one in PLAYERS if one.name not in {"Smash", "Faker"}]
    return [*asked, *(replace(one, prop_type=PropType.ASSISTS) for one in asked)]


def _bytes(outlooks: Sequence[Outlook | RiftlineError]) -> list[bytes]:
    pmfs = [one.forecast for one in outlooks if not isinstance(one, RiftlineError)]
    assert len(pmfs) == len(outlooks)
    return [one.base.pmf.tobytes() + one.calibrated.pmf.tobytes() for one in pmfs]


async def test_the_bytes_of_the_distributions_are_the_same(
    handle: DeploymentHandle[Any], record: ModelRecord, small_model: PropEnsemble
) -> None:
    """Asked at once, so that they are joined into batches; asked as one batch; and what explanations rest on."""
    view, requests = world(PLAYERS), _requests()
    there: Predictor = await Composed(handle).load(record)
    here = [look(one, view, small_model) for one in requests]
    asked = await asyncio.gather(*(asyncio.to_thread(look, one, view, there) for one in requests))
    together = await asyncio.to_thread(look_all, requests, view, there)
    assert _bytes(here) == _bytes(asked) == _bytes(together)
    assert [one.warnings for one in here] == [one.warnings for one in asked]  # they rest on what is reached
    why = [await asyncio.to_thread(explain, here[0], view, one) for one in (small_model, there)]
    assert why[0] == why[1]


async def test_an_answer_is_of_the_version_that_was_asked(
    handle: DeploymentHandle[Any], record: ModelRecord, small_model: PropEnsemble, settings: ApiSettings
) -> None:
    """In the middle of a release gateways ask for two versions; one that no replica holds is loaded when asked for."""
    view, request = world(PLAYERS), ask("Faker", maps=(1, 3))
    parameters = small_model.parameters
    other = PropEnsemble(
        {prop: members.trees for prop, members in small_model.members.items()},
        replace(parameters, series=replace(parameters.series, spread=0.9)),
    )
    stored = WarehouseArtifacts(settings.warehouse).save("2026.06.02", other.to_files())
    newer = replace(record, model_version="2026.06.02", model_artifact_path=stored.path, checksum=stored.checksum)
    placed = Composed(handle)
    both = [await placed.load(record), await placed.load(newer)]
    said = await asyncio.gather(*(asyncio.to_thread(look, request, view, both[at % 2]) for at in range(20)))
    expected = [_bytes([look(request, view, one)])[0] for one in (small_model, other)]
    assert expected[0] != expected[1]
    assert _bytes(said) == expected * 10
    with pytest.raises(InvalidError, match="is not the registered one"):
        await placed.load(replace(newer, model_version="2026.06.03", checksum="0" * 64))
    with pytest.raises(InvalidError, match="train again"):
        await placed.load(replace(newer, feature_version="another"))


async def test_a_replica_that_dies_costs_no_answer(
    handle: DeploymentHandle[Any], record: ModelRecord, small_model: PropEnsemble
) -> None:
    """Questions that it took with it are asked again; Serve starts another one."""
    view, requests = world(PLAYERS), _requests()
    there = await Composed(handle).load(record)
    held = _replicas()[0]
    held.send_signal(signal.SIGSTOP)  # so that it has questions when it dies
    asked = [asyncio.create_task(asyncio.to_thread(look, one, view, there)) for one in requests * 4]
    await asyncio.wait(asked, timeout=0.3)
    waiting = [one for one in asked if not one.done()]
    held.kill()
    assert waiting
    assert _bytes(await asyncio.gather(*asked)) == _bytes([look(one, view, small_model) for one in requests]) * 4


def test_without_a_replica_it_is_told_at_once(composed: TestClient) -> None:
    """503 with Retry-After within the limit, then without waiting, and readiness tells; then they answer again."""
    deadline = time.monotonic() + 60
    while len(stopped := _replicas()) < REPLICAS:  # the one that took the place of one that died would answer
        assert time.monotonic() < deadline
    for one in stopped:
        one.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        said = [composed.post("/predict/single", json=question(map_range=[at, at])) for at in (1, 2, 3)]
        assert time.monotonic() - begun < 3 * (LIMIT_S + 2)
        begun = time.monotonic()
        said.append(composed.post("/predict/single", json=question(map_range=[4, 4])))
        assert time.monotonic() - begun < LIMIT_S / 2
        told = composed.get("/ready").json()
    finally:
        for one in stopped:
            one.send_signal(signal.SIGCONT)
    assert told["status"] == "degraded"
    assert told["checks"]["model"] == "ok, but its replicas do not answer: only what is known is answered"
    assert [(one.status_code, one.json()["code"], "retry-after" in one.headers) for one in said] == [
        (503, "unavailable", True)
    ] * 4
    deadline = time.monotonic() + 60
    while composed.post("/predict/single", json=question(map_range=[4, 4])).status_code != 200:
        assert time.monotonic() < deadline
    assert composed.get("/ready").json()["checks"]["model"] == "ok"


def _replicas() -> list[psutil.Process]:
    """The processes of the model's replicas, of this Ray alone."""
    title = f"ServeReplica:{APP_NAME}:{MODEL}"
    return [one for one in psutil.Process(os.getpid()).children(recursive=True) if title in " ".join(one.cmdline())]


def _plain(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """What two answers to one question share."""
    return answer and {name: value for name, value in answer.items() if name not in OF_ITS_OWN}
