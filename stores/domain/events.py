"""What happens, as it is told to others: the events of the log, one class per topic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.domain.checks import MAX_BIGINT, check_aware, check_number, check_text, check_texts
from stores.domain.props import MAX_LINE, MAX_MAP, MAX_PLAYERS, MapRange, Position, PropType, Side
from stores.domain.time_ids import moment_of
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from stores.domain.models import DeploymentStatus

MAX_NAME = 200  # characters of an id or a name; real ones stay below 60
MAX_COUNT = 10_000  # of kills, minions and the like in one game
MAX_GAME_S = 6 * 3600.0  # the longest game took an hour and a half
MAX_ASSISTANTS = 4  # the other players of a team


class LiveEventKind(StrEnum):
    """What happened on the map. A kind that a reader does not know yet is read as ``other``."""

    MAP_STARTED = "map_started"
    CHAMPION_KILL = "champion_kill"
    OBJECTIVE = "objective"
    MAP_ENDED = "map_ended"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(ABC):
    """What all events have. ``event_id`` (UUIDv7) names the event for ever: a repeat has the same id and is dropped.

    Raises InvalidError naming the field when a value is out of its range; so do all its kinds.
    """

    event_id: UUID
    occurred_at: datetime
    producer: str

    def __post_init__(self) -> None:
        moment_of(self.event_id, "event_id", "an event id")
        check_aware(self.occurred_at, "occurred_at")
        _name(self.producer, "producer")
        self._check()

    @abstractmethod
    def _check(self) -> None: ...

    @property
    @abstractmethod
    def key(self) -> str:
        """Events of one key are read in the order in which they were published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMatchEvent(Event):
    """Something happened in a running game, ``game_time_s`` after its start."""

    match_id: str
    map_number: int
    kind: LiveEventKind
    game_time_s: float
    team: str | None = None
    player_id: str | None = None
    victim_id: str | None = None
    assistant_ids: tuple[str, ...] = ()

    def _check(self) -> None:
        _map_of_match(self.match_id, self.map_number)
        check_number(self.game_time_s, "game_time_s", 0, MAX_GAME_S)
        for name, field in ((self.team, "team"), (self.player_id, "player_id"), (self.victim_id, "victim_id")):
            _name(name, field)
        if len(self.assistant_ids) > MAX_ASSISTANTS:
            raise InvalidError(
                f"assistant_ids has {len(self.assistant_ids)} players; at most {MAX_ASSISTANTS}", "assistant_ids"
            )
        check_texts(self.assistant_ids, "assistant_ids", MAX_NAME)

    @property
    def key(self) -> str:
        """The match."""
        return self.match_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerPerformance(Event):
    """A player's counts in one game so far; ``final`` says that the game has ended."""

    player_id: str
    player_name: str
    match_id: str
    map_number: int
    team: str
    opponent: str
    kills: int
    deaths: int
    assists: int
    game_time_s: float
    final: bool
    position: Position | None = None
    champion: str | None = None
    creep_score: int | None = None

    def _check(self) -> None:
        _map_of_match(self.match_id, self.map_number)
        for field in ("player_id", "player_name", "team", "opponent", "champion"):
            _name(getattr(self, field), field)
        for field in ("kills", "deaths", "assists", "creep_score"):
            check_number(getattr(self, field), field, 0, MAX_COUNT)
        check_number(self.game_time_s, "game_time_s", 0, MAX_GAME_S)

    @property
    def key(self) -> str:
        """The player."""
        return self.player_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRequested(Event):
    """A prediction was asked for and given. Confidence is in %."""

    prediction_id: UUID
    player_names: tuple[str, ...]
    prop_type: PropType
    prop_value: float
    map_range: MapRange
    prediction: Side
    confidence: float
    model_version: str
    feature_version: str
    lake_snapshot_id: int
    cache_hit: bool
    user_id: UUID | None = None

    def _check(self) -> None:
        moment_of(self.prediction_id, "prediction_id", "a prediction id")
        if not 1 <= len(self.player_names) <= MAX_PLAYERS:
            raise InvalidError(
                f"player_names has {len(self.player_names)} names; give 1 to {MAX_PLAYERS}", "player_names"
            )
        check_texts(self.player_names, "player_names", MAX_NAME)
        check_number(self.prop_value, "prop_value", 0, MAX_LINE)
        check_number(self.confidence, "confidence", 0, 100)
        check_number(self.lake_snapshot_id, "lake_snapshot_id", -MAX_BIGINT, MAX_BIGINT)
        _name(self.model_version, "model_version")
        _name(self.feature_version, "feature_version")

    @property
    def key(self) -> str:
        """The first player."""
        return self.player_names[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUpdated(Event):
    """A model version changed its deployment; ``deployment_percentage`` of the requests are meant for it."""

    model_name: str
    model_version: str
    deployment_status: DeploymentStatus
    deployment_percentage: float
    feature_version: str
    lake_snapshot_id: int
    checksum: str

    def _check(self) -> None:
        for field in ("model_name", "model_version", "feature_version", "checksum"):
            _name(getattr(self, field), field)
        check_number(self.deployment_percentage, "deployment_percentage", 0, 100)
        check_number(self.lake_snapshot_id, "lake_snapshot_id", -MAX_BIGINT, MAX_BIGINT)

    @property
    def key(self) -> str:
        """The model's name."""
        return self.model_name


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchResult(Event):
    """A game ended. ``winner`` is one of the two teams."""

    match_id: str
    map_number: int
    tournament: str
    blue_team: str
    red_team: str
    winner: str
    started_at: datetime
    game_length_s: float
    patch: str | None = None

    def _check(self) -> None:
        _map_of_match(self.match_id, self.map_number)
        for field in ("tournament", "blue_team", "red_team", "patch"):
            _name(getattr(self, field), field)
        if self.winner not in {self.blue_team, self.red_team}:
            raise InvalidError(
                "winner is neither of the two teams; give the name as in blue_team or red_team", "winner"
            )
        check_aware(self.started_at, "started_at")
        check_number(self.game_length_s, "game_length_s", 0, MAX_GAME_S)

    @property
    def key(self) -> str:
        """The match."""
        return self.match_id


def _name(name: str | None, field: str) -> None:
    check_text(name, field, MAX_NAME, blank=False)


def _map_of_match(match_id: str, map_number: int) -> None:
    _name(match_id, "match_id")
    check_number(map_number, "map_number", 1, MAX_MAP)
