"""What became of the predictions that were given: each is joined to the series that its players played next."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from actors.name_index import NameIndex
from actors.published import PlayerEntry
from stores.domain.feedback import ActualResult
from stores.domain.props import Side
from stores.errors import NotFoundError
from stores.features.schema import POSITION_INDEX, POSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date
    from uuid import UUID

    import pyarrow as pa

    from stores.domain.feedback import Feedback
    from stores.domain.predictions import PredictionRecord
    from stores.domain.props import PropRequest

OUTCOME_COLUMNS = (
    "series_id",
    "date",
    "started_at",
    "game_number",
    "tournament",
    "player_id",
    "player_name",
    "position",
    "team",
    "team_id",
    "opponent",
    "opponent_id",
    "kills",
    "assists",
)
ASKED_AHEAD = timedelta(days=14)  # nobody asks for a series that is farther away
LONGEST_PAUSE = timedelta(hours=12)  # after it another game of two teams is another series
DATE_SLACK_DAYS = 1  # the date of a match depends on who says it, and where


class Settlement(StrEnum):
    """What is known of a prediction: the count, that there is none to wait for, or nothing yet."""

    SETTLED = "settled"
    VOID = "void"
    OPEN = "open"


class Told(StrEnum):
    """Who tells the count."""

    LAKE = "lake"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one prediction. ``actual`` is None where only the side was told; ``reason`` says why it is void
    or open. ``contradicted`` marks feedback that says otherwise than the lake, which then holds.
    """

    prediction: PredictionRecord
    settlement: Settlement
    reason: str = ""
    actual: float | None = None
    result: ActualResult | None = None
    told_by: Told | None = None
    series_id: str | None = None
    contradicted: bool = False

    @property
    def decided(self) -> bool:
        """Whether the prediction was right or wrong; a push is neither."""
        return self.result in {ActualResult.OVER, ActualResult.UNDER}

    @property
    def over(self) -> float:
        """The probability that was given to OVER, the push left out, in [0, 1]."""
        confidence = self.prediction.confidence / 100.0
        return confidence if self.prediction.prediction is Side.OVER else 1.0 - confidence


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """How many predictions came to what."""

    predictions: int
    settled: int
    void: int
    open: int
    told_by_feedback: int
    contradicted: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> OutcomeCounts:
        """The counts of these outcomes."""
        states = [outcome.settlement for outcome in outcomes]
        return cls(
            predictions=len(outcomes),
            settled=states.count(Settlement.SETTLED),
            void=states.count(Settlement.VOID),
            open=states.count(Settlement.OPEN),
            told_by_feedback=sum(outcome.told_by is Told.FEEDBACK for outcome in outcomes),
            contradicted=sum(outcome.contradicted for outcome in outcomes),
        )


@dataclass(slots=True)
class _Series:
    """The rows of a series by player and map."""

    series_id: str
    starts: datetime
    last_starts: datetime
    rows: dict[str, dict[int, Mapping[str, Any]]] = field(default_factory=dict)
    maps: set[int] = field(default_factory=set)


class PlayedSeries:
    """The played games, found by player and time. Immutable once built."""

    def __init__(self, silver: pa.Table) -> None:
        self._series: dict[str, _Series] = {}
        latest: dict[str, Mapping[str, Any]] = {}
        games: defaultdict[str, int] = defaultdict(int)
        for row in silver.select(list(OUTCOME_COLUMNS)).sort_by("started_at").to_pylist():
            self._add(row)
            latest[row["player_id"]] = row
            games[row["player_id"]] += 1
        self.players = NameIndex("player", [_entry(row, games[player]) for player, row in latest.items()])
        of_player: defaultdict[str, list[_Series]] = defaultdict(list)
        for series in sorted(self._series.values(), key=lambda it: it.starts):
            for player in series.rows:
                of_player[player].append(series)
        self._of_player = dict(of_player)

    def _add(self, row: Mapping[str, Any]) -> None:
        starts, game = row["started_at"], row["game_number"]
        series = self._series.setdefault(row["series_id"], _Series(row["series_id"], starts, starts))
        series.last_starts = max(series.last_starts, starts)
        series.maps.add(game)
        series.rows.setdefault(row["player_id"], {})[game] = row

    def next_of(self, players: Sequence[str], request: PropRequest, asked_at: datetime) -> _Series | None:
        """The first series after the question in which all the players played, as far as it fits what was asked."""
        of_first = self._of_player[players[0]]
        after = bisect_right(of_first, asked_at, key=lambda it: it.starts)
        for series in of_first[after:]:
            if series.starts > asked_at + ASKED_AHEAD:
                break
            if all(player in series.rows for player in players) and _fits(series, players[0], request):
                return series
        return None


def join_outcomes(
    predictions: Iterable[PredictionRecord],
    played: PlayedSeries,
    feedback: Mapping[UUID, Sequence[Feedback]],
    now: datetime,
) -> list[Outcome]:
    """The outcome of each prediction, in order; ``feedback`` holds what was told, the most reliable first.

    The sum counts the maps of the range that were played, as the answer does. It is void if the series ended before
    the range or a named player missed one of its maps. Names mean whom serving means by them.
    """
    return [_with_feedback(_in_lake(it, played, now), feedback.get(it.prediction_id, ())) for it in predictions]


def _in_lake(prediction: PredictionRecord, played: PlayedSeries, now: datetime) -> Outcome:
    request = prediction.request
    try:
        players = [_meant(played.players, request, at) for at in range(len(request.player_names))]
    except NotFoundError as error:
        return Outcome(prediction=prediction, settlement=Settlement.OPEN, reason=str(error))
    series = played.next_of(players, request, prediction.created_at)
    if series is None:
        return Outcome(prediction=prediction, settlement=Settlement.OPEN, reason="no such series was played yet")
    return _settled(prediction, players, series, now)


def _settled(prediction: PredictionRecord, players: Sequence[str], series: _Series, now: datetime) -> Outcome:
    request, played = prediction.request, max(series.maps)
    wanted = [game for game in request.map_range.maps if game <= played]
    settlement, reason = Settlement.VOID, ""
    if now < series.last_starts + LONGEST_PAUSE:
        settlement, reason = Settlement.OPEN, "the series may still go on"
    elif not wanted:
        reason = f"the series ended after map {played}"
    elif not series.maps.issuperset(wanted):
        settlement, reason = Settlement.OPEN, "the lake lacks a map of the range"
    elif any(game not in series.rows[player] for player in players for game in wanted):
        reason = "a named player did not play on all maps of the range"
    if reason:
        return Outcome(prediction=prediction, settlement=settlement, reason=reason, series_id=series.series_id)
    actual = float(sum(series.rows[player][game][request.prop_type] for player in players for game in wanted))
    return Outcome(
        prediction=prediction,
        settlement=Settlement.SETTLED,
        actual=actual,
        result=_result(actual, request.prop_value),
        told_by=Told.LAKE,
        series_id=series.series_id,
    )


def _with_feedback(outcome: Outcome, feedback: Sequence[Feedback]) -> Outcome:
    """The lake's outcome, or that of the most reliable feedback where the lake has none."""
    if not feedback:
        return outcome
    told, line = feedback[0], outcome.prediction.request.prop_value
    result = told.actual_result if told.actual_stat_value is None else _result(told.actual_stat_value, line)
    if outcome.settlement is Settlement.OPEN:
        return Outcome(
            prediction=outcome.prediction,
            settlement=Settlement.SETTLED,
            actual=told.actual_stat_value,
            result=result,
            told_by=Told.FEEDBACK,
            series_id=outcome.series_id,
        )
    otherwise = told.actual_stat_value not in {None, outcome.actual} or result is not outcome.result
    return replace(outcome, contradicted=otherwise)


def _result(actual: float, line: float) -> ActualResult:
    if actual == line:
        return ActualResult.PUSH
    return ActualResult.OVER if actual > line else ActualResult.UNDER


def _entry(row: Mapping[str, Any], games: int) -> PlayerEntry:
    return PlayerEntry(
        player_id=row["player_id"],
        name=row["player_name"],
        position=POSITION_INDEX[row["position"]],
        team_id=row["team_id"],
        team=row["team"],
        tournament=row["tournament"],
        games=games,
    )


def _meant(players: NameIndex[PlayerEntry], request: PropRequest, at: int) -> str:
    """The player that a name means: of namesakes the one of the team, the role, the league, the most games."""

    def fit(player: PlayerEntry) -> tuple[bool, bool, bool]:
        role = request.position_roles[at] if request.position_roles else None
        return (
            _names(request.team, player.team, player.team_id),
            POSITIONS[player.position] == role,
            _names(request.tournament, player.tournament),
        )

    return max(players.candidates(request.player_names[at]), key=fit).player_id


def _fits(series: _Series, player: str, request: PropRequest) -> bool:
    row = next(iter(series.rows[player].values()))
    day: date = row["date"]
    on_time = request.match_date is None or abs((day - request.match_date).days) <= DATE_SLACK_DAYS
    return on_time and (request.opponent is None or _names(request.opponent, row["opponent"], row["opponent_id"]))


def _names(given: str | None, *names: str | None) -> bool:
    """Whether a name was given and is one of these, case and outer white space aside."""
    return given is not None and given.strip().casefold() in {name.casefold() for name in names if name}
