"""The Open Inference Protocol: tensors in, tensors out, the same answers as everywhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from serve_apps.inference_wire import COLUMNS, OUTPUTS
from tests.integration.api.conftest import VERSION, question

if TYPE_CHECKING:
    from tests.integration.api.conftest import Api

INFER = "/v2/models/riftline/infer"
LINES = [2.5, 3.5, 4.5]


def tensor(name: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    """A tensor of its column's type."""
    kind = "BYTES" if name == "questions" else COLUMNS[name][0]
    return {"name": name, "shape": shape or [len(data)], "datatype": kind, "data": data}


def columns(**changed: Any) -> list[dict[str, Any]]:
    """Three questions, changed as given; a change to None leaves a column out."""
    data: dict[str, Any] = {
        "player_names": ["Faker"] * 3,
        "prop_type": ["kills"] * 3,
        "prop_value": LINES,
        "map_first": [1] * 3,
        "map_last": [2] * 3,
    }
    return [tensor(name, values) for name, values in (data | changed).items() if values is not None]


def outputs(api: Api, inputs: list[dict[str, Any]], **more: Any) -> dict[str, list[Any]]:
    """The data of each output."""
    said = api.client.post(INFER, json={"inputs": inputs, **more}, headers=api.user)
    assert said.status_code == 200, said.text
    found = said.json()["outputs"]
    assert all(one["shape"] == [len(one["data"])] for one in found)
    return {one["name"]: one["data"] for one in found}


def test_the_server_describes_itself(api: Api) -> None:
    """Its name, its health without a key, and what the model takes and gives."""
    assert api.client.get("/v2").json()["name"] == "riftline"
    assert api.client.get("/v2/health/live").json() == {"live": True}
    assert api.client.get("/v2/health/ready").json() == {"ready": True}
    assert api.client.get("/v2/models/riftline/ready").json() == {"name": "riftline", "ready": True}
    model = api.client.get("/v2/models/riftline").json()
    assert model["versions"] == [VERSION]
    assert {one["name"] for one in model["inputs"]} == {"questions", *COLUMNS}
    assert {one["name"] for one in model["outputs"]} == set(OUTPUTS)


def test_it_answers_as_everywhere_else(api: Api) -> None:
    """Columns, JSON questions, the batch and the curve give the same numbers."""
    by_columns = outputs(api, columns())
    texts = [json.dumps(question(prop_value=line)) for line in LINES]
    by_texts = outputs(api, [tensor("questions", texts)])
    batch = api.client.post("/predict/batch", json={"requests": [question(prop_value=line) for line in LINES]}).json()
    curve = api.client.get(
        "/predict/curve/Faker", params={"prop_type": "kills", "map_last": 2, "prop_values": LINES}
    ).json()
    same = set(OUTPUTS) - {"prediction_id"}
    assert {name: by_columns[name] for name in same} == {name: by_texts[name] for name in same}
    assert by_columns["over_probability"] == pytest.approx(curve["over_probabilities"], abs=1e-9)
    for name in ("confidence", "expected_stat", "push_probability", "prediction", "data_tier"):
        assert by_columns[name] == [item["result"][name] for item in batch["items"]]


def test_its_predictions_are_kept(api: Api) -> None:
    """Each is found under its id, as its caller's."""
    for prediction_id in outputs(api, columns())["prediction_id"]:
        kept = api.client.get(f"/predictions/{prediction_id}", headers=api.user)
        assert kept.status_code == 200
        assert api.client.get(f"/predictions/{prediction_id}", headers=api.other).status_code == 404


def test_sums_and_what_may_be_left_out(api: Api) -> None:
    """Several players in a row of the tensor, flat or nested, padded with nothing; empty means left out."""
    pair = [["Faker", "Oner"], ["Faker", ""], ["Chovy", ""]]
    optional = {"opponent": ["", "Gen.G", ""], "best_of": [0, 3, 5], "match_date": ["", "2026-06-02", ""]}
    rest = columns(player_names=None, strict_mode=[False] * 3, **optional)
    nested = outputs(api, [tensor("player_names", pair, [3, 2]), *rest])
    flat = outputs(api, [tensor("player_names", [name for row in pair for name in row], [3, 2]), *rest])
    assert nested["expected_stat"] == flat["expected_stat"]
    single = api.ask(player_names=["Faker", "Oner"], prop_value=2.5)
    assert nested["expected_stat"][0] == single["expected_stat"]


def test_only_what_is_asked_for_is_given(api: Api) -> None:
    """In the order that was asked; the id comes back."""
    asked = [{"name": "expected_stat"}, {"name": "prediction"}]
    assert list(outputs(api, columns(), outputs=asked, id="a")) == ["expected_stat", "prediction"]
    said = api.client.post(INFER, json={"inputs": columns(), "id": "é"})
    assert (said.json()["id"], said.json()["model_version"]) == ("é", VERSION)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([tensor("questions", ["{"])], "inputs.0.data.0"),
        ([tensor("questions", ["{}"])], "player_names"),
        ([tensor("questions", ["{}"]), *columns()], "inputs"),
        (columns(prop_value=None), "inputs"),
        (columns(prop_value=[1.5]), "inputs"),
        (columns(prop_value=[1.5, -1, 2.5]), "prop_value"),
        (columns(map_last=[1, 0, 1]), "map_range.1"),
        ([*columns(), *columns()], "inputs"),
        ([{**columns()[0], "name": "x"}], "inputs.0.name"),
        ([{**columns()[0], "datatype": "FP32"}, *columns()[1:]], "inputs.0.datatype"),
        ([{**columns()[0], "shape": [4]}, *columns()[1:]], "inputs.0"),
        ([{**columns()[0], "shape": [0]}, *columns()[1:]], "inputs.0"),
        ([{**columns()[0], "shape": [1001]}, *columns()[1:]], "inputs.0.shape.0"),
        ([*columns()[:2], {**columns()[2], "shape": [1, 3]}, *columns()[3:]], "inputs.2"),
    ],
)
def test_wrong_tensors_are_named(api: Api, inputs: list[dict[str, Any]], field: str) -> None:
    """With a text under `error`, which is all that the protocol knows; nothing is answered."""
    said = api.client.post(INFER, json={"inputs": inputs})
    assert (said.status_code, said.json()["field"]) == (422, field), said.text
    assert said.json()["error"] == said.json()["detail"]


def test_all_or_none(api: Api) -> None:
    """A name that nobody bears fails the whole, and is named with its question."""
    said = api.client.post(INFER, json={"inputs": columns(player_names=["Faker", "Nobody At All", "Faker"])})
    assert (said.status_code, said.json()["code"]) == (404, "unknown-name")
    assert "question 1" in said.json()["error"]
    unknown = api.client.post(INFER, json={"inputs": columns(), "outputs": [{"name": "x"}]})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "outputs.0.name")


def test_other_models_and_versions_are_not_there(api: Api) -> None:
    """A model of another name is not found, nor is anything else under /v2."""
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/players"):
        assert api.client.get(path).status_code == 404
    assert api.client.post("/v2/models/other/infer", json={"inputs": columns()}).status_code == 404


def test_a_repeated_key_gets_the_same_answer(api: Api) -> None:
    """As for every other POST."""
    given = [api.client.post(INFER, json={"inputs": columns()}, headers={"Idempotency-Key": "i"}) for _ in range(2)]
    assert given[0].content == given[1].content
    assert given[1].headers["idempotent-replayed"] == "true"
