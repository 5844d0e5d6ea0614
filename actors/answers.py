"""From a question to its answer: names are resolved, what is missing is inferred, one distribution answers every line.

Pure but for its inputs: the same question, features and model give the same answer to the bit, whoever asks and however
(single, batch or curve).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.ensemble import SURE_MAPS, Forecast, sum_of
from stores.domain.props import DataTier, PropRequest, Side
from stores.errors import InvalidError, NotFoundError, UnknownNameError
from stores.features.schema import POSITIONS
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from actors.feature_view import FeatureView
    from actors.name_index import E, NameIndex
    from actors.published import PlayerEntry

COVERAGE = 0.8  # of the interval
PERCENT_DIGITS = 4  # enough to compare, short enough to read; rounding is part of the answer, so it reproduces
STRICT_TIER = DataTier.THIN  # the weakest evidence that strict mode accepts


@dataclass(frozen=True, slots=True)
class Inferred:
    """What the question left open and the answer assumed."""

    players: tuple[str, ...]
    position_roles: tuple[str, ...]
    team: str | None
    opponent: str | None
    tournament: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one line. Percentages are in [0, 100]; the push is left out of the confidences and given apart."""

    prediction: Side
    confidence: float
    base_model_confidence: float
    push_probability: float
    expected_stat: float
    confidence_interval: tuple[float, float]
    data_tier: DataTier
    inferred: Inferred
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a question's distribution rests on; any line can be answered from it."""

    forecast: Forecast
    data_tier: DataTier
    inferred: Inferred
    warnings: tuple[str, ...]

    def at_line(self, line: float) -> Answer:
        """The answer to one line."""
        calibrated = self.forecast.calibrated
        said = calibrated.at_line(line)
        base_over = self.forecast.base.over_probability(line)
        low, high = calibrated.interval(COVERAGE)
        return Answer(
            prediction=said.side,
            confidence=_percent(said.probability),
            base_model_confidence=_percent(base_over if said.side is Side.OVER else 1.0 - base_over),
            push_probability=_percent(said.push),
            expected_stat=round(calibrated.mean, PERCENT_DIGITS),
            confidence_interval=(float(low), float(high)),
            data_tier=self.data_tier,
            inferred=self.inferred,
            warnings=self.warnings,
        )

    def over_percent(self, line: float) -> float:
        """The calibrated probability of OVER in %, the push left out."""
        return _percent(self.forecast.calibrated.over_probability(line))


def look(request: PropRequest, view: FeatureView, model: PropEnsemble) -> Outlook:
    """Find the evidence and forecast the sum.

    Raises UnknownNameError naming field and near names, and InvalidError for what cannot be, such as
    a team that meets itself, or evidence too thin for strict mode.
    """
    players = [_named(view.players, name, f"player_names.{at}") for at, name in enumerate(request.player_names)]
    if len({player.player_id for player in players}) < len(players):
        raise InvalidError("two of the player_names are the same player", "player_names")
    question = _Question(request, view, players)
    tier = DataTier.of_games(min(player.games for player in players))
    if request.strict_mode and tier > STRICT_TIER:
        raise InvalidError(
            f"strict_mode: the evidence is too thin ({tier.meaning}); ask without strict_mode to get a fallback",
            "strict_mode",
        )
    forecasts = [question.forecast(at, player, model) for at, player in enumerate(players)]
    warnings = [*question.warnings(), *_tier_warnings(tier), *_map_warnings(request, model)]
    return Outlook(sum_of(forecasts), tier, question.inferred(), tuple(warnings))


class _Question:
    """The request with its names resolved."""

    def __init__(self, request: PropRequest, view: FeatureView, players: Sequence[PlayerEntry]) -> None:
        self._request = request
        self._view = view
        self._players = players
        self._team = _named(view.teams, request.team, "team") if request.team else None
        self._opponent = _named(view.teams, request.opponent, "opponent") if request.opponent else None
        self._tournament = (
            _named(view.tournaments, request.tournament, "tournament").name
            if request.tournament
            else players[0].tournament
        )
        if self._opponent and self._opponent.team_id in {self._team_id(player) for player in players}:
            raise InvalidError(f"{self._opponent.name} cannot be its own opponent", "opponent")

    def forecast(self, at: int, player: PlayerEntry, model: PropEnsemble) -> Forecast:
        maps = np.array(self._request.map_range.maps, dtype=np.int64)
        position = self._position(at, player)
        context = self._view.context(self._tournament)
        evidence = (
            self._view.player_features(player.player_id),
            self._team_features(self._team_id(player), context),
            self._team_features(self._opponent.team_id if self._opponent else None, context),
            context,
        )
        one, team, opponent, league = (np.tile(row, (len(maps), 1)) for row in evidence)
        features = assemble(one, team, opponent, league, np.full(len(maps), position), maps)
        prop = self._request.prop_type
        return model.forecast(prop, model.means(prop, features), position, self._request.map_range)

    def inferred(self) -> Inferred:
        teams = {self._team.name} if self._team else {player.team for player in self._players if player.team}
        return Inferred(
            players=tuple(player.name for player in self._players),
            position_roles=tuple(str(POSITIONS[self._position(at, one)]) for at, one in enumerate(self._players)),
            team=next(iter(teams)) if len(teams) == 1 else None,
            opponent=self._opponent.name if self._opponent else None,
            tournament=self._tournament,
        )

    def warnings(self) -> list[str]:
        request, source = self._request, self._view.source
        notes = []
        if not self._opponent:
            notes.append(f"opponent not given: an average {self._tournament} opponent is assumed")
        for name, player in zip(request.player_names, self._players, strict=True):
            if self._view.players.namesakes(name) > 1:
                whose = f"{player.name} of {player.team or 'no known team'}"
                notes.append(f"{name} is the name of several players; {whose} is meant")
            if self._team and player.team_id not in {None, self._team.team_id}:
                notes.append(f"{player.name} last played for {player.team}, not {self._team.name}")
        if request.match_date and request.match_date < source.as_of.date():
            notes.append(f"match_date lies before the newest game; features are as of {source.as_of.date()}")
        if len(self._players) > 1:
            notes.append("the players' counts are taken as independent of one another")
        return notes

    def _position(self, at: int, player: PlayerEntry) -> int:
        roles = self._request.position_roles
        return POSITIONS.index(roles[at]) if roles else player.position

    def _team_id(self, player: PlayerEntry) -> str | None:
        return self._team.team_id if self._team else player.team_id

    def _team_features(self, team_id: str | None, context: NDArray[np.float64]) -> NDArray[np.float64]:
        if team_id is None or not self._view.has_team(team_id):
            return context[LEAGUE_AVERAGE_TEAM]
        return self._view.team_features(team_id)


def curve_lines(forecast: Forecast) -> list[float]:
    """The half lines from 0.5 up to where OVER has become all but impossible (one in a thousand)."""
    return [count + 0.5 for count in range(forecast.calibrated.quantile(0.999) + 1)]


def _named(index: NameIndex[E], name: str, field: str) -> E:
    try:
        return index.find(name)
    except NotFoundError as error:
        raise UnknownNameError(str(error), error.suggestions, field) from None


def _tier_warnings(tier: DataTier) -> list[str]:
    return [f"thin evidence: {tier.meaning}"] if tier >= DataTier.THIN else []


def _map_warnings(request: PropRequest, model: PropEnsemble) -> list[str]:
    first, last = request.map_range.first, request.map_range.last
    given = f"once map {first} is played" if first > SURE_MAPS else ""
    notes = [f"the answer holds {given}; the series may end before"] if given else []
    if last > max(SURE_MAPS, first):
        _, probability = model.maps_played(request.map_range)[-1]
        notes.append(
            f"the sum counts only maps that are played; map {last} is played with probability {probability:.2f}"
            + (f" {given}" if given else "")
        )
    return notes


def _percent(probability: float) -> float:
    return round(100.0 * probability, PERCENT_DIGITS)
