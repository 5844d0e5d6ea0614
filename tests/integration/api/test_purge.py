"""What a purge does: the replicas look again at once, over a real Redis, and the CDN is told, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from serve_apps import purge as module
from serve_apps.admission import RedisWhenThere
from serve_apps.placement import Colocated
from serve_apps.purge import MAX_KEY, MAX_KEYS, Cdn, opened_purges
from serve_apps.request_errors import CdnFailedError
from serve_apps.service import PredictionService
from serve_apps.state import ServingState
from stores.clock import utc_now
from stores.lake.artifacts import WarehouseArtifacts
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.redis_store import embedded
from stores.settings import WebSettings
from tests.e2e.conftest import free_ports
from tests.servers.cdn import SmallCdn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.feature_view import FeatureView
    from serve_apps.purge import Purges
    from tests.integration.api.conftest import Api

TOKEN = "not-for-the-log"  # noqa: S105  # of a CDN of this module's own
KEYS = ["curve", "player-p:faker"]


class Looks:
    """A feed of features that tells whether it was looked at."""

    age_s = 0.0

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    async def newer_than(self, _: FeatureView | None) -> None:
        """Nothing newer."""
        self.looked.set()


@asynccontextmanager
async def replica(api: Api, looks: Looks, web: WebSettings) -> AsyncIterator[Purges]:
    """A replica that may be asked to purge, and hears of the purges of others; it never looks by itself."""
    settings = api.settings
    redis, pool = RedisWhenThere(settings.redis_url), await open_pool(settings.database_url, 1)
    state = ServingState(PostgresModelRegistry(pool), Colocated(WarehouseArtifacts(settings.warehouse)), looks)
    store = api.client.app.state.write_behind  # type: ignore[attr-defined]  # nothing is asked of it here
    async with opened_purges(PredictionService(state, store, utc_now), redis, web) as purges:
        yield purges
    await redis.close()
    await pool.close()


@pytest.fixture
def cdn() -> SmallCdn:
    """A CDN on a port of its own."""
    return SmallCdn(f"http://127.0.0.1:{free_ports(1)[0]}/service/x/purge")


def test_only_administrators_purge(api: Api) -> None:
    """What was done is told: the replicas look again, and there is no CDN here."""
    asked = {"surrogate_keys": [*KEYS, KEYS[0]]}
    api.ask()
    assert api.client.post("/purge", json=asked, headers=api.admin).json()["dropped"] >= 1
    said = api.client.post("/purge", json=asked, headers=api.admin)
    assert said.json() == {"surrogate_keys": KEYS, "dropped": 0, "replicas": "told", "cdn": "none"}
    every = api.client.post("/v1/purge", json={"everything": True}, headers=api.admin).json()
    assert every["surrogate_keys"] == ["curve", "search", "status"]
    refused = api.client.post("/purge", json=asked, headers=api.user)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing-scope")
    assert 'scope="admin"' in refused.headers["www-authenticate"]
    assert api.client.post("/purge", json=asked).json()["code"] == "unauthenticated"


def test_everything_that_may_be_kept_bears_a_key_of_everything(api: Api) -> None:
    """So that purging it leaves nothing."""
    every = set(api.client.post("/purge", json={"everything": True}, headers=api.admin).json()["surrogate_keys"])
    kept = [
        path.replace("{player_id}", "Faker") + "?prop_type=kills"
        for path, methods in api.client.get("/openapi.json").json()["paths"].items()
        if "304" in methods.get("get", {}).get("responses", {})
    ]
    assert len(kept) == 5
    for path in kept:
        assert len(every & set(api.client.get(path).headers["surrogate-key"].split())) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "surrogate_keys"),
        ({"surrogate_keys": []}, "surrogate_keys"),
        ({"surrogate_keys": KEYS, "everything": True}, "surrogate_keys"),
        ({"surrogate_keys": ["a b"]}, "surrogate_keys.0"),
        ({"surrogate_keys": ["a\r\nFastly-Key: x"]}, "surrogate_keys.0"),
        ({"surrogate_keys": ["é"]}, "surrogate_keys.0"),
        ({"surrogate_keys": ["x" * (MAX_KEY + 1)]}, "surrogate_keys.0"),
        ({"surrogate_keys": ["x"] * (MAX_KEYS + 1)}, "surrogate_keys"),
        ({"everything": "yes"}, "everything"),
        ({"soft": True}, "soft"),
    ],
)
def test_a_wrong_purge_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    """Nothing is purged by half a request, and no key ends a header."""
    said = api.client.post("/purge", json=body, headers=api.admin)
    assert (said.status_code, said.json()["field"]) == (422, field)


async def test_every_replica_looks_again_at_once(api: Api) -> None:
    """Both the one that is asked and those that hear of it."""
    one, other = Looks(), Looks()
    async with replica(api, one, api.settings.web) as asked, replica(api, other, api.settings.web):
        while not other.looked.is_set():  # who does not listen yet hears nothing
            assert (await asked.purge(KEYS)).replicas == "told"
        assert one.looked.is_set()


async def test_another_replica_forgets_what_it_worked_out(api: Api) -> None:
    """It finds the same again, and says that it had to."""
    first, again = api.ask(), api.ask()
    assert again["cache_hit"] is True
    async with replica(api, Looks(), api.settings.web) as asked:
        while again["cache_hit"]:  # the news travels
            assert (await asked.purge(KEYS)).replicas == "told"
            again = await asyncio.to_thread(api.ask)
    assert again["confidence"] == first["confidence"]


async def test_without_redis_the_rest_is_done(api: Api, cdn: SmallCdn, caplog: pytest.LogCaptureFixture) -> None:
    """The answer says that the others were not told; the CDN is purged all the same, and its token is nowhere."""
    caplog.set_level(logging.DEBUG)
    looks, web = Looks(), WebSettings(cdn_purge_url=cdn.url, cdn_token=TOKEN)
    embedded.stop(api.redis_dir)
    try:
        with cdn.listening():
            async with replica(api, looks, web) as asked:
                said = await asked.purge(KEYS)
    finally:
        embedded.start(api.redis_dir)
    assert (said.replicas, said.cdn) == ("not told", "purged")
    assert cdn.purged == [(TOKEN, KEYS)]
    assert looks.looked.is_set()
    assert TOKEN not in caplog.text


async def test_a_purge_of_the_most_keys_fits_a_header(cdn: SmallCdn) -> None:
    """One request, of at most the 16 kB that Fastly takes."""
    most, said = [f"{at:03d}".ljust(MAX_KEY, "x") for at in range(MAX_KEYS)], Cdn(cdn.url, TOKEN)
    with cdn.listening():
        await said.purge(most)
    await said.close()
    assert [keys for _, keys in cdn.purged] == [most]
    assert len(" ".join(most)) <= 16_384


@pytest.mark.parametrize("status", [301, 401, 404, 500])
async def test_a_cdn_that_refuses_is_told_of(cdn: SmallCdn, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """By its status; neither the error nor the log has the token, and it is sent nowhere else."""
    caplog.set_level(logging.DEBUG)
    cdn.status, asked = status, Cdn(cdn.url, TOKEN)
    with cdn.listening(), pytest.raises(CdnFailedError, match=str(status)) as caught:
        await asked.purge(KEYS)
    await asked.close()
    assert len(cdn.purged) == 1
    assert TOKEN not in str(caught.value) + caplog.text


async def test_a_cdn_that_is_away_or_silent_is_told_of(cdn: SmallCdn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, or somebody does and says nothing."""
    monkeypatch.setattr(module, "CDN_WITHIN_S", 0.2)
    away = Cdn(cdn.url, TOKEN)
    with pytest.raises(CdnFailedError, match="cannot be asked"):
        await away.purge(KEYS)
    await away.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = Cdn(f"http://127.0.0.1:{silent.getsockname()[1]}/purge", TOKEN)
        with pytest.raises(CdnFailedError):
            await hung.purge(KEYS)
        await hung.close()
