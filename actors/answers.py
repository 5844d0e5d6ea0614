"""From a question to its answer: names are resolved, what is missing is inferred, one distribution answers every line.

Pure but for its inputs: the same question, features and model give the same answer to the bit, whoever asks and however
(single, batch or curve).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.ensemble import SURE_MAPS, Forecast, sum_of
from stores.domain.props import DataTier, Side
from stores.errors import InvalidError, NotFoundError, RiftlineError, UnknownNameError
from stores.features.schema import POSITIONS
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from actors.feature_view import FeatureView
    from actors.name_index import E, NameIndex
    from actors.published import PlayerEntry, TournamentEntry
    from stores.domain.props import MapRange, PropRequest, PropType

COVERAGE = 0.8  # of the interval
PERCENT_DIGITS = 4  # enough to compare, short enough to read; rounding is part of the answer, so it reproduces
OLD_FEATURES_DAYS = 14  # about one patch of the game; by then form and strategy have moved on
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
    players: tuple[PlayerEntry, ...]
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
    (found,) = look_all([request], view, model)
    if isinstance(found, RiftlineError):
        raise found
    return found


def look_all(requests: Sequence[PropRequest], view: FeatureView, model: PropEnsemble) -> list[Outlook | RiftlineError]:
    """What `look` gives or raises for each request, to the bit, with one walk through the trees per prop."""
    asked = [_asked(request, view) for request in requests]
    questions = [one for one in asked if isinstance(one, _Question)]
    forecasts = iter(_forecasts([share for question in questions for share in question.shares()], model))
    return [
        one if isinstance(one, RiftlineError) else one.outlook([next(forecasts) for _ in one.players], model)
        for one in asked
    ]


def _asked(request: PropRequest, view: FeatureView) -> _Question | RiftlineError:
    try:
        return _Question(request, view)
    except RiftlineError as error:
        return error


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """One player's part in a question; ``evidence`` holds the snapshots of player, team, opponent and league."""

    prop: PropType
    map_range: MapRange
    position: int
    evidence: tuple[NDArray[np.float64], ...]


def _forecasts(shares: Sequence[_Share], model: PropEnsemble) -> list[Forecast]:
    """One forecast per share, in order."""
    forecasts: dict[int, Forecast] = {}
    for prop in {share.prop: None for share in shares}:
        of_prop = [at for at, share in enumerate(shares) if share.prop is prop]
        means = dict(zip(of_prop, _means(prop, [shares[at] for at in of_prop], model), strict=True))
        for map_range in {shares[at].map_range: None for at in of_prop}:
            alike = [at for at in of_prop if shares[at].map_range == map_range]
            positions = np.array([shares[at].position for at in alike])
            found = model.forecasts(prop, np.stack([means[at] for at in alike]), positions, map_range)
            forecasts.update(zip(alike, found, strict=True))
    return [forecasts[at] for at in range(len(shares))]


def _means(prop: PropType, shares: Sequence[_Share], model: PropEnsemble) -> list[NDArray[np.float64]]:
    """The expected count on each map of a share, for all shares from one call of the trees."""
    lengths = np.array([len(share.map_range.maps) for share in shares])
    maps = np.concatenate([share.map_range.maps for share in shares])
    snapshots = zip(*(share.evidence for share in shares), strict=True)
    player, team, opponent, league = (np.repeat(np.stack(rows), lengths, axis=0) for rows in snapshots)
    positions = np.repeat([share.position for share in shares], lengths)
    means = model.means(prop, assemble(player, team, opponent, league, positions, maps))
    return np.split(means, np.cumsum(lengths)[:-1])


class _Question:
    """The request with its names resolved. Raises what `look` raises."""

    def __init__(self, request: PropRequest, view: FeatureView) -> None:
        self._request = request
        self._view = view
        namesakes = [
            _candidates(view.players, name, f"player_names.{at}") for at, name in enumerate(request.player_names)
        ]
        self._team = _named(view.teams, request.team, "team")
        self._opponent = _named(view.teams, request.opponent, "opponent")
        league = _named(view.tournaments, request.tournament, "tournament")
        self._meant = [self._fitting(at, several, league) for at, several in enumerate(namesakes)]
        self.players = tuple(fitting[0] for fitting in self._meant)
        self._tournament = league.name if league else self.players[0].tournament
        self._tier = DataTier.of_games(min(player.games for player in self.players))
        self._check()

    def _fitting(
        self, at: int, namesakes: Sequence[PlayerEntry], league: TournamentEntry | None
    ) -> Sequence[PlayerEntry]:
        """Of namesakes those that fit best what was given: the team counts most, then the role, then the league."""
        if len(namesakes) == 1:
            return namesakes

        def fit(player: PlayerEntry) -> tuple[bool, bool, bool]:
            return (
                self._team is not None and player.team_id == self._team.team_id,
                player.position == self._position(at, player) and bool(self._request.position_roles),
                league is not None and player.tournament == league.name,
            )

        best = max(map(fit, namesakes))
        return [player for player in namesakes if fit(player) == best]

    def _check(self) -> None:
        if len({player.player_id for player in self.players}) < len(self.players):
            raise InvalidError("two of the player_names are the same player", "player_names")
        if self._opponent and self._opponent.team_id in {self._team_id(player) for player in self.players}:
            raise InvalidError(f"{self._opponent.name} cannot be its own opponent", "opponent")
        if self._request.strict_mode and self._tier > STRICT_TIER:
            raise InvalidError(
                f"strict_mode: the evidence is too thin ({self._tier.meaning}); "
                "ask without strict_mode to get a fallback",
                "strict_mode",
            )

    def shares(self) -> list[_Share]:
        request, view = self._request, self._view
        context = view.context(self._tournament)
        opponent = self._team_features(self._opponent.team_id if self._opponent else None, context)
        return [
            _Share(
                request.prop_type,
                request.map_range,
                self._position(at, player),
                (
                    view.player_features(player.player_id),
                    self._team_features(self._team_id(player), context),
                    opponent,
                    context,
                ),
            )
            for at, player in enumerate(self.players)
        ]

    def outlook(self, forecasts: Sequence[Forecast], model: PropEnsemble) -> Outlook:
        """What the forecasts of the shares come to."""
        notes = [*self.warnings(), *_tier_warnings(self._tier), *_map_warnings(self._request, model)]
        return Outlook(sum_of(forecasts), self._tier, self.players, self.inferred(), tuple(notes))

    def inferred(self) -> Inferred:
        teams = {self._team.name} if self._team else {player.team for player in self.players if player.team}
        return Inferred(
            players=tuple(player.name for player in self.players),
            position_roles=tuple(str(POSITIONS[self._position(at, one)]) for at, one in enumerate(self.players)),
            team=next(iter(teams)) if len(teams) == 1 else None,
            opponent=self._opponent.name if self._opponent else None,
            tournament=self._tournament,
        )

    def warnings(self) -> list[str]:
        request, source = self._request, self._view.source
        notes = []
        if not self._opponent:
            notes.append(f"opponent not given: an average {self._tournament} opponent is assumed")
        for name, fitting in zip(request.player_names, self._meant, strict=True):
            player = fitting[0]
            if len(fitting) > 1:
                whose = f"{player.name} of {player.team or 'no known team'}"
                notes.append(f"{name} is the name of several players; {whose} is meant")
            if self._team and player.team_id not in {None, self._team.team_id}:
                notes.append(f"{player.name} last played for {player.team}, not {self._team.name}")
        notes += _date_warnings(request.match_date, source.as_of.date())
        if len(self.players) > 1:
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


def _named(index: NameIndex[E], name: str | None, field: str) -> E | None:
    return _candidates(index, name, field)[0] if name else None


def _candidates(index: NameIndex[E], name: str, field: str) -> Sequence[E]:
    try:
        return index.candidates(name)
    except NotFoundError as error:
        raise UnknownNameError(str(error), error.suggestions, field) from None


def _date_warnings(match_date: date | None, as_of: date) -> list[str]:
    if match_date and match_date < as_of:
        return [f"match_date lies before the newest game; features are as of {as_of}"]
    age_days = (match_date - as_of).days if match_date else 0
    if age_days > OLD_FEATURES_DAYS:
        return [f"features are as of {as_of}, {age_days} days older than the match"]
    return []


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
