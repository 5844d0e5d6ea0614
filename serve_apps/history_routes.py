"""What was predicted and what became of it: by id, page by page, and feedback."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from serve_apps.admission import TICKET
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.destinations import POSTGRES
from serve_apps.history_cursor import CursorSeal
from serve_apps.history_wire import (
    FeedbackRequest,
    HistoryPage,
    Outcome,
    StoredPrediction,
    StoredPredictionWithOutcomes,
)
from serve_apps.problem_responses import READ, WRITE, problems
from serve_apps.request_errors import UnknownFilterError
from stores.clock import utc_now
from stores.domain.api_keys import Scope
from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.prediction_filters import OPERATORS, Column, Operator, PredictionFilter, condition_of
from stores.domain.prediction_id import created_at
from stores.errors import InvalidError, NotFoundError, TransientError
from stores.postgres.feedback import PostgresFeedback
from stores.postgres.fresh_ids import FRESH
from stores.postgres.prediction_history_pages import PostgresPredictionHistoryPages
from stores.postgres.predictions import PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from serve_apps.identity import Identity
    from serve_apps.write_behind import WriteBehind
    from stores.domain.prediction_filters import Condition
    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool
    from stores.roles.feedback import Feedback as FeedbackStore
    from stores.roles.prediction_history_pages import PredictionHistoryPages
    from stores.roles.predictions import Predictions

T = TypeVar("T")

MAX_LIMIT = 100  # below the store's: one more is read, to know whether there is a next page
WRITTEN_WITHIN_S = 3.0  # the prediction was found just now, so this is one row
FOUND_WITHIN_S = 1.0  # one row by its key, when it is there
READ_WITHIN_S = 3.0  # a page of a much-asked player sorts some 10,000 rows
BEHIND = "the newest predictions may be missing: the database does not take them at the moment"
_FILTER = re.compile(r"filter\[([^\[\]]*)\]\[([^\[\]]*)\]")
_LINK = {"headers": {"Link": {"description": '<address>; rel="next"', "schema": {"type": "string"}}}}
_OFFERED = "; ".join(f"{column}: {', '.join(its)}" for column, its in OPERATORS.items())
_DESCRIPTION = f"""The predictions of whoever asks, newest first. Without a key: those that were asked of one player
without a key, and then `filter[player_name][eq]` is needed.

Filters are written `filter[name][operator]=value` and all hold; values of `in` are parted by commas. {_OFFERED}."""
_FILTER_PARAMETERS = [
    {
        "name": f"filter[{column}][{operator}]",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "maxLength": 200},
    }
    for column, operators in OPERATORS.items()
    for operator in operators
]

router = APIRouter(tags=["history"])


@dataclass(frozen=True, slots=True)
class History:
    """What the routes need. Calls of a server that went silent fail at once (`CircuitBreaker`)."""

    pages: PredictionHistoryPages
    predictions: Predictions
    feedback: FeedbackStore
    seal: CursorSeal
    breaker: CircuitBreaker
    is_behind: Callable[[], bool]

    @classmethod
    def over(cls, pool: Pool, behind: WriteBehind, secret: str) -> History:
        """The history over a database; ``secret`` is a text that all replicas know and nobody else."""
        return cls(
            PostgresPredictionHistoryPages(pool),
            PostgresPredictions(pool),
            PostgresFeedback(pool),
            CursorSeal.of(secret),
            CircuitBreaker("the database"),
            lambda: POSTGRES in behind.status().away,
        )

    async def read(self, ask: Callable[[], Awaitable[T]], within_s: float = READ_WITHIN_S) -> T:
        """What ``ask`` reads. Raises TransientError while the database is away."""
        return await self.breaker.call(ask, within_s)

    async def write(self, said: Feedback) -> None:
        """Keep an outcome. Raises TransientError while the database is away, OutcomeUnknownError when it goes away."""
        await self.breaker.call(lambda: self.feedback.record(said), WRITTEN_WITHIN_S, writes=True)

    async def seen(self, prediction_id: UUID, identity: Identity) -> PredictionRecord:
        """A prediction. Raises NotFoundError also for that of another user, of which nothing may be told."""
        record = await self._found(prediction_id)
        if record.user_id in {None, identity.user_id} or identity.may(Scope.ADMIN):
            return record
        raise NotFoundError(f"there is no prediction {prediction_id}")

    async def _found(self, prediction_id: UUID) -> PredictionRecord:
        """A prediction that was just given is waited for: it is on some replica's disk, on its way to the database.

        Raises NotFoundError, or TransientError when it may still be on its way.
        """
        # the store waits for what is fresh: that is no fault of the database, and who makes ids up opens no breaker
        fresh_s = (FRESH - (utc_now() - created_at(prediction_id))).total_seconds()
        within_s = READ_WITHIN_S + min(max(fresh_s, 0.0), 2 * FRESH.total_seconds())
        try:
            return await self.read(lambda: self._looked_for(prediction_id), within_s)
        except NotFoundError:
            if self.is_behind():
                raise TransientError(f"{prediction_id} may not be in the database yet") from None
            raise

    async def _looked_for(self, prediction_id: UUID) -> PredictionRecord:
        """A prediction; the store waits for a fresh one, while a server that is silent is found out in the meantime."""
        looking = asyncio.create_task(self.predictions.get(prediction_id))
        try:
            if not (await asyncio.wait([looking], timeout=FOUND_WITHIN_S))[0]:
                await self.predictions.ping()
            return await looking
        finally:
            looking.cancel()


def _history(request: Request) -> History:
    history: History = request.app.state.history
    return history


def _identity(request: Request) -> Identity:
    identity: Identity = request.scope[TICKET].identity
    return identity


PredictionId = Annotated[UUID, Path(description="As it stands in the answer.")]


@router.get(
    "/predictions/{prediction_id}",
    operation_id="get_prediction",
    summary="One prediction and what became of it",
    responses=problems(*READ),
)
async def get_prediction(prediction_id: PredictionId, request: Request) -> StoredPredictionWithOutcomes:
    """A prediction that was given, whenever that was. That of another user is not found."""
    history = _history(request)
    record = await history.seen(prediction_id, _identity(request))
    outcomes = await history.read(lambda: history.feedback.get(prediction_id))
    return StoredPredictionWithOutcomes(
        **StoredPrediction.fields_of(record), outcomes=[Outcome.of(one) for one in outcomes]
    )


@router.get(
    "/predictions",
    operation_id="list_predictions",
    summary="The history, page by page",
    description=_DESCRIPTION,
    responses={200: _LINK, **problems(*READ, 400)},
    openapi_extra={"parameters": _FILTER_PARAMETERS},
)
async def list_predictions(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    cursor: Annotated[str | None, Query(max_length=100, description="From `next`; good for the same filters.")] = None,
) -> HistoryPage:
    """A page, and where the next one is."""
    history, asked = _history(request), request.query_params.multi_items()
    meant = PredictionFilter(_identity(request).user_id, conditions_of(asked))
    before = None if cursor is None else history.seal.open(cursor, meant)
    found = await history.read(lambda: history.pages.page(meant, before=before, limit=limit + 1))
    shown = found[:limit]
    following = None
    if len(found) > limit:
        kept = [(name, value) for name, value in asked if name != "cursor"]
        sealed = history.seal.close(shown[-1].prediction_id, meant)
        following = f"{request.url.path}?{urlencode([*kept, ('cursor', sealed)])}"
        response.headers["Link"] = f'<{following}>; rel="next"'
    predictions = [StoredPrediction(**StoredPrediction.fields_of(record)) for record in shown]
    warnings = [BEHIND] if history.is_behind() else []
    return HistoryPage(predictions=predictions, next=following, warnings=warnings)


@router.post(
    "/predictions/{prediction_id}/feedback",
    operation_id="give_feedback",
    summary="What became of a prediction",
    responses=problems(*WRITE, 409),
)
async def give_feedback(prediction_id: PredictionId, body: FeedbackRequest, request: Request) -> Outcome:
    """Say how it came out. What is said later corrects what was said before, so it may be repeated at will."""
    history, identity = _history(request), _identity(request)
    record = await history.seen(prediction_id, identity)
    said = Feedback(
        prediction_id=prediction_id,
        source=FeedbackSource.MANUAL,
        actual_result=_result(body, record),
        given_at=utc_now(),
        actual_stat_value=body.actual_stat_value,
        match_completed_at=body.match_completed_at,
        user_id=identity.user_id,
        confidence_score=body.confidence_score,
        notes=body.notes,
    )
    await history.write(said)
    return Outcome.of(said)


def conditions_of(parameters: Sequence[tuple[str, str]]) -> tuple[Condition, ...]:
    """The filters among a query's parameters.

    Raises UnknownFilterError naming what is not offered and what is, InvalidError for a wrong value.
    """
    return tuple(condition_of(*_place(name), value) for name, value in parameters if name not in {"limit", "cursor"})


def _place(name: str) -> tuple[Column, Operator]:
    found = _FILTER.fullmatch(name)
    if found is None:
        raise UnknownFilterError(
            f"{name[:80]} is no parameter here; give limit, cursor or filter[name][operator]", name
        )
    column, operator = found.groups()
    if column not in set(Column):
        raise UnknownFilterError(f"{column[:80]} cannot be filtered by; these can: {', '.join(Column)}", name)
    offered = OPERATORS[Column(column)]
    if operator not in offered:
        raise UnknownFilterError(f"{column} has no operator {operator[:80]}; it has {', '.join(offered)}", name)
    return Column(column), Operator(operator)


def _result(body: FeedbackRequest, record: PredictionRecord) -> ActualResult:
    """The side that the count fell on. Raises InvalidError where nothing is said, or two things that disagree."""
    count, line = body.actual_stat_value, record.request.prop_value
    if count is None:
        if body.actual_result is None:
            raise InvalidError("actual_stat_value: give the count, or actual_result", "actual_stat_value")
        return body.actual_result
    fell = ActualResult.PUSH if count == line else ActualResult.OVER if count > line else ActualResult.UNDER
    if body.actual_result not in {None, fell}:
        raise InvalidError(f"actual_result: {count:g} at the line {line:g} is {fell}", "actual_result")
    return fell
