"""docs/api.md names every operation and every error code of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from starlette.exceptions import HTTPException

from serve_apps import client, refusals, request_errors
from serve_apps.api import ApiSettings, create_api
from serve_apps.inference_wire import COLUMNS, OUTPUTS
from serve_apps.problems import UnknownVersionError, problem_of
from stores.domain.prediction_filters import OPERATORS
from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    TransientError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from serve_apps.state import FeatureFeed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
_ROW = re.compile(r"^\| (`.*`) \| ([a-z ]+) \| .* \|$", re.MULTILINE)


def test_every_operation_is_named() -> None:
    """By method and path, exactly those that there are."""
    app = create_api(ApiSettings("postgresql://nowhere/x", 1, "file:///x"), cast("FeatureFeed", None))
    served = {f"{method.upper()} {path}" for path, its in app.openapi()["paths"].items() for method in its}
    assert set(re.findall(r"`((?:GET|POST) /[^`]*)`", PAGE.partition("## Operations")[2].partition("## ")[0])) == served


def test_every_code_is_named() -> None:
    """Of the stores' errors, of refusals, of wrong requests and of bare statuses."""
    kinds = [*refusals.RefusedError.__subclasses__(), *request_errors.RequestError.__subclasses__()]
    raised: list[Exception] = [kind("said") for kind in kinds]
    raised += [HTTPException(status) for status in (400, 404, 405, 413, 415)]
    raised += [kind("said") for kind in (NotFoundError, InvalidError, ConflictError, TransientError, OverloadedError)]
    raised += [OutcomeUnknownError("said"), UnknownNameError("said", (), "x"), UnknownVersionError(406), ValueError()]
    codes = {problem_of(error).code for error in raised}
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_every_filter_is_named() -> None:
    """With its operators, in their order."""
    found = {name: said.split() for names, said in _ROW.findall(PAGE) for name in re.findall(r"`([a-z_]+)`", names)}
    filters = {column: found.get(column) for column in OPERATORS}
    assert filters == {column: [str(one) for one in offered] for column, offered in OPERATORS.items()}


def test_every_tensor_is_named() -> None:
    """Those that are taken and those that are given."""
    section = PAGE.partition("## Open Inference Protocol")[2]
    assert {name for name in (*COLUMNS, *OUTPUTS, "questions") if f"`{name}`" not in section} == set()


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """Every error of the client stands at the head of its module."""
    kinds = [*client.RiftlineApiError.__subclasses__(), *client.ApiProblem.__subclasses__()]
    names = {kind.__name__ for kind in kinds}
    assert len(names) == 7
    assert {name for name in names if name not in (client.__doc__ or "")} == set()
