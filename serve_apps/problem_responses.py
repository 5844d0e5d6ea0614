"""The errors that an operation of the OpenAPI document declares."""

from __future__ import annotations

from typing import Any

from serve_apps.refusals import MEDIA_TYPE

READ = (401, 403, 404, 406, 422, 429, 500, 503)
WRITE = (*READ, 400, 413, 415)
_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A problem document for each status."""
    return dict.fromkeys(statuses, _PROBLEM)
