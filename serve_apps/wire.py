"""The API's messages, as pydantic models: the outer shape of the domain's requests and answers."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator

from actors.explanations import Family
from stores.domain.props import MAX_LINE, MAX_MAP, MAX_PLAYERS, MapRange, Position, PropRequest, PropType, Side

if TYPE_CHECKING:
    from pydantic.config import JsonDict

MAX_BATCH = 1000
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Line = Annotated[float, Field(ge=0, le=MAX_LINE, multiple_of=0.5, allow_inf_nan=False)]
MapNumber = Annotated[int, Field(ge=1, le=MAX_MAP)]


def _iso_date(value: object) -> date | None:
    """A date as text and nothing else: pydantic would take a bare number for seconds since 1970."""
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("give a date as text, YYYY-MM-DD")
    return date.fromisoformat(value)


IsoDate = Annotated[date | None, BeforeValidator(_iso_date)]

EXAMPLE: JsonDict = {
    "player_names": ["Faker"],
    "prop_type": "kills",
    "prop_value": 3.5,
    "map_range": [1, 2],
    "opponent": "Gen.G",
    "tournament": "LCK",
    "best_of": 3,
}
WITH_DRAFT: JsonDict = {**EXAMPLE, "map_range": [1, 1], "champions": ["Azir"], "explain": True}


_map_range = lru_cache(MapRange)  # there are fifteen


class PredictionRequest(BaseModel):
    """One question. Only the first four fields are required; what is missing is inferred and reported."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [EXAMPLE, WITH_DRAFT]})

    player_names: Annotated[list[Name], Field(min_length=1, max_length=MAX_PLAYERS)] = Field(
        description="One player or more; several mean their sum. Names or ids, case ignored."
    )
    prop_type: Annotated[PropType, Field(strict=False)]
    prop_value: Line = Field(description="The line, a whole or half number; a whole line can push.")
    map_range: Annotated[list[MapNumber], Field(min_length=2, max_length=2)] = Field(
        description="First and last map of the series, both included; the count is the sum over them."
    )
    opponent: Name | None = None
    tournament: Name | None = None
    team: Name | None = None
    match_date: IsoDate = None
    position_roles: list[Annotated[Position, Field(strict=False)]] = Field(
        default_factory=list, description="One role per player: top, jng, mid, bot or sup."
    )
    strict_mode: bool = Field(default=False, description="Refuse rather than fall back when the evidence is thin.")
    champions: Annotated[list[Name], Field(max_length=MAX_PLAYERS)] = Field(
        default_factory=list, description="One champion per player, in their order. Left out, the draft is unknown."
    )
    best_of: Literal[1, 3, 5] | None = Field(
        default=None, description="Format of the series, no shorter than map_range. Left out, it is unknown."
    )
    explain: bool = Field(default=False, description="Say why: the answer then carries an `explanation`.")

    def to_domain(self) -> PropRequest:
        """The domain's request. Raises InvalidError naming the field."""
        return PropRequest(
            player_names=tuple(self.player_names),
            prop_type=self.prop_type,
            prop_value=self.prop_value,
            map_range=_map_range(*self.map_range),
            opponent=self.opponent,
            tournament=self.tournament,
            team=self.team,
            match_date=self.match_date,
            position_roles=tuple(self.position_roles),
            strict_mode=self.strict_mode,
            champions=tuple(self.champions),
            best_of=self.best_of,
        )


class Inferred(BaseModel):
    """What the question left open and the answer assumed."""

    players: list[str]
    position_roles: list[str]
    team: str | None
    opponent: str | None
    tournament: str


class Factor(BaseModel):
    """One part of the evidence and what it does to the expected count."""

    name: Family
    meaning: str
    effect: float = Field(
        description="The expected count less that of the same question with this part at what is usual, in counts."
    )
    figure: str | None = Field(
        default=None, description="What `value` and `usual` count, where there is such a number."
    )
    value: float | None = None
    usual: float | None = None


class RecentMap(BaseModel):
    """A map that the player played."""

    played_at: datetime
    opponent: str | None
    won: bool
    champion: str | None
    kills: int
    deaths: int
    assists: int


class PlayerMaps(BaseModel):
    """The last maps of one player, the newest first."""

    player_id: str
    player: str
    maps: list[RecentMap]


class Explanation(BaseModel):
    """Why the expected count is what it is."""

    usual_stat: float = Field(
        description="The expected count of usual players of these roles, in an average team of the league against one."
    )
    factors: list[Factor] = Field(
        description="The strongest first, at most six; taken one at a time, so that they do not add up."
    )
    recent_maps: list[PlayerMaps]


class Prediction(BaseModel):
    """The answer to one line. Percentages are in [0, 100]."""

    prediction_id: UUID
    prediction: Side
    confidence: float = Field(description="Calibrated probability of that side in %, the push left out.")
    base_model_confidence: float = Field(description="The same before calibration.")
    push_probability: float = Field(description="Probability in % that the count is exactly the line.")
    expected_stat: float
    confidence_interval: tuple[float, float] = Field(description="80% predictive interval, both ends included.")
    data_tier: int = Field(description="1 is the most direct evidence, 5 a fallback.")
    data_tier_meaning: str
    inferred: Inferred
    model_version: str
    feature_version: str
    lake_snapshot_id: str = Field(description="A 64-bit number as text, since JSON numbers lose it.")
    processing_time_ms: float = Field(
        description="Time from when the call was read until this answer was worked out; storing is not in it."
    )
    cache_hit: bool
    warnings: list[str]
    explanation: Explanation | None = Field(default=None, description="Only where `explain` was asked for.")


# documented as a question, but anything is let in: a bad item must not spoil the others
_Unjudged = Annotated[PredictionRequest, WrapValidator(lambda value, _: value)]


class BatchRequest(BaseModel):
    """Up to 1000 questions; each is judged by itself, so that a bad one fails alone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"requests": [EXAMPLE]}]})

    requests: Annotated[list[_Unjudged], Field(min_length=1, max_length=MAX_BATCH)]


class Problem(BaseModel):
    """An error after RFC 9457. ``code`` is stable; ``field`` is the path of the wrong field."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    suggestions: list[str] = []


class BatchItem(BaseModel):
    """The outcome of one question of a batch: either a result or a problem."""

    index: int
    status: int
    result: Prediction | None = None
    problem: Problem | None = None


class BatchResponse(BaseModel):
    """All outcomes, in the order of the questions."""

    items: list[BatchItem]
    succeeded: int
    failed: int


class Curve(BaseModel):
    """One distribution read at many lines. ``over_probabilities`` fall as the line rises."""

    player_id: str
    player_name: str
    prop_type: PropType
    map_range: tuple[int, int]
    prop_values: list[float]
    predictions: list[Side]
    confidences: list[float]
    expected_stats: list[float]
    over_probabilities: list[float]
    model_version: str
    feature_version: str
    lake_snapshot_id: str
    data_tier: int
    warnings: list[str]


class Player(BaseModel):
    """A player that can be asked for."""

    player_id: str
    name: str
    position: Position
    team: str | None
    tournament: str
    games: int


class Team(BaseModel):
    """A team that can be named as team or opponent."""

    team_id: str
    name: str
    tournament: str
    games: int


class Tournament(BaseModel):
    """A tournament that can be named."""

    name: str
    patch: str
    games: int


class ModelStatus(BaseModel):
    """The model that this replica answers with."""

    model_name: str
    model_version: str
    algorithm: str
    feature_version: str
    deployment_status: str
    trained_at: datetime
    deployed_at: datetime | None
    checksum: str
    trained_on_lake_snapshot_id: str
    training_metrics: dict[str, Any]
    serving_lake_snapshot_id: str
    features_as_of: datetime
    features_age_s: float


class Health(BaseModel):
    """Whether the process lives; `ready` also tells what each part says."""

    status: str
    checks: dict[str, str] = {}
