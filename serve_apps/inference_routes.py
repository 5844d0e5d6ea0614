"""The Open Inference Protocol, version 2: what serves other models can ask this one too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from serve_apps.admission import TICKET
from serve_apps.inference_wire import (
    COLUMNS,
    MODEL,
    OUTPUTS,
    QUESTIONS,
    InferenceRequest,
    InferenceResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    TensorMetadata,
    outputs_of,
    questions_of,
)
from serve_apps.problem_responses import READ, WRITE, problems
from serve_apps.problems import problem_of
from serve_apps.service import Caller
from serve_apps.state import OK, checks
from serve_apps.wire import BatchResponse, PredictionRequest
from stores.errors import InvalidError, NotFoundError, RiftlineError, TransientError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serve_apps.service import PredictionService
    from serve_apps.wire import Prediction

router = APIRouter(tags=["inference"], prefix="/v2")
Name = Annotated[str, Path(max_length=100, examples=[MODEL])]


@router.get("", operation_id="v2_server", summary="Who answers", responses=problems(*READ))
async def server_metadata() -> ServerMetadata:
    """Name and version of the server."""
    return ServerMetadata(name=MODEL, version="1", extensions=[])


@router.get("/health/live", operation_id="v2_live", summary="The process lives", responses=problems(406, 500))
async def live() -> Live:
    """Answers as long as the process can answer at all."""
    return Live(live=True)


@router.get(
    "/health/ready",
    operation_id="v2_ready",
    summary="The server can answer",
    response_model=Ready,
    responses={503: {"model": Ready}, **problems(406, 500)},
)
async def ready(request: Request) -> JSONResponse:
    """Whether model and features are there."""
    good = _is_ready(request)
    return JSONResponse({"ready": good}, 200 if good else 503)


@router.get("/models/{name}", operation_id="v2_model", summary="What the model takes", responses=problems(*READ))
async def model_metadata(name: Name, request: Request) -> ModelMetadata:
    """Inputs and outputs, and the version that answers now."""
    _check_name(name)
    inputs = [TensorMetadata(name=one, datatype=kind, shape=[-1]) for one, (kind, _, _) in COLUMNS.items()]
    return ModelMetadata(
        name=MODEL,
        versions=[_service(request).state.model.record.model_version],
        platform="riftline",
        inputs=[TensorMetadata(name=QUESTIONS, datatype="BYTES", shape=[-1]), *inputs],
        outputs=[TensorMetadata(name=one, datatype=kind, shape=[-1]) for one, (kind, _) in OUTPUTS.items()],
    )


@router.get(
    "/models/{name}/ready",
    operation_id="v2_model_ready",
    summary="The model can answer",
    response_model=ModelReady,
    responses={503: {"model": ModelReady}, **problems(401, 403, 404, 406, 422, 429, 500)},
)
async def model_ready(name: Name, request: Request) -> JSONResponse:
    """Whether model and features are there."""
    _check_name(name)
    good = _is_ready(request)
    return JSONResponse({"name": MODEL, "ready": good}, 200 if good else 503)


@router.post("/models/{name}/infer", operation_id="v2_infer", summary="Ask", responses=problems(*WRITE, 409))
async def infer(name: Name, body: InferenceRequest, request: Request) -> InferenceResponse:
    """Answer questions given as tensors, all or none; their predictions are stored as those of a batch are."""
    _check_name(name)
    questions = questions_of(body.inputs)
    outputs_of((), body.outputs)
    _judge(questions)
    ticket = request.scope[TICKET]
    await request.app.state.gate.charge(ticket.identity, ticket.address, len(questions) - 1)
    agent, identity = request.headers.get("user-agent"), ticket.identity
    caller = Caller(ticket.address, agent[:500] if agent else None, identity.user_id, identity.api_key_id)
    answers = _all_of(BatchResponse.model_validate_json(await _service(request).batch(questions, caller)))
    return InferenceResponse(
        model_name=MODEL,
        model_version=answers[0].model_version,
        id=body.id,
        outputs=outputs_of(answers, body.outputs),
    )


def _judge(questions: Sequence[object]) -> None:
    """Raise InvalidError naming the first question that is wrong: before any is answered and stored."""
    for index, question in enumerate(questions):
        try:
            PredictionRequest.model_validate(question).to_domain()
        except (ValidationError, InvalidError) as error:
            problem = problem_of(error)
            raise InvalidError(f"question {index}: {problem.detail}", problem.field or "") from None


def _service(request: Request) -> PredictionService:
    service: PredictionService = request.app.state.service
    return service


def _is_ready(request: Request) -> bool:
    return all(said.startswith(OK) for said in checks(_service(request).state, ()).values())


def _check_name(name: str) -> None:
    if name != MODEL:
        raise NotFoundError(f"there is no model {name[:40]!r}; there is {MODEL}", (MODEL,))


def _all_of(answered: BatchResponse) -> list[Prediction]:
    """Every answer. Raises the first failure, naming its question."""
    for item in answered.items:
        if item.problem is None:
            continue
        said, field = f"question {item.index}: {item.problem.detail}", item.problem.field or ""
        if item.status == 503:
            raise TransientError(said)
        if item.status == 404:
            raise UnknownNameError(said, tuple(item.problem.suggestions), field)
        if item.status == 422:
            raise InvalidError(said, field)
        raise RiftlineError(said)
    return [item.result for item in answered.items if item.result]
