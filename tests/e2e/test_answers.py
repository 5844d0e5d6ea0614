"""What the running service answers: always the same numbers, kept in the database, and reproducible offline."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from actors.answers import look
from actors.ensemble import PropEnsemble
from actors.feature_view import FeatureView
from actors.shard_tables import read_features
from stores.domain.models import MODEL_NAME
from stores.domain.row_filters import Equals
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    import httpx

    from stores.domain.models import ModelRecord
    from stores.domain.predictions import PredictionRecord
    from tests.e2e.conftest import Riftline

# which player (by number of games), prop, line, maps
QUESTIONS = [
    (0, "kills", 3.5, [1, 1]),
    (3, "kills", 6.0, [1, 2]),
    (11, "assists", 12.5, [1, 3]),
    (40, "assists", 5.0, [3, 3]),
    (90, "kills", 0.0, [1, 5]),
    (150, "assists", 200.0, [4, 5]),
]
MAP_FACTS = ("opponent", "won", "champion", "kills", "deaths", "assists")
SAME_BY_LINE = ("prediction", "confidence", "base_model_confidence", "push_probability", "expected_stat")
SAME = (*SAME_BY_LINE, "confidence_interval", "data_tier", "inferred", "warnings", "model_version", "lake_snapshot_id")


@pytest.mark.parametrize(("player", "prop", "line", "maps"), QUESTIONS)
def test_single_batch_and_curve_agree(riftline: Riftline, player: int, prop: str, line: float, maps: list[int]) -> None:
    """The same question has the same numbers however it is asked."""
    who = riftline.players()[player]
    asked = riftline.question(player_names=[who["name"]], prop_type=prop, prop_value=line, map_range=maps)
    single = riftline.client.post("/predict/single", json=asked).json()
    batch = riftline.client.post("/predict/batch", json={"requests": [asked, asked]}).json()
    params: dict[str, str | float] = {"prop_type": prop, "map_first": maps[0], "map_last": maps[1], "prop_values": line}
    curve = riftline.client.get(f"/predict/curve/{who['player_id']}", params=params).json()
    for item in batch["items"]:
        assert {name: item["result"][name] for name in SAME} == {name: single[name] for name in SAME}
    of_curve = (curve["predictions"], curve["confidences"], curve["expected_stats"], curve["data_tier"])
    assert of_curve == ([single["prediction"]], [single["confidence"]], [single["expected_stat"]], single["data_tier"])
    assert curve["warnings"] == single["warnings"]
    assert 50.0 <= single["confidence"] <= 100.0
    assert (line % 1 == 0) or single["push_probability"] == 0.0


def test_an_explained_answer_is_the_same_and_says_why(riftline: Riftline) -> None:
    """The numbers stay; effects are told strongest first, and the last maps are those of silver."""
    who = riftline.players()[3]
    opponent = next(
        one["name"]
        for one in riftline.client.get("/teams", params={"limit": 50}).json()
        if one["tournament"] == who["tournament"] and one["name"] != who["team"]
    )
    asked = riftline.question(player_names=[who["name"]], opponent=opponent)
    plain = riftline.client.post("/predict/single", json=asked).json()
    told = riftline.client.post("/predict/single", json={**asked, "explain": True}).json()
    batch = riftline.client.post("/predict/batch", json={"requests": [asked, {**asked, "explain": True}]}).json()
    assert {name: told[name] for name in SAME} == {name: plain[name] for name in SAME}
    assert plain["explanation"] is batch["items"][0]["result"]["explanation"] is None
    why = told["explanation"]
    assert batch["items"][1]["result"]["explanation"] == why
    effects = {one["name"]: one["effect"] for one in why["factors"]}
    assert list(map(abs, effects.values())) == sorted(map(abs, effects.values()), reverse=True)
    without = riftline.client.post("/predict/single", json={**asked, "opponent": None}).json()
    assert effects["opponent"] == pytest.approx(told["expected_stat"] - without["expected_stat"], abs=2e-4)
    rows = IcebergLake(riftline.settings.lake).read(PLAYER_PERFORMANCE, where=Equals("player_id", who["player_id"]))
    newest = rows.sort_by([("started_at", "descending")]).slice(0, 10).to_pylist()
    (player,) = why["recent_maps"]
    assert player["player_id"] == who["player_id"]
    assert len(player["maps"]) == len(newest) == 10
    for one, row in zip(player["maps"], newest, strict=True):
        assert datetime.fromisoformat(one["played_at"]) == row["started_at"]
        assert {name: one[name] for name in MAP_FACTS} == {name: row[name] for name in MAP_FACTS}
    done = riftline.command("predict", who["name"], "--opponent", opponent, "--line", "3.5", "--explain")
    assert done.returncode == 0, done.stderr
    assert all(f" {name}: " in done.stdout for name in effects)
    assert f"last maps of {who['name']}" in done.stdout


def test_a_whole_line_can_push(riftline: Riftline) -> None:
    """The push is given apart from the confidence."""
    mean = riftline.ask().json()["expected_stat"]
    assert riftline.ask(prop_value=float(round(mean))).json()["push_probability"] > 1.0


@pytest.mark.parametrize("prop", ["kills", "assists"])
def test_a_curve_falls(riftline: Riftline, prop: str) -> None:
    """All arrays are as long as the lines, and a higher line is never likelier to be exceeded."""
    for player in riftline.players()[:200:20]:
        params: dict[str, str | int] = {"prop_type": prop, "map_first": 1, "map_last": 3}
        curve = riftline.client.get(f"/predict/curve/{player['player_id']}", params=params).raise_for_status().json()
        lines, over = curve["prop_values"], curve["over_probabilities"]
        assert {len(curve[name]) for name in ("predictions", "confidences", "expected_stats")} == {len(lines)}
        assert len(over) == len(lines) > 3
        assert lines == sorted(lines)
        assert over == sorted(over, reverse=True)
        assert over[0] > 50.0 > over[-1]


def test_several_players_mean_their_sum(riftline: Riftline) -> None:
    """The expected count of team mates is the sum of each one's, but for what calibration moves."""
    team = riftline.players()[0]["team"]
    names = [player["name"] for player in riftline.players() if player["team"] == team][:3]
    assert len(names) == 3
    alone = [riftline.ask(player_names=[name]).json()["expected_stat"] for name in names]
    together = riftline.ask(player_names=names, prop_value=9.5).json()
    assert together["expected_stat"] == pytest.approx(sum(alone), rel=0.01)
    assert together["inferred"]["players"] == names


def test_a_bad_item_fails_alone(riftline: Riftline) -> None:
    """Every item has its own status, in the order of the questions."""
    good = riftline.question()
    items = [good, {**good, "map_range": [2, 1]}, good, 7, {**good, "player_names": ["Nobody At All"]}, None, good]
    answer = riftline.client.post("/predict/batch", json={"requests": items}).json()
    assert [item["index"] for item in answer["items"]] == list(range(len(items)))
    assert [item["status"] for item in answer["items"]] == [200, 422, 200, 422, 404, 422, 200]
    assert (answer["succeeded"], answer["failed"]) == (3, 4)
    problems = [item["problem"] for item in answer["items"] if item["status"] != 200]
    assert [problem.get("field") for problem in problems] == ["map_range", None, "player_names.0", None]
    ids = {item["result"]["prediction_id"] for item in answer["items"] if item["status"] == 200}
    assert len(ids) == 3


def test_a_full_batch(riftline: Riftline) -> None:
    """A thousand questions are answered and all stored."""
    answer = riftline.client.post("/predict/batch", json={"requests": [riftline.question()] * 1000}).json()
    assert answer["succeeded"] == 1000
    records = _stored(riftline, [item["result"]["prediction_id"] for item in answer["items"][::100]])
    assert len(records) == 10


def test_every_answer_is_stored(riftline: Riftline) -> None:
    """What a client got stands in prediction_requests with the same values, question included."""
    opponent = riftline.client.get("/teams", params={"limit": 50}).json()[-1]["name"]
    asked = riftline.question(
        opponent=opponent, match_date="2026-06-07", position_roles=["mid"], prop_value=4, best_of=5
    )
    single = (
        riftline.client.post("/predict/single", json=asked, headers={"User-Agent": "e2e"}).raise_for_status().json()
    )
    batch = riftline.client.post("/predict/batch", json={"requests": [riftline.question()]}).json()
    answers = [single, batch["items"][0]["result"]]
    for answer, record in zip(answers, _stored(riftline, [one["prediction_id"] for one in answers]), strict=True):
        for name in (*SAME_BY_LINE, "model_version", "feature_version", "processing_time_ms"):
            assert getattr(record, name) == answer[name]
        assert list(record.confidence_interval) == answer["confidence_interval"]
        assert list(record.warnings) == answer["warnings"]
        assert str(record.lake_snapshot_id) == answer["lake_snapshot_id"]
    record = _stored(riftline, [single["prediction_id"]])[0]
    asked_back = (record.request.opponent, str(record.request.match_date), record.request.best_of)
    assert (record.user_agent, *asked_back) == ("e2e", opponent, "2026-06-07", 5)


def test_an_answer_can_be_computed_again(riftline: Riftline) -> None:
    """From the record alone (question, model version, lake snapshot) the same answer comes out, to the bit."""
    players = riftline.players()
    asked = [
        riftline.question(player_names=[players[at]["name"] for at in several]) for several in ((0,), (9, 30), (199,))
    ]
    asked.append(riftline.question(prop_type="assists", prop_value=9, map_range=[1, 3], position_roles=["sup"]))
    answers = [riftline.client.post("/predict/single", json=one).raise_for_status().json() for one in asked]
    for record in _stored(riftline, [answer["prediction_id"] for answer in answers]):
        model = _model(riftline, record.model_version)
        files = WarehouseArtifacts(riftline.settings.lake.warehouse, riftline.settings.lake.s3).load(
            model.model_artifact_path, model.checksum
        )
        view = FeatureView(
            [read_features(IcebergLake(riftline.settings.lake), record.lake_snapshot_id, "all", lambda _: True)]
        )
        again = look(record.request, view, PropEnsemble.from_files(files)).at_line(record.request.prop_value)
        for name in (*SAME_BY_LINE, "confidence_interval", "data_tier", "warnings"):
            assert getattr(again, name) == getattr(record, name), name


def _stored(riftline: Riftline, prediction_ids: list[str]) -> list[PredictionRecord]:
    async def read() -> list[PredictionRecord]:
        pool = await open_pool(riftline.database_url, 1)
        try:
            return [await PostgresPredictions(pool).get(UUID(one)) for one in prediction_ids]
        finally:
            await pool.close()

    return asyncio.run(read())


def _model(riftline: Riftline, version: str) -> ModelRecord:
    async def read() -> ModelRecord:
        pool = await open_pool(riftline.database_url, 1)
        try:
            return await PostgresModelRegistry(pool).get(MODEL_NAME, version)
        finally:
            await pool.close()

    return asyncio.run(read())


def test_models_status(client: httpx.Client) -> None:
    """The status names the model and the features that answer."""
    status = client.get("/models/status").raise_for_status().json()
    assert status["deployment_status"] == "production"
    assert status["model_name"] == MODEL_NAME
    assert status["features_age_s"] < 30
    assert status["serving_lake_snapshot_id"] == status["trained_on_lake_snapshot_id"]


def test_typing_errors_are_forgiven(riftline: Riftline) -> None:
    """A search finds a player whose name is mistyped, by any case."""
    name = next(player["name"] for player in riftline.players() if len(player["name"]) >= 6)
    for typed in (name.upper(), name[:-1], name[0] + name[2] + name[1] + name[3:]):
        found = riftline.client.get("/players", params={"q": typed, "limit": 10}).json()
        assert name in [player["name"] for player in found]


@pytest.mark.parametrize("path", ["/players", "/teams", "/tournaments"])
def test_searches(client: httpx.Client, path: str) -> None:
    """Without a name the most active come first, and a limit is kept."""
    found = client.get(path, params={"limit": 3}).raise_for_status().json()
    assert 1 <= len(found) <= 3
    games = [one["games"] for one in found]
    assert games == sorted(games, reverse=True)
    assert client.get(path, params={"q": "\u0000%_'\"", "limit": 1}).status_code == 200


def test_health_and_readiness(client: httpx.Client) -> None:
    """Both answer, also to HEAD; readiness tells what each part says."""
    assert client.get("/health").json()["status"] == "ok"
    ready = client.get("/ready").json()
    assert ready["status"] == "ready"
    assert {"model", "features", "database", "journal"} <= set(ready["checks"])
    assert {said.partition(":")[0] for said in ready["checks"].values()} == {"ok"}
    head = client.head("/ready")
    assert (head.status_code, head.content) == (200, b"")


def test_documentation(client: httpx.Client) -> None:
    """The page of the documentation is served, and the schema has examples and declares problems."""
    assert "swagger" in client.get("/docs").raise_for_status().text.lower()
    schema: dict[str, Any] = client.get("/openapi.json").raise_for_status().json()
    schemas = schema["components"]["schemas"]
    assert schemas["PredictionRequest"]["examples"]
    assert schemas["BatchRequest"]["examples"]
    assert schemas["BatchRequest"]["properties"]["requests"]["items"] == {
        "$ref": "#/components/schemas/PredictionRequest"
    }
    refused = schema["paths"]["/predict/single"]["post"]["responses"]["422"]["content"]
    assert refused == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_versions(riftline: Riftline) -> None:
    """Version 1 is served by path and by header, with the same answers."""
    plain = riftline.ask().json()
    by_path = riftline.client.post("/v1/predict/single", json=riftline.question()).json()
    accept = {"Accept": "application/vnd.riftline.v1+json"}
    by_header = riftline.client.post("/predict/single", json=riftline.question(), headers=accept).json()
    assert {by_path[name] == by_header[name] == plain[name] for name in SAME} == {True}
    assert riftline.client.get("/v1/models/status", headers=accept).status_code == 200


def test_large_answers_are_compressed(riftline: Riftline) -> None:
    """A client that accepts gzip gets it where it pays."""
    answer = riftline.client.get("/players", params={"limit": 200}, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert riftline.client.get("/health").headers.get("content-encoding") is None
