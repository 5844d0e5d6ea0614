"""Every operation of the API through the real ingress, by its plain path and by that of its version."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.conftest import CDN_TOKEN, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import Riftline
    from tests.servers.cdn import SmallCdn

VENDOR = "application/vnd.riftline.v1+json"
PLAIN = {"accept-encoding": "identity"}


class Asking:
    """Asks under ``prefix``, and remembers what was answered well."""

    def __init__(self, riftline: Riftline, prefix: str, keys: dict[str, str], cdn: SmallCdn) -> None:
        self.riftline = riftline
        self.keys = keys
        self.cdn = cdn
        self.answered: set[tuple[str, str]] = set()
        self._prefix = prefix
        self._client = httpx.Client(
            base_url=riftline.base_url + prefix, timeout=30, event_hooks={"response": [self._remember]}
        )

    def __call__(self, method: str, path: str, status: int = 200, **request: Any) -> httpx.Response:
        """The answer, which must have this status."""
        said = self._client.request(method, path, **request)
        assert said.status_code == status, said.text
        return said

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _remember(self, said: httpx.Response) -> None:
        if said.is_success:
            self.answered.add((said.request.method.lower(), said.request.url.path.removeprefix(self._prefix)))


EXERCISES: dict[tuple[str, str], Callable[[Asking], None]] = {}


def exercises(method: str, path: str) -> Callable[[Callable[[Asking], None]], Callable[[Asking], None]]:
    """Name the operation that a function asks for."""

    def keep(exercise: Callable[[Asking], None]) -> Callable[[Asking], None]:
        EXERCISES[method, path] = exercise
        return exercise

    return keep


@exercises("post", "/predict/single")
def single(ask: Asking) -> None:
    """Not to be kept by caches."""
    said = ask("post", "/predict/single", json=ask.riftline.question())
    assert 50.0 <= said.json()["confidence"] <= 100.0
    assert said.headers["cache-control"] == "no-store"


@exercises("post", "/predict/batch")
def batch(ask: Asking) -> None:
    """Each item with its own outcome."""
    wrong = [ask.riftline.question(player_names=["Nobody At All"]), {"prop_value": 1}]
    said = ask("post", "/predict/batch", json={"requests": [ask.riftline.question(), *wrong]}).json()
    assert [item["status"] for item in said["items"]] == [200, 404, 422]
    assert (said["succeeded"], said["failed"]) == (1, 2)


@exercises("get", "/predict/curve/{player_id}")
def curve(ask: Asking) -> None:
    """At the lines that were asked for, by a player's id, colons and all."""
    player, lines = ask.riftline.players()[5]["player_id"], [4.5, 0.5, 2.5]
    said = ask("get", f"/predict/curve/{player}", params={"prop_type": "kills", "prop_values": lines}).json()
    assert (said["player_id"], said["prop_values"]) == (player, sorted(lines))


@exercises("get", "/players")
def players(ask: Asking) -> None:
    """By a name with two letters exchanged."""
    name = next(one["name"] for one in ask.riftline.players() if len(one["name"]) >= 6)
    found = ask("get", "/players", params={"q": name[0] + name[2] + name[1] + name[3:]}).json()
    assert name in [one["name"] for one in found]


@exercises("get", "/teams")
def teams(ask: Asking) -> None:
    """By a name without its last letter."""
    name = ask("get", "/teams").json()[0]["name"]
    assert name in [one["name"] for one in ask("get", "/teams", params={"q": name[:-1]}).json()]


@exercises("get", "/tournaments")
def tournaments(ask: Asking) -> None:
    """By a name in small letters."""
    name = ask("get", "/tournaments").json()[0]["name"]
    assert ask("get", "/tournaments", params={"q": name.lower(), "limit": 1}).json()[0]["name"] == name


@exercises("get", "/models/status")
def status(ask: Asking) -> None:
    """The model of the answers."""
    told = ask("get", "/models/status").json()
    assert told["model_version"] == ask.riftline.ask().json()["model_version"]


@exercises("get", "/predictions")
def history(ask: Asking) -> None:
    """Filtered, newest first, page by page, without a gap and without a repetition."""
    name, lines = ask.riftline.players()[77]["name"], [0.5, 1.5, 2.5, 3.5]
    asked = [ask.riftline.ask(player_names=[name], prop_value=line).json()["prediction_id"] for line in lines]
    ask("get", f"/predictions/{asked[-1]}")  # waits for the database, as the history does not
    params = {"filter[player_name][eq]": name, "filter[prop_value][gt]": 0.5, "filter[prop_value][lt]": 3, "limit": 1}
    page = ask("get", "/predictions", params=params)
    found = page.json()["predictions"]
    while following := page.links.get("next"):
        page = ask.riftline.client.get(following["url"]).raise_for_status()
        found += page.json()["predictions"]
    ids = [one["prediction_id"] for one in found]
    assert ids == sorted(set(ids), reverse=True)
    assert [one for one in ids if one in asked] == [asked[2], asked[1]]
    assert {one["request"]["prop_value"] for one in found} == {1.5, 2.5}


@exercises("get", "/predictions/{prediction_id}")
def prediction(ask: Asking) -> None:
    """As it was given, a moment ago."""
    given = ask.riftline.ask().json()
    kept = ask("get", f"/predictions/{given['prediction_id']}").json()
    same = set(given) & set(kept)
    assert {name: kept[name] for name in same} == {name: given[name] for name in same}
    assert kept["outcomes"] == []


@exercises("post", "/predictions/{prediction_id}/feedback")
def feedback(ask: Asking) -> None:
    """The side follows from the count, and what is said later holds."""
    path = f"/predictions/{ask.riftline.ask(prop_value=4).json()['prediction_id']}"
    for count, side in ((5, "OVER"), (4, "PUSH"), (3, "UNDER")):
        said = ask("post", f"{path}/feedback", json={"actual_stat_value": count, "notes": "seen"}).json()
        assert said["actual_result"] == side
    assert ask("get", path).json()["outcomes"] == [said]


@exercises("post", "/auth/token")
def token(ask: Asking) -> None:
    """A token does what its key does, and says so."""
    given = ask("post", "/auth/token", headers=bearer(ask.keys["bot"]))
    assert given.headers["cache-control"] == "no-store"
    assert given.json()["scope"] == "predict read"
    said = ask("get", "/models/status", headers=bearer(given.json()["access_token"]))
    assert said.headers["ratelimit-policy"].startswith('"key-minute"')


@exercises("post", "/purge")
def purge(ask: Asking) -> None:
    """The replicas and the CDN are told; a CDN that is away is a problem, and so is who may not."""
    admin, keys = bearer(ask.keys["root"]), ["search", "player-oe:player:1"]
    assert [ask.riftline.ask().json()["cache_hit"] for _ in range(2)][1]
    with ask.cdn.listening():
        said = ask("post", "/purge", headers=admin, json={"surrogate_keys": [*keys, keys[0]]}).json()
        assert said == {"surrogate_keys": keys, "dropped": said["dropped"], "replicas": "told", "cdn": "purged"}
        assert ask("post", "/purge", headers=admin, json={"everything": True}).json()["cdn"] == "purged"
        assert ask.cdn.purged == [(CDN_TOKEN, keys), (CDN_TOKEN, ["curve", "search", "status"])]
        assert not ask.riftline.ask().json()["cache_hit"]
    away = ask("post", "/purge", 502, headers=admin, json={"everything": True})
    assert away.json()["code"] == "cdn-failed"
    assert CDN_TOKEN not in away.text
    assert ask("post", "/purge", 403, headers=bearer(ask.keys["bot"]), json={}).json()["code"] == "missing-scope"
    assert ask("post", "/purge", 401, json={}).json()["code"] == "unauthenticated"
    assert ask("post", "/purge", 422, headers=admin, json={}).json()["field"] == "surrogate_keys"


@exercises("get", "/v2")
def server(ask: Asking) -> None:
    """Of the Open Inference Protocol."""
    assert ask("get", "/v2").json() == {"name": "riftline", "version": "1", "extensions": []}


@exercises("get", "/v2/health/live")
def live(ask: Asking) -> None:
    """The process lives."""
    assert ask("get", "/v2/health/live").json() == {"live": True}


@exercises("get", "/v2/health/ready")
def server_ready(ask: Asking) -> None:
    """The server can answer."""
    assert ask("get", "/v2/health/ready").json() == {"ready": True}


@exercises("get", "/v2/models/{name}")
def model(ask: Asking) -> None:
    """The version that answers, and its tensors; another model is not found."""
    told = ask("get", "/v2/models/riftline").json()
    assert told["versions"] == [ask("get", "/models/status").json()["model_version"]]
    assert {"questions", "player_names", "prop_value"} <= {one["name"] for one in told["inputs"]}
    missing = ask("get", "/v2/models/another", 404).json()
    assert (missing["code"], missing["error"]) == ("not-found", missing["detail"])


@exercises("get", "/v2/models/{name}/ready")
def model_ready(ask: Asking) -> None:
    """The model can answer."""
    assert ask("get", "/v2/models/riftline/ready").json() == {"name": "riftline", "ready": True}


@exercises("post", "/v2/models/{name}/infer")
def infer(ask: Asking) -> None:
    """The numbers of the batch, in the order of the questions, by columns and by texts."""
    names = [one["name"] for one in ask.riftline.players()[:3]]
    data = {"player_names": names, "prop_type": ["kills"] * 3, "prop_value": [2.5] * 3, "map_first": [1] * 3}
    kinds = {"prop_value": "FP64", "map_first": "INT64", "map_last": "INT64"}
    inputs = [
        {"name": name, "shape": [3], "datatype": kinds.get(name, "BYTES"), "data": values}
        for name, values in {**data, "map_last": [2] * 3}.items()
    ]
    questions = [ask.riftline.question(player_names=[name], prop_value=2.5) for name in names]
    texts = [{"name": "questions", "shape": [3], "datatype": "BYTES", "data": [json.dumps(one) for one in questions]}]
    items = ask("post", "/predict/batch", json={"requests": questions}).json()["items"]
    for given in (inputs, texts):
        body = {"id": "mine", "inputs": given, "outputs": [{"name": "confidence"}, {"name": "prediction"}]}
        said = ask("post", "/v2/models/riftline/infer", json=body).json()
        assert said["id"] == "mine"
        assert {one["name"]: one["data"] for one in said["outputs"]} == {
            name: [item["result"][name] for item in items] for name in ("confidence", "prediction")
        }
    wrong = ask("post", "/v2/models/riftline/infer", 422, json={"inputs": inputs[1:]}).json()
    assert wrong["error"] == wrong["detail"]


@exercises("get", "/health")
def health(ask: Asking) -> None:
    """The process lives."""
    assert ask("get", "/health").json()["status"] == "ok"


@exercises("get", "/ready")
def ready(ask: Asking) -> None:
    """Each part says what it says."""
    checks = ask("get", "/ready").json()["checks"]
    assert {"model", "features", "database", "journal", "quotas"} <= set(checks)


def bearer(credential: str) -> dict[str, str]:
    """The header of who has this key or token."""
    return {"Authorization": f"Bearer {credential}"}


def test_every_operation_has_its_exercise(riftline: Riftline) -> None:
    """An operation that is added must be exercised here."""
    paths = riftline.client.get("/openapi.json").raise_for_status().json()["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == set(EXERCISES)


UNDER_A_VERSION = [(*key, "/v1") for key in EXERCISES if not key[1].startswith("/v2")]


@pytest.fixture
def asking(riftline: Riftline, keys: dict[str, str], cdn: SmallCdn) -> Iterator[Callable[[str], Asking]]:
    """Make who asks under a prefix."""
    made = []

    def make(prefix: str) -> Asking:
        made.append(Asking(riftline, prefix, keys, cdn))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(("method", "path", "prefix"), [*((*key, "") for key in EXERCISES), *UNDER_A_VERSION])
def test_it_answers(asking: Callable[[str], Asking], method: str, path: str, prefix: str) -> None:
    """As its exercise says, and the exercise did ask for it."""
    ask = asking(prefix)
    EXERCISES[method, path](ask)
    shape = re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path))
    assert [one for one in ask.answered if one[0] == method and shape.fullmatch(one[1])]


def test_a_version_is_asked_for_by_header(riftline: Riftline) -> None:
    """The same answer as without; a version that is none is a problem in any case."""
    for accept in (VENDOR, f"{VENDOR}, application/problem+json"):
        said = riftline.client.get("/players", params={"limit": 5}, headers={"Accept": accept})
        assert said.json() == riftline.client.get("/players", params={"limit": 5}).json()
    refused = riftline.client.get("/players", headers={"Accept": VENDOR.replace("v1", "v7")})
    assert (refused.status_code, refused.json()["code"]) == (406, "unknown-version")


@pytest.mark.parametrize("kind", ["search", "curve", "status"])
def test_what_caches_may_keep(riftline: Riftline, kind: str) -> None:
    """A tag by which nothing is sent again, a lifetime, and the keys by which it is purged."""
    player = riftline.players()[2]["player_id"]
    curve_path = f"/predict/curve/{player}?prop_type=assists"
    path = {"search": "/teams?limit=2", "curve": curve_path, "status": "/models/status"}[kind]
    said = riftline.client.get(path, headers=PLAIN)
    keys = said.headers["surrogate-key"].split()
    model = riftline.client.get("/models/status").json()
    assert keys[0] == kind
    assert f"snapshot-{model['serving_lake_snapshot_id']}" in keys
    assert (f"model-{model['model_version']}" in keys) == (kind != "search")
    assert (f"player-{player}" in keys) == (kind == "curve")
    assert re.fullmatch(r"public, max-age=\d+, stale-while-revalidate=\d+", said.headers["cache-control"])
    again = riftline.client.get(path, headers={**PLAIN, "If-None-Match": said.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", said.headers["etag"])
    assert riftline.client.get(path, headers={**PLAIN, "If-None-Match": '"another"'}).status_code == 200


def test_pages_of_a_known_origin_may_ask(riftline: Riftline) -> None:
    """A preflight is answered without a key, that of another origin is not, and the page may read the heads."""
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key,authorization"}
    allowed = riftline.client.options("/predict/single", headers={"Origin": ORIGIN, **asks})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    refused = riftline.client.options("/predict/single", headers={"Origin": "https://evil.example", **asks})
    assert "access-control-allow-origin" not in refused.headers
    said = riftline.client.post("/predict/single", json=riftline.question(), headers={"Origin": ORIGIN})
    assert said.headers["access-control-allow-origin"] == ORIGIN
    assert {"X-Request-ID", "RateLimit"} <= set(said.headers["access-control-expose-headers"].split(", "))


def test_an_id_names_the_request(riftline: Riftline) -> None:
    """The one that was given, once, on answers and problems and on either way; a fresh one where there is none."""
    question = riftline.question()
    for method, path, body, status in (
        ("POST", "/predict/single", question, 200),
        ("POST", "/predict/batch", {"requests": [question]}, 200),
        ("GET", "/players", None, 200),
        ("GET", "/nothing", None, 404),
        ("POST", "/predict/single", {}, 422),
    ):
        said = riftline.client.request(method, path, json=body, headers={"X-Request-ID": "abc-1"})
        assert (said.status_code, said.headers.get_list("x-request-id")) == (status, ["abc-1"])
        made = [riftline.client.request(method, path, json=body).headers.get_list("x-request-id") for _ in range(2)]
        assert len(made[0]) == len(made[1]) == 1
        assert made[0] != made[1]


def test_a_key_makes_a_repetition_harmless(riftline: Riftline) -> None:
    """Sent again it is answered to the byte as before; another request under the same key is refused."""
    for path, body in (
        ("/predict/single", riftline.question()),
        ("/predict/batch", {"requests": [riftline.question()] * 2}),
    ):
        headers = {"Idempotency-Key": f"{path}-{riftline.ask().json()['prediction_id']}"}
        first, again = (riftline.client.post(path, json=body, headers=headers) for _ in range(2))
        assert (first.status_code, first.headers.get("idempotent-replayed")) == (200, None)
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        other = riftline.client.post("/predict/single", json=riftline.question(prop_value=9.5), headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
