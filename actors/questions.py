"""From a request to its evidence: names are resolved, what is missing is inferred, players are put into series."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.series_results import SURE_MAPS
from stores.domain.props import DataTier
from stores.errors import InvalidError, NotFoundError, UnknownNameError
from stores.features.schema import CHAMPION_FEATURES, POSITIONS
from stores.features.vector import LEAGUE_AVERAGE_TEAM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from actors.feature_view import FeatureView
    from actors.name_index import E, NameIndex
    from actors.published import PlayerEntry, TournamentEntry
    from stores.domain.props import MapRange, PropRequest, PropType

OLD_FEATURES_DAYS = 14  # about one patch of the game; by then form and strategy have moved on
STRICT_TIER = DataTier.THIN  # the weakest evidence that strict mode accepts
NO_CHAMPION = np.full(len(CHAMPION_FEATURES), np.nan)
_ROLES = tuple(map(str, POSITIONS))
_games = attrgetter("games")
NEW_IN_ROLE = np.array([1.0, 1.0, 0.0])  # CHAMPION_FEATURES of a champion that nobody ever played in the role


class Inferred(NamedTuple):
    """What the question left open and the answer assumed."""

    players: tuple[str, ...]
    position_roles: tuple[str, ...]
    team: str | None
    opponent: str | None
    tournament: str


class Share(NamedTuple):
    """One player's part: ``evidence`` holds the snapshots of player, team, opponent and league, ``draft`` those of
    CHAMPION_FEATURES, NaN if unknown.
    """

    position: int
    evidence: tuple[NDArray[np.float64], ...]
    draft: NDArray[np.float64]


class SeriesQuestion(NamedTuple):
    """The players of one series. ``same_side`` tells of each share whether it plays for the first one's team."""

    prop: PropType
    map_range: MapRange
    best_of: int | None
    same_side: tuple[bool, ...]
    shares: tuple[Share, ...]

    @property
    def drafted(self) -> bool:
        """Whether it is known what the players play; of all of them, or of none."""
        return not math.isnan(self.shares[0].draft[0])


class Question:
    """A request with its names resolved.

    Raises UnknownNameError naming field and near names, and InvalidError for what cannot be, such as a team that meets
    itself, or evidence too thin for strict mode.
    """

    def __init__(self, request: PropRequest, view: FeatureView) -> None:
        self._request = request
        self._view = view
        namesakes = [
            _candidates(view.players, name, f"player_names.{at}") for at, name in enumerate(request.player_names)
        ]
        self._team = _named(view.teams, request.team, "team")
        self._opponent = _named(view.teams, request.opponent, "opponent")
        league = _named(view.tournaments, request.tournament, "tournament")
        self._champions = [
            _candidates(view.champions, name, f"champions.{at}") for at, name in enumerate(request.champions)
        ]
        self._meant = [self._fitting(at, several, league) for at, several in enumerate(namesakes)]
        self.players = tuple(fitting[0] for fitting in self._meant)
        self._tournament = league.name if league else self.players[0].tournament
        self._positions = [self._position(at, player) for at, player in enumerate(self.players)]
        self._team_ids = [self._team.team_id if self._team else player.team_id for player in self.players]
        teams = set(self._team_ids)
        # whether the players are of two known teams, which then play one another
        self._meet = len(teams) == 2 and None not in teams and self._opponent is None
        self._least_known = min(self.players, key=_games)  # the tier is of its evidence
        self.tier = DataTier.of_games(self._least_known.games)
        self._check()
        self._groups = self._by_series()

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
        if self._opponent and self._opponent.team_id in self._team_ids:
            raise InvalidError(f"{self._opponent.name} cannot be its own opponent", "opponent")
        if self._request.strict_mode and self.tier > STRICT_TIER:
            raise InvalidError(
                f"strict_mode refuses: the evidence of {self._least_known.name} is of tier {self.tier:d} "
                f"({self.tier.meaning}), and tier {STRICT_TIER:d} is the weakest accepted ({STRICT_TIER.meaning}); "
                "ask without strict_mode for an answer that says how thin it is",
                "strict_mode",
            )

    def series(self) -> list[SeriesQuestion]:
        """The players by series: team mates and, if the players are of two teams, both teams in one series."""
        request = self._request
        return [
            SeriesQuestion(
                request.prop_type,
                request.map_range,
                request.best_of,
                tuple([self._team_ids[at] == self._team_ids[group[0]] for at in group]),
                tuple([self._share(at) for at in group]),
            )
            for group in self._groups
        ]

    def _by_series(self) -> list[list[int]]:
        """The indices of the players of each series."""
        if self._meet or len(self.players) == 1:
            return [list(range(len(self.players)))]
        teams = dict.fromkeys(self._team_ids)
        groups = [[at for at, one in enumerate(self._team_ids) if one == team] for team in teams]
        return [part for group in groups for part in self._of_known_team(group)]

    def _of_known_team(self, group: list[int]) -> list[list[int]]:
        """Players without a known team need not be team mates."""
        return [[at] for at in group] if self._team_ids[group[0]] is None else [group]

    def _share(self, at: int) -> Share:
        context = self._view.context(self._tournament)
        team, position = self._team_ids[at], self._positions[at]
        opponent = self._opponent.team_id if self._opponent else None
        if self._meet:
            opponent = next(other for other in self._team_ids if other != team)
        return Share(
            position,
            (
                self._view.player_features(self.players[at].player_id),
                self._team_features(team, context),
                self._team_features(opponent, context),
                context,
            ),
            self._draft(at, position),
        )

    def _draft(self, at: int, position: int) -> NDArray[np.float64]:
        if not self._champions:
            return NO_CHAMPION
        known = self._view.champion(self._champions[at][0].name, position)
        return NEW_IN_ROLE if known is None else known

    def inferred(self) -> Inferred:
        """What was assumed, for the answer."""
        teams = {self._team.name} if self._team else {player.team for player in self.players if player.team}
        return Inferred(
            players=tuple([player.name for player in self.players]),
            position_roles=tuple([_ROLES[position] for position in self._positions]),
            team=next(iter(teams)) if len(teams) == 1 else None,
            opponent=self._opponent.name if self._opponent else None,
            tournament=self._tournament,
        )

    def warnings(self, reached: float) -> list[str]:
        """What the reader must know; ``reached`` is the chance that the last map is played."""
        request, source = self._request, self._view.source
        notes = []
        if self._meet:
            notes.append("opponent not given: the players' two teams are taken to meet")
        elif not self._opponent:
            notes.append(f"opponent not given: an average {self._tournament} opponent is assumed")
        for name, fitting in zip(request.player_names, self._meant, strict=True):
            player = fitting[0]
            if len(fitting) > 1:
                whose = f"{player.name} of {player.team or 'no known team'}"
                notes.append(f"{name} is the name of several players; {whose} is meant")
            if self._team and player.team_id not in {None, self._team.team_id}:
                notes.append(f"{player.name} last played for {player.team}, not {self._team.name}")
        notes += self._draft_warnings()
        notes += _date_warnings(request.match_date, source.as_of.date())
        if len(self._groups) > 1:
            notes.append("the players are of different series; their counts are taken as independent of one another")
        if self.tier >= DataTier.THIN:
            notes.append(f"thin evidence of {self._least_known.name}: {self.tier.meaning}")
        return [*notes, *_map_warnings(request.map_range, reached)]

    def _draft_warnings(self) -> list[str]:
        notes = []
        for at, of_name in enumerate(self._champions):
            position = self._positions[at]
            if self._view.champion(of_name[0].name, position) is None:
                notes.append(f"no game of {of_name[0].name} as {POSITIONS[position]} is known")
        return notes

    def _position(self, at: int, player: PlayerEntry) -> int:
        roles = self._request.position_roles
        return POSITIONS.index(roles[at]) if roles else player.position

    def _team_features(self, team_id: str | None, context: NDArray[np.float64]) -> NDArray[np.float64]:
        if team_id is None or not self._view.has_team(team_id):
            return context[LEAGUE_AVERAGE_TEAM]
        return self._view.team_features(team_id)


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


def _map_warnings(map_range: MapRange, reached: float) -> list[str]:
    first, last = map_range.first, map_range.last
    given = f"once map {first} is played" if first > SURE_MAPS else ""
    notes = [f"the answer holds {given}; the series may end before"] if given else []
    if last > max(SURE_MAPS, first):
        notes.append(
            f"the sum counts only maps that are played; map {last} is played with probability {reached:.2f}"
            + (f" {given}" if given else "")
        )
    return notes
