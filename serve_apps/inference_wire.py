"""The messages of the Open Inference Protocol, version 2, and what stands between them and ours.

Source: the protocol of the Open Inference Protocol group (KServe), REST, 2.0. Tensors are sent as JSON.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from serve_apps.wire import MAX_BATCH
from stores.domain.props import Side
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic.config import JsonDict

    from serve_apps.wire import Prediction

MODEL = "riftline"
MAX_TENSORS = 32
QUESTIONS = "questions"
Datatype = Literal["BOOL", "INT64", "FP64", "BYTES"]

# name: datatype, whether it is needed, and what of it means that it is left out
COLUMNS: dict[str, tuple[Datatype, bool, object]] = {
    "player_names": ("BYTES", True, ""),
    "prop_type": ("BYTES", True, None),
    "prop_value": ("FP64", True, None),
    "map_first": ("INT64", True, None),
    "map_last": ("INT64", True, None),
    "opponent": ("BYTES", False, ""),
    "tournament": ("BYTES", False, ""),
    "team": ("BYTES", False, ""),
    "match_date": ("BYTES", False, ""),
    "best_of": ("INT64", False, 0),
    "strict_mode": ("BOOL", False, None),
}
OUTPUTS: dict[str, tuple[Datatype, Callable[[Prediction], Any]]] = {
    "prediction_id": ("BYTES", lambda one: str(one.prediction_id)),
    "prediction": ("BYTES", lambda one: one.prediction.value),
    "over_probability": (
        "FP64",
        lambda one: one.confidence if one.prediction is Side.OVER else 100.0 - one.confidence,
    ),
    "push_probability": ("FP64", lambda one: one.push_probability),
    "confidence": ("FP64", lambda one: one.confidence),
    "expected_stat": ("FP64", lambda one: one.expected_stat),
    "interval_low": ("FP64", lambda one: one.confidence_interval[0]),
    "interval_high": ("FP64", lambda one: one.confidence_interval[1]),
    "data_tier": ("INT64", lambda one: one.data_tier),
    "warnings": ("BYTES", lambda one: "; ".join(one.warnings)),
}
_EXAMPLE: JsonDict = {
    "id": "a",
    "inputs": [
        {"name": "player_names", "shape": [1], "datatype": "BYTES", "data": ["Faker"]},
        {"name": "prop_type", "shape": [1], "datatype": "BYTES", "data": ["kills"]},
        {"name": "prop_value", "shape": [1], "datatype": "FP64", "data": [3.5]},
        {"name": "map_first", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "map_last", "shape": [1], "datatype": "INT64", "data": [2]},
    ],
    "outputs": [{"name": "over_probability"}],
}


class InputTensor(BaseModel):
    """A tensor; ``data`` may be nested or flat, in row-major order."""

    name: Annotated[str, Field(max_length=100)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=MAX_BATCH)]], Field(min_length=1, max_length=2)]
    datatype: Annotated[str, Field(max_length=20)]
    parameters: dict[str, Any] = {}
    data: list[Any]


class AskedOutput(BaseModel):
    """An output that is wanted."""

    name: Annotated[str, Field(max_length=100)]
    parameters: dict[str, Any] = {}


class InferenceRequest(BaseModel):
    """Questions as tensors: one column each, or one of JSON texts named ``questions``."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: Annotated[str, Field(max_length=200)] | None = None
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[AskedOutput], Field(max_length=MAX_TENSORS)] = []


class OutputTensor(BaseModel):
    """A tensor with one element for each question."""

    name: str
    shape: list[int]
    datatype: Datatype
    data: list[Any]


class InferenceResponse(BaseModel):
    """The answers. Percentages are in [0, 100]; of over_probability the push is left out, as of a curve."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """What a tensor is like; -1 is any number."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """Who answers."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the process lives."""

    live: bool


class Ready(BaseModel):
    """Whether the server can answer."""

    ready: bool


class ModelReady(BaseModel):
    """Whether the model can answer."""

    name: str
    ready: bool


def questions_of(inputs: Sequence[InputTensor]) -> list[Any]:
    """The questions, as a batch takes them: not yet judged. Raises InvalidError naming the tensor."""
    tensors = {tensor.name: (at, tensor) for at, tensor in enumerate(inputs)}
    if len(tensors) < len(inputs):
        raise InvalidError("inputs: a name is given twice", "inputs")
    if QUESTIONS in tensors:
        if len(tensors) > 1:
            raise InvalidError(f"inputs: {QUESTIONS} stands alone; give it or columns", "inputs")
        at, tensor = tensors[QUESTIONS]
        rows = _rows(tensor, at, "BYTES", pads=None)
        return [_json(row, f"inputs.{at}.data.{index}") for index, row in enumerate(rows)]
    return _from_columns(tensors)


def outputs_of(answers: Sequence[Prediction], asked: Sequence[AskedOutput]) -> list[OutputTensor]:
    """The outputs that are asked for, or all. Raises InvalidError for one that there is not."""
    names = [one.name for one in asked] or list(OUTPUTS)
    for at, name in enumerate(names):
        if name not in OUTPUTS:
            raise InvalidError(
                f"outputs.{at}.name: {name[:40]!r} is none of {', '.join(OUTPUTS)}", f"outputs.{at}.name"
            )
    return [
        OutputTensor(name=name, shape=[len(answers)], datatype=kind, data=[value(one) for one in answers])
        for name in names
        for kind, value in [OUTPUTS[name]]
    ]


def _from_columns(tensors: dict[str, tuple[int, InputTensor]]) -> list[Any]:
    for name, (at, _) in tensors.items():
        if name not in COLUMNS:
            known = ", ".join((QUESTIONS, *COLUMNS))
            raise InvalidError(f"inputs.{at}.name: {name[:40]!r} is none of {known}", f"inputs.{at}.name")
    missing = [name for name, (_, needed, _) in COLUMNS.items() if needed and name not in tensors]
    if missing:
        raise InvalidError(f"inputs: {', '.join(missing)} missing; give them, or {QUESTIONS}", "inputs")
    columns = {
        name: _rows(tensor, at, COLUMNS[name][0], pads=COLUMNS[name][2], wide=name == "player_names")
        for name, (at, tensor) in tensors.items()
    }
    if len({len(rows) for rows in columns.values()}) > 1:
        raise InvalidError("inputs: the first number of each shape is that of the questions; they differ", "inputs")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [
        {"map_range": [row.pop("map_first"), row.pop("map_last")]}
        | {name: value for name, value in row.items() if value is not None}
        for row in rows
    ]


def _rows(tensor: InputTensor, at: int, kind: Datatype, *, pads: object, wide: bool = False) -> list[Any]:
    """One value for each question, or where ``wide`` a list of them; ``pads`` stands for nothing."""
    field = f"inputs.{at}"
    if tensor.datatype != kind:
        raise InvalidError(f"{field}.datatype: {tensor.name} is {kind}", f"{field}.datatype")
    flat = [one for part in tensor.data for one in (part if isinstance(part, list) else [part])]
    count = math.prod(tensor.shape)
    if count != len(flat) or not 1 <= tensor.shape[0] <= MAX_BATCH or not (wide or tensor.shape[1:] in ([], [1])):
        form = "[n] or [n, players]" if wide else "[n]"
        raise InvalidError(f"{field}.shape: give {form} of {MAX_BATCH} questions at most, and as much data", field)
    if not wide:
        return [None if one == pads else one for one in flat]
    width = count // tensor.shape[0]
    return (
        [[one for one in flat[begin : begin + width] if one != pads] for begin in range(0, count, width)]
        if width
        else [[]] * tensor.shape[0]
    )


def _json(text: object, field: str) -> Any:
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        raise InvalidError(f"{field} is no JSON", field) from None
