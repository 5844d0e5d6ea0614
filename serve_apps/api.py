"""The HTTP API. `create_api` builds it from its parts; nothing is opened before the server starts it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from serve_apps import history_routes, inference_routes, problems, purge, token_api, wire
from serve_apps.admission import TICKET, opened_gate
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.destinations import Destinations
from serve_apps.fast_path import opened_fast_path
from serve_apps.json_route import JsonRoute
from serve_apps.openapi_document import operation_id
from serve_apps.placement import Colocated
from serve_apps.problem_responses import READ, WRITE
from serve_apps.problem_responses import problems as problems_of
from serve_apps.request_metrics import RequestMetrics
from serve_apps.service import Caller, PredictionService
from serve_apps.state import OK, ServingState, checks
from serve_apps.usage_log import written_metrics
from serve_apps.web_layers import add_layers, opened_layers
from serve_apps.write_behind import opened_write_behind, told
from stores.clock import utc_now
from stores.domain.props import MAX_LINE, MapRange, PropRequest, PropType
from stores.errors import InvalidError, RiftlineError, UnknownNameError
from stores.features.schema import POSITIONS
from stores.lake.artifacts import WarehouseArtifacts
from stores.maintenance import maintain_database
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.predictions import PostgresPredictions
from stores.postgres.routing import open_database
from stores.settings import AccessSettings, S3Settings, WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from serve_apps.placement import Models
    from serve_apps.state import FeatureFeed
    from stores.postgres.pool import Pool

HOUR_S = 3600.0
PINGED_WITHIN_S = 1.0  # who asks whether this replica is ready does not wait long
MAX_CURVE_LINES = 401
MAX_FOUND = 200
_log = logging.getLogger(__name__)
_LIVENESS = (406, 500)
_CURVE_FIELDS = {  # the question's fields, as the curve's parameters are called
    "map_range": "map_last",
    "map_range.0": "map_first",
    "map_range.1": "map_last",
    "player_names.0": "player_id",
    "player_names": "player_id",
    "champions.0": "champion",
}
_DESCRIPTION = """Calibrated probabilities for player props of professional League of Legends.

One predictive distribution answers every line, so single, batch and curve always agree. Errors are
`application/problem+json` with a stable `code`, and name the `field` that is wrong."""

JSON = "application/json"
_SHOWN: dict[str, Any] = {
    "title": "Riftline",
    "version": "1",
    "description": _DESCRIPTION,
    "generate_unique_id_function": operation_id,
}


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What a replica needs to know: where truth is kept, and who may ask."""

    database_url: str = field(repr=False)  # holds a password
    pool_size: int
    warehouse: str
    s3: S3Settings = field(default_factory=S3Settings)
    replica_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    access: AccessSettings = field(default_factory=lambda: AccessSettings(FilePath("token-secrets")))
    replicas: int = 1
    destinations: Destinations = field(default_factory=lambda: Destinations(FilePath("journal")))
    web: WebSettings = field(default_factory=WebSettings)
    tells_request_id: bool = True


def create_api(
    settings: ApiSettings,
    feed: FeatureFeed,
    report_alone: Callable[[int], None] = lambda _: None,
    models: Models | None = None,
) -> FastAPI:
    """The whole API as an ASGI app; it opens its parts at start and closes them at the end.

    ``models`` are in this process unless they are given.
    ``report_alone`` is told 1 when quotas are counted by this replica alone, and 0 when they are shared again.
    """

    @contextlib.asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        pool = await open_database(settings.database_url, settings.replica_url, settings.pool_size)
        placed = models or Colocated(WarehouseArtifacts(settings.warehouse, settings.s3))
        state = ServingState(PostgresModelRegistry(pool), placed, feed)
        api.state.store, api.state.database = PostgresPredictions(pool), CircuitBreaker("the database")
        await state.refresh()
        tasks = [asyncio.create_task(state.keep_fresh()), asyncio.create_task(keep_database(pool))]
        try:
            gate = opened_gate(settings.access, settings.redis_url, pool, settings.replicas, report_alone)
            behind = opened_write_behind(settings.destinations, pool)
            written = written_metrics(api.state.metrics, settings.destinations.influx, pool)
            async with gate as api.state.gate, behind as api.state.write_behind, written:
                api.state.service = PredictionService(state, api.state.write_behind, utc_now, placed.threads)
                async with opened_layers(api.state, settings, pool), opened_fast_path(api.state):
                    yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await pool.close()

    api = FastAPI(lifespan=lifespan, **_SHOWN)
    api.state.metrics = RequestMetrics()
    problems.install(api)
    for prefix in ("", "/v1"):
        for router in (predictions, catalogue, operations, token_api.router, history_routes.router, purge.router):
            api.include_router(router, prefix=prefix, include_in_schema=not prefix)
    api.include_router(inference_routes.router)
    add_layers(api, settings)
    return api


async def keep_database(pool: Pool) -> None:
    """Maintain the database at the start and then about hourly, each replica at moments of its own."""
    while True:
        try:
            _log.info("the database was maintained: %s", "; ".join(await maintain_database(pool, utc_now())))
        except Exception as error:  # noqa: BLE001  # a bug in one run must not end all later ones
            _log.warning("the database cannot be maintained: %s", problems.loggable(error))
        await asyncio.sleep(HOUR_S * random.uniform(0.5, 1.0))  # noqa: S311  # spreads replicas, guards nothing


def _service(request: Request) -> PredictionService:
    service: PredictionService = request.app.state.service
    return service


def caller_of(request: Request) -> Caller:
    """Who asks, as the gate found out."""
    agent, ticket = request.headers.get("user-agent"), request.scope[TICKET]
    identity = ticket.identity
    return Caller(ticket.address, agent[:500] if agent else None, identity.user_id, identity.api_key_id)


predictions = APIRouter(tags=["predictions"], route_class=JsonRoute)
catalogue = APIRouter(tags=["catalogue"], responses=problems_of(*READ))
operations = APIRouter(tags=["operations"], responses=problems_of(*_LIVENESS))


@predictions.post(
    "/predict/single",
    summary="Over or under one line",
    response_model=wire.Prediction,
    responses=problems_of(*WRITE),
)
async def predict_single(body: wire.PredictionRequest, request: Request) -> Response:
    """Answer one question. The answer is on disk before it is given, and in the database a moment later."""
    answered = await _service(request).single(body.to_domain(), caller_of(request), explained=body.explain)
    return Response(answered, media_type=JSON)


@predictions.post(
    "/predict/batch",
    summary="Up to 1000 questions; a bad one fails alone",
    response_model=wire.BatchResponse,
    responses=problems_of(*WRITE),
)
async def predict_batch(body: wire.BatchRequest, request: Request) -> Response:
    """Answer many questions. The status is 200 even if items failed: look at each item's `status`."""
    ticket = request.scope[TICKET]
    await request.app.state.gate.charge(ticket.identity, ticket.address, len(body.requests) - 1)
    return Response(await _service(request).batch(body.requests, caller_of(request)), media_type=JSON)


@predictions.get("/predict/curve/{player_id}", summary="One distribution at many lines", responses=problems_of(*READ))
async def predict_curve(  # noqa: PLR0913, PLR0917  # the query's parameters
    request: Request,
    player_id: Annotated[str, Path(min_length=1, max_length=100, description="Id or name.", examples=["Faker"])],
    prop_type: Annotated[PropType, Query()],
    map_first: Annotated[int, Query()] = 1,
    map_last: Annotated[int | None, Query(description="By default the same as map_first.")] = None,
    opponent: Annotated[wire.Name | None, Query()] = None,
    tournament: Annotated[wire.Name | None, Query()] = None,
    team: Annotated[wire.Name | None, Query()] = None,
    champion: Annotated[wire.Name | None, Query(description="What the player plays. Left out, it is unknown.")] = None,
    best_of: Annotated[int | None, Query(description="Format of the series: 1, 3 or 5. Left out, unknown.")] = None,
    prop_values: Annotated[
        list[float] | None, Query(max_length=MAX_CURVE_LINES, description="Lines to read; by default all that matter.")
    ] = None,
) -> wire.Curve:
    """Read one player's distribution at many lines. Costs what a single answer costs; nothing is stored."""
    _check_lines(prop_values or ())
    lines = sorted(set(prop_values)) if prop_values else None
    with _curve_fields():
        question = PropRequest(
            player_names=(player_id,),
            prop_type=prop_type,
            prop_value=0.5,
            map_range=MapRange(map_first, map_first if map_last is None else map_last),
            opponent=opponent,
            tournament=tournament,
            team=team,
            champions=() if champion is None else (champion,),
            best_of=best_of,
        )
        return await _service(request).curve(question, lines)


def _check_lines(lines: Sequence[float]) -> None:
    for index, line in enumerate(lines):
        if not 0 <= line <= MAX_LINE or (line * 2) % 1:
            raise InvalidError(
                f"prop_values.{index}: {line} is no whole or half line from 0 to {MAX_LINE:g}", f"prop_values.{index}"
            )


@contextlib.contextmanager
def _curve_fields() -> Iterator[None]:
    """Errors inside name the curve's own parameters."""
    try:
        yield
    except UnknownNameError as error:
        raise UnknownNameError(str(error), error.suggestions, _CURVE_FIELDS.get(error.field, error.field)) from None
    except InvalidError as error:
        raise InvalidError(str(error), _CURVE_FIELDS.get(error.field, error.field)) from None


SearchText = Annotated[str, Query(max_length=100, description="Typing errors are forgiven; empty lists all.")]
Limit = Annotated[int, Query(ge=1, le=MAX_FOUND)]


@catalogue.get("/players", summary="Find players")
async def find_players(request: Request, q: SearchText = "", limit: Limit = 20) -> list[wire.Player]:
    """The players nearest to a name; those with most games when no name is given."""
    return [
        wire.Player(
            player_id=entry.player_id,
            name=entry.name,
            position=POSITIONS[entry.position],
            team=entry.team,
            tournament=entry.tournament,
            games=entry.games,
        )
        for entry in _service(request).state.view.players.search(q, limit)
    ]


@catalogue.get("/teams", summary="Find teams")
async def find_teams(request: Request, q: SearchText = "", limit: Limit = 20) -> list[wire.Team]:
    """The teams nearest to a name; those with most games when no name is given."""
    found = _service(request).state.view.teams.search(q, limit)
    return [
        wire.Team(team_id=entry.team_id, name=entry.name, tournament=entry.tournament, games=entry.games)
        for entry in found
    ]


@catalogue.get("/tournaments", summary="Find tournaments")
async def find_tournaments(request: Request, q: SearchText = "", limit: Limit = 50) -> list[wire.Tournament]:
    """The tournaments nearest to a name; those with most games when no name is given."""
    found = _service(request).state.view.tournaments.search(q, limit)
    return [wire.Tournament(name=entry.name, patch=entry.patch, games=entry.games) for entry in found]


@operations.get("/models/status", summary="The model that answers", responses=problems_of(*READ))
async def models_status(request: Request) -> wire.ModelStatus:
    """Which model and which features this replica answers with."""
    state: ServingState = _service(request).state
    record, source = state.model.record, state.view.source
    return wire.ModelStatus(
        model_name=record.model_name,
        model_version=record.model_version,
        algorithm=record.algorithm,
        feature_version=source.feature_version,
        deployment_status=record.deployment_status,
        trained_at=record.trained_at,
        deployed_at=record.deployed_at,
        checksum=record.checksum,
        trained_on_lake_snapshot_id=str(record.lake_snapshot_id),
        training_metrics=dict(record.training_metrics),
        serving_lake_snapshot_id=str(source.lake_snapshot_id),
        features_as_of=source.as_of,
        features_age_s=round(state.features_age_s, 3),
    )


@operations.get("/health", summary="The process lives")
async def health() -> wire.Health:
    """Answers as long as the process can answer at all."""
    return wire.Health(status="ok")


@operations.get(
    "/ready", summary="The service can answer", response_model=wire.Health, responses={503: {"model": wire.Health}}
)
async def ready(request: Request) -> JSONResponse:
    """Whether model and features are there and the journal takes answers, and what each says if not.

    Degraded is ready: while the database is away, answers go on as long as the journal has room.
    """
    service, behind = _service(request), request.app.state.write_behind.status()
    database: list[tuple[str, str]] = [("database", OK), ("journal", told(behind))]
    try:
        await request.app.state.database.call(request.app.state.store.ping, PINGED_WITHIN_S)
    except RiftlineError as error:
        _log.warning("degraded: %s", problems.loggable(error))
        database[0] = ("database", f"{OK}, but does not answer: what is given waits in the journal")
    quotas = request.app.state.gate.quotas
    if quotas is not None:
        alone = f"{OK}, but counted by this replica alone: Redis does not answer"
        database.append(("quotas", alone if quotas.alone else OK))
    found = checks(service.state, database)
    good = all(said.startswith(OK) for said in found.values())
    status = "not ready" if not good else "ready" if _at_best(found) else "degraded"
    return JSONResponse({"status": status, "checks": found}, 200 if good else 503)


def _at_best(found: dict[str, str]) -> bool:
    return not any(said.startswith(f"{OK}, but") for said in found.values())
