"""The whole app keeps to its own OpenAPI document, tried with generated requests in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from tests.integration.api.conftest import Api

EXAMPLES = 25  # for each operation
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    ("get", "/predictions"),
    ("get", "/predictions/{prediction_id}"),
    ("post", "/predictions/{prediction_id}/feedback"),
    ("post", "/predict/single"),
    ("get", "/predict/curve/{player_id}"),
    ("get", "/models/status"),
    ("get", "/v2"),
    ("get", "/v2/health/live"),
    ("get", "/v2/health/ready"),
    ("get", "/v2/models/{name}"),
    ("get", "/v2/models/{name}/ready"),
    ("post", "/v2/models/{name}/infer"),
]


@pytest.fixture(scope="module")
def schema(api: Api) -> Any:
    """The document as the app gives it."""
    return schemathesis.openapi.from_dict(api.client.get("/openapi.json").json())


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_keeps_to_its_document(api: Api, schema: Any, method: str, path: str, mode: str) -> None:
    """No generated request, be it right or wrong, gets a 5xx or a response that the document does not declare."""
    operation = schema[path][method.upper()]
    if mode == "negative" and not (operation.body or operation.query or operation.path_parameters):
        pytest.skip("takes nothing that could be wrong")

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any) -> None:
        asked = case.as_transport_kwargs(base_url="http://testserver")
        asked.pop("cookies", None)
        response = api.client.request(**asked)
        case.validate_response(schemathesis.Response.from_httpx(response, verify=False), checks=CHECKS)

    ask()


def test_a_generated_client_has_names(api: Api) -> None:
    """Operations are named by what they do, once each, and every one says how it fails and what it asks for."""
    document = api.client.get("/openapi.json").json()
    each = [one for methods in document["paths"].values() for one in methods.values()]
    ids = [one["operationId"] for one in each]
    assert len(set(ids)) == len(ids)
    assert {"predict_single", "list_predictions", "give_feedback", "v2_infer"} <= set(ids)
    assert all(one["operationId"].isidentifier() and one["summary"] and one["tags"] for one in each)
    assert all("500" in one["responses"] and "406" in one["responses"] for one in each)
    assert all("content" in one["responses"]["200"] for one in each)
    keyed = [one for one in each if "Idempotency-Key" in {its["name"] for its in one["parameters"]}]
    assert {one["operationId"] for one in keyed} == {"predict_single", "predict_batch", "give_feedback", "v2_infer"}
    assert all({"400", "409", "422"} <= set(one["responses"]) for one in keyed)
    cached = {one["operationId"] for one in each if "304" in one["responses"]}
    assert cached == {"predict_curve", "find_players", "find_teams", "find_tournaments", "models_status"}
