"""The service keeps to its own OpenAPI document, tried with generated requests through the real ingress."""

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
    from tests.e2e.conftest import Riftline

EXAMPLES = 40  # for each operation
INGRESS_URL_LIMIT = 8_000  # HAProxy itself refuses longer ones, in its own words
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = {
    ("post", "/predict/single"),
    ("post", "/predict/batch"),
    ("get", "/predict/curve/{player_id}"),
    ("get", "/players"),
    ("get", "/teams"),
    ("get", "/tournaments"),
    ("get", "/models/status"),
    ("post", "/auth/token"),
    ("get", "/predictions"),
    ("get", "/predictions/{prediction_id}"),
    ("post", "/predictions/{prediction_id}/feedback"),
    ("get", "/v2"),
    ("get", "/v2/health/live"),
    ("get", "/v2/health/ready"),
    ("get", "/v2/models/{name}"),
    ("get", "/v2/models/{name}/ready"),
    ("post", "/v2/models/{name}/infer"),
    ("post", "/purge"),
    ("get", "/health"),
    ("get", "/ready"),
}


@pytest.fixture(scope="module")
def schema(riftline: Riftline) -> Any:
    """The document as the service gives it."""
    return schemathesis.openapi.from_url(f"{riftline.base_url}/openapi.json")


def test_every_operation_is_tried(schema: Any) -> None:
    """An operation that is added must be added here too."""
    paths = schema.raw_schema["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == OPERATIONS


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_keeps_to_its_document(schema: Any, method: str, path: str, mode: str) -> None:
    """No generated request, be it right or wrong, gets a 5xx or a response that the document does not declare."""
    operation = schema[path][method.upper()]
    if mode == "negative" and not (operation.body or operation.query or operation.path_parameters):
        pytest.skip("takes nothing that could be wrong")

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any) -> None:
        response = case.call()
        if len(response.request.url) < INGRESS_URL_LIMIT:
            case.validate_response(response, checks=CHECKS)

    ask()
