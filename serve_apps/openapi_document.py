"""The OpenAPI document: what the layers around the routes add to every operation, so that a generated client works."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from serve_apps.cache_headers import kind_of
from serve_apps.gate import is_open, scope_of
from serve_apps.idempotency import is_keyed
from serve_apps.identity import NOBODY
from serve_apps.problem_responses import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from fastapi.routing import APIRoute

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of POST /auth/token."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A key of this request: sent again within a day, it is answered as before and done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9_.:-]+$"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the answer that is there already.",
    "schema": {"type": "string", "pattern": '^(W/)?"[A-Za-z0-9_.-]{1,80}"$'},
}
_ETAG = {"ETag": {"description": "Names this answer.", "schema": {"type": "string"}}}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where this was answered before.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which a generated client calls it by."""
    return route.name


def described(api: FastAPI) -> Callable[[], dict[str, Any]]:
    """What ``api.openapi`` is to be: made at its first use."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            made = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
            made["components"]["securitySchemes"] = _SECURITY
            for path, operations in made["paths"].items():
                for method, operation in operations.items():
                    _complete(path, method, operation)
            api.openapi_schema = made
        return api.openapi_schema

    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses, parameters = operation["responses"], operation.setdefault("parameters", [])

    def declare(*statuses: int) -> None:
        for status, problem in problems(*statuses).items():
            responses.setdefault(str(status), {"description": HTTPStatus(int(status)).phrase, **problem})

    if not is_open(path):
        without: list[dict[str, list[str]]] = (
            [{}] if scope_of(path) in NOBODY.scopes else []
        )  # as far as that is allowed
        operation["security"] = [*without, *({name: []} for name in _SECURITY)]
        declare(401, 403, 429, 503)
    if method == "post" and is_keyed(path):
        parameters.append(_KEY)
        declare(400, 409)
        responses["200"].setdefault("headers", {}).update(_REPLAYED)
    if method == "get" and kind_of(path):
        parameters.append(_IF_NONE_MATCH)
        responses["304"] = {"description": "The client has this answer already.", "headers": _ETAG}
        responses["200"].setdefault("headers", {}).update(_ETAG)
