"""Whatever a client sends, through the real ingress: a 4xx problem with a stable code, never a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.props import MAX_PLAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.e2e.conftest import Riftline

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}
DEEP = 100_000
LARGE = 10_000_000
HUGE = 10**400  # no float holds it


@pytest.fixture(autouse=True)
def still_answers(riftline: Riftline) -> Iterator[None]:
    """After every bad request a good one is answered."""
    yield
    assert riftline.ask().status_code == 200


def assert_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The answer is this problem, with everything that RFC 9457 and we ask of it."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"].endswith(f"/{code}")
    assert problem["title"]
    assert problem["detail"]
    assert len(answer.content) < 3_000
    assert problem.get("field") == field
    return problem


UNKNOWN = [
    ({"player_names": ["Nobody At All"]}, "player_names.0"),
    ({"player_names": ["' OR 1=1; DROP TABLE prediction_requests; --"]}, "player_names.0"),
    ({"player_names": ["../../etc/passwd"]}, "player_names.0"),
    ({"player_names": ["\u202e\U0001f480 {0} %s"]}, "player_names.0"),
    ({"opponent": "Nobody Esports"}, "opponent"),
    ({"team": "Nobody Esports"}, "team"),
    ({"tournament": "The Nowhere Cup"}, "tournament"),
    ({"champions": ["Nobody At All"]}, "champions.0"),
    ({"opponent": "   "}, "opponent"),
]


@pytest.mark.parametrize(("changes", "field"), UNKNOWN)
def test_unknown_names(riftline: Riftline, changes: dict[str, Any], field: str) -> None:
    """A name that is nobody's is a 404 that names the field."""
    assert_problem(riftline.ask(**changes), 404, "unknown-name", field)


def test_near_names_are_suggested(riftline: Riftline) -> None:
    """A mistyped name is refused with the right one among the suggestions."""
    name = next(player["name"] for player in riftline.players() if len(player["name"]) >= 6)
    problem = assert_problem(riftline.ask(player_names=[name + "x"]), 404, "unknown-name", "player_names.0")
    assert name in problem["suggestions"]


INVALID_VALUES: list[tuple[str, str, list[Any]]] = [  # the field that is changed, the field that is named, its values
    ("map_range", "map_range", [[3, 1], [1], [1, 2, 3], [], "1-2", 3, {"first": 1}, True]),
    ("map_range", "map_range.0", [[0, 2], [-1, 2], [1.5, 2], ["1", 2], [None, 2], [True, 2]]),
    ("map_range", "map_range.1", [[1, 6], [1, HUGE]]),
    ("prop_value", "prop_value", [-0.5, 200.5, 1e300, 3.25, "3.5", True, [3.5], {}, HUGE]),
    ("prop_type", "prop_type", ["deaths", "", "KILLS", 1, ["kills"], {"kills": 1}, True]),
    ("player_names", "player_names", [[], "Faker", 7, {"name": "Faker"}, True]),
    ("player_names", "player_names", [[f"p{index}" for index in range(MAX_PLAYERS + 1)]]),
    ("player_names", "player_names.0", [[""], ["  "], [7], [None], [["x"]], ["x" * 101], ["a\u0000b"], ["a\nb"]]),
    ("opponent", "opponent", [7, [], "", "x\u0000", "x" * 101]),
    ("team", "team", [7, {}, "", "\u007f", "x" * 101]),
    ("tournament", "tournament", [7, [""], "", "\t", "x" * 101]),
    ("match_date", "match_date", ["tomorrow", "2026-02-30", "20260301", "1700000000", "2026-01-01T00:00:00"]),
    ("match_date", "match_date", [5, 1e12, "", [], True]),
    ("position_roles", "position_roles", ["mid", 1, {"0": "mid"}, ["mid", "top"]]),
    ("position_roles", "position_roles.0", [["middle"], ["MID"], [1], [None], [[]]]),
    ("strict_mode", "strict_mode", ["yes", 1, [], "true"]),
    ("champions", "champions", ["Azir", 7, {"0": "Azir"}, ["Azir", "Ahri"]]),
    ("champions", "champions.0", [[""], ["  "], [7], [None], [["x"]], ["x" * 101], ["a\u0000b"]]),
    ("best_of", "best_of", [0, 2, 4, 7, -1, "3", 3.5, True, [3], HUGE]),
    ("surprise", "surprise", [1]),
    ("prop_values", "prop_values", [[1.5]]),
    *((name, name, [None]) for name in ("player_names", "prop_type", "prop_value", "map_range")),  # left out
]
INVALID = [({changed: value}, named) for changed, named, values in INVALID_VALUES for value in values]


@pytest.mark.parametrize(("changes", "field"), INVALID, ids=lambda value: str(value)[:60])
def test_invalid_fields(riftline: Riftline, changes: dict[str, Any], field: str) -> None:
    """A wrong value, type or name of a field, and a missing one, is a 422 that names the field."""
    assert_problem(riftline.ask(**changes), 422, "invalid-field", field)


@pytest.mark.parametrize(("changes", "field"), INVALID[::4], ids=lambda value: str(value)[:60])
def test_the_same_in_a_batch(riftline: Riftline, changes: dict[str, Any], field: str) -> None:
    """An item of a batch is refused with the same problem as a single question."""
    items = [riftline.question(**changes), riftline.question()]
    answer = riftline.client.post("/predict/batch", json={"requests": items}).raise_for_status().json()
    assert [item["status"] for item in answer["items"]] == [422, 200]
    assert answer["items"][0]["problem"]["field"] == field


def test_players_named_twice(riftline: Riftline) -> None:
    """One player under two names is refused, be it by case, by blanks or by id."""
    player = riftline.players()[0]
    name = player["name"]
    for other in (name, name.upper(), f" {name} ", name.swapcase()):
        assert_problem(riftline.ask(player_names=[name, other]), 422, "invalid-field", "player_names.1")
    both = riftline.ask(player_names=[name, player["player_id"]])
    assert_problem(both, 422, "invalid-field", "player_names")


def test_a_team_against_itself(riftline: Riftline) -> None:
    """A player's own team cannot be the opponent."""
    team = next(player for player in riftline.players() if player["team"])
    answer = riftline.ask(player_names=[team["player_id"]], opponent=team["team"])
    assert_problem(answer, 422, "invalid-field", "opponent")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_numbers_that_are_none(riftline: Riftline, literal: str) -> None:
    """Numbers that JSON does not have, or no float holds, are refused as lines."""
    body = json.dumps(riftline.question(prop_value=777)).replace("777", literal)
    answer = riftline.client.post("/predict/single", content=body, headers=JSON)
    assert_problem(answer, 422, "invalid-field", "prop_value")


@pytest.mark.parametrize("where", ["name", "team", "key", "batch_key"])
def test_lone_surrogates(riftline: Riftline, where: str) -> None:
    """Half a character, which UTF-8 cannot carry, is refused wherever it stands."""
    asked = riftline.question()
    wrong: dict[str, dict[str, Any]] = {"name": {"player_names": ["\ud800"]}, "team": {"team": "T\udfff"}}
    asked |= wrong.get(where, {"\ud800": 1})
    if where == "batch_key":
        answer = riftline.client.post("/predict/batch", content=json.dumps({"requests": [asked]}), headers=JSON)
        assert answer.json()["items"][0]["status"] == 422
        return
    answer = riftline.client.post("/predict/single", content=json.dumps(asked), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert ("field" in answer.json()) == (where != "key")  # a key that is no text cannot be named


BODIES = [
    (b"", 422, "invalid-field"),
    (b"not json", 400, "invalid-json"),
    (b'{"player_names": ["Fak', 400, "invalid-json"),
    (b'{"player_names": ["\xff\xfe"]}', 400, "invalid-json"),
    (b"\x00\x01\x02", 400, "invalid-json"),
    (b"[" * DEEP, 400, "invalid-json"),
    (b"[" * DEEP + b"]" * DEEP, 400, "invalid-json"),
    (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "invalid-json"),
    (b'{"prop_value": ' + b"9" * 5_000 + b"}", 400, "invalid-json"),
    (b"null", 422, "invalid-field"),
    (b"[]", 422, "invalid-field"),
    (b'"text"', 422, "invalid-field"),
    (b"{}", 422, "invalid-field"),
]


@pytest.mark.parametrize("path", ["/predict/single", "/predict/batch"])
@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=lambda value: str(value)[:20])
def test_bodies_that_are_no_question(client: httpx.Client, path: str, body: bytes, status: int, code: str) -> None:
    """A body that is no JSON, is cut, is nested without end or is no object is refused."""
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["code"] == code


@pytest.mark.parametrize("depth", [100, 400, 900, 5_000, 50_000])
def test_deep_items_fail_alone_or_not_at_all(riftline: Riftline, depth: int) -> None:
    """Nesting inside an item, however deep, is a client's error."""
    body = b'{"requests": [{"player_names": ' + b"[" * depth + b"]" * depth + b"}]}"
    answer = riftline.client.post("/predict/batch", content=body, headers=JSON)
    if answer.status_code == 200:
        assert answer.json()["items"][0]["status"] == 422
    else:
        assert_problem(answer, 400, "invalid-json")


def test_large_bodies(riftline: Riftline) -> None:
    """A body of 10 MB is refused, whether its length is told before or not."""
    body = b'{"player_names": ["' + b"x" * LARGE + b'"]}'
    told = riftline.client.post("/predict/single", content=body, headers=JSON)
    assert_problem(told, 413, "too-large")
    chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    assert_problem(riftline.client.post("/predict/single", content=chunks, headers=JSON), 413, "too-large")


def test_content_types(riftline: Riftline) -> None:
    """A body that says it is something else than JSON is not read."""
    body = json.dumps(riftline.question())
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"):
        answer = riftline.client.post("/predict/single", content=body, headers={"Content-Type": kind})
        assert_problem(answer, 415, "unsupported-media-type")
    for kind in ("application/json; charset=utf-8", "application/vnd.riftline.v1+json"):
        assert riftline.client.post("/predict/single", content=body, headers={"Content-Type": kind}).status_code == 200


def test_unknown_versions(riftline: Riftline) -> None:
    """A version that is not served is refused by header, unless another answer is taken too, and by path."""
    for accept in ("application/vnd.riftline.v2+json", "application/vnd.riftline.v1.1+json, */*;q=0"):
        answer = riftline.client.get("/models/status", headers={"Accept": accept})
        assert_problem(answer, 406, "unknown-version")
    either = {"Accept": "application/vnd.riftline.v2+json, */*;q=0.1"}
    assert riftline.client.get("/models/status", headers=either).status_code == 200
    for path in ("/v3/models/status", "/v0/predict/single", "/v999999999999999999999999/x"):
        assert_problem(riftline.client.get(path), 404, "unknown-version")


def test_paths_and_methods(client: httpx.Client) -> None:
    """An unknown path is a 404; a wrong method is a 405 that says which one is right."""
    for path in ("/nothing", "/predict", "/predict/single/x", "/%2e%2e/etc/passwd", "/predict/curve/", "/v1"):
        assert_problem(client.get(path), 404, "not-found")
    for method, path, allowed in (
        ("GET", "/predict/single", "POST"),
        ("POST", "/players", "GET"),
        ("PUT", "/ready", "GET"),
    ):
        answer = client.request(method, path, json={} if method == "POST" else None)
        assert_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("body", [{"requests": []}, {"requests": [{}] * 1001}, {"requests": {}}, {"requests": "x"}, {}])
def test_batches_of_no_size(client: httpx.Client, body: dict[str, Any]) -> None:
    """A batch needs a list of 1 to 1000 questions."""
    assert_problem(client.post("/predict/batch", json=body), 422, "invalid-field", "requests")


CURVES: list[tuple[str, dict[str, Any], str]] = [
    ("", {"prop_type": "deaths"}, "prop_type"),
    ("", {}, "prop_type"),
    ("", {"prop_type": "kills", "map_first": 0}, "map_first"),
    ("", {"prop_type": "kills", "map_first": "x"}, "map_first"),
    ("", {"prop_type": "kills", "map_first": 3, "map_last": 2}, "map_last"),
    ("", {"prop_type": "kills", "map_last": 10**30}, "map_last"),
    *(
        ("", {"prop_type": "kills", "prop_values": [1.5, line]}, "prop_values.1")
        for line in ("nan", "inf", "-1", "0.3", "1e400", "x", "")
    ),
    ("", {"prop_type": "kills", "prop_values": [0.5] * 402}, "prop_values"),
    ("", {"prop_type": "kills", "opponent": "x" * 101}, "opponent"),
    ("", {"prop_type": "kills", "team": "\u0000"}, "team"),
    ("", {"prop_type": "kills", "best_of": 2}, "best_of"),
    ("", {"prop_type": "kills", "map_last": 4, "best_of": 3}, "best_of"),
    ("", {"prop_type": "kills", "champion": " "}, "champion"),
    ("x" * 101, {"prop_type": "kills"}, "player_id"),
    ("%20", {"prop_type": "kills"}, "player_id"),
]


@pytest.mark.parametrize(("player_id", "params", "field"), CURVES, ids=lambda value: str(value)[:60])
def test_bad_curves(riftline: Riftline, player_id: str, params: dict[str, Any], field: str) -> None:
    """A curve's wrong parameter is named as the client called it."""
    path = f"/predict/curve/{player_id or riftline.players()[0]['player_id']}"
    assert_problem(riftline.client.get(path, params=params), 422, "invalid-field", field)


@pytest.mark.parametrize(
    "player_id", ["Nobody", "%00", "..%2e", "%ff%fe", "%F0%9F%92%80", "'%20OR%201=1--", "%22;--", "%5c..%5c"]
)
def test_curves_of_nobody(client: httpx.Client, player_id: str) -> None:
    """A curve of somebody unknown names the player, whatever bytes the path holds."""
    answer = client.get(f"/predict/curve/{player_id}", params={"prop_type": "kills"})
    assert_problem(answer, 404, "unknown-name", "player_id")


def test_traversal_in_a_player_id(client: httpx.Client) -> None:
    """A path inside the player's id leads nowhere."""
    for player_id in ("..%2f..%2fmodels%2fstatus", "%2e%2e/%2e%2e/etc/passwd"):
        answer = client.get(f"/predict/curve/{player_id}", params={"prop_type": "kills"})
        assert_problem(answer, 404, "not-found")


@pytest.mark.parametrize("path", ["/players", "/teams", "/tournaments"])
@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1.5", "", "9" * 400])
def test_bad_limits(client: httpx.Client, path: str, limit: str) -> None:
    """A limit outside its range is refused."""
    assert_problem(client.get(path, params={"limit": limit}), 422, "invalid-field", "limit")


def test_long_search_texts(client: httpx.Client) -> None:
    """A search text has its limit too."""
    assert_problem(client.get("/players", params={"q": "x" * 101}), 422, "invalid-field", "q")


def test_many_bad_requests_at_once(riftline: Riftline) -> None:
    """A wave of deep and large bodies takes nothing down."""
    for body in (b"[" * 900_000, b'{"requests": [' + b"{}," * 300_000 + b"{}]}"):
        for _ in range(5):
            answer = riftline.client.post("/predict/batch", content=body, headers=JSON)
            assert answer.status_code in {400, 422}, answer.text[:300]
