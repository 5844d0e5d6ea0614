"""The service keeps to its own OpenAPI document, tried with generated requests through the real ingress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from schemathesis.schemas import BaseSchema

    from tests.e2e.conftest import Riftline

EXAMPLES = 25  # for each operation; about half a minute in all
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api_schema(riftline: Riftline) -> BaseSchema:
    """The document as the service gives it."""
    return schemathesis.openapi.from_url(f"{riftline.base_url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_keeps_to_its_document(case: schemathesis.Case[Any]) -> None:
    """No generated request gets a 5xx, and every response is one that the document declares."""
    case.call_and_validate(checks=CHECKS)
