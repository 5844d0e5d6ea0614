"""Who plays, as a view knows them: names resolved, what is missing inferred, evidence laid ready.

Questions about the same players differ in opponent, prop, maps and line; what they share is worked out once for a view.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.forecast_kernel import Evidence
from stores.domain.props import DataTier
from stores.errors import InvalidError, NotFoundError, UnknownNameError
from stores.features.schema import CHAMPION_FEATURES, POSITIONS
from stores.features.vector import LEAGUE_AVERAGE_TEAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from actors.feature_view import FeatureView
    from actors.name_index import E, NameIndex
    from actors.published import ChampionEntry, PlayerEntry
    from stores.domain.props import Position, PropRequest

MOST = 8192  # players of kept line-ups, 3 to 4 kB each; the real games have 2,200
NO_CHAMPION = np.full(len(CHAMPION_FEATURES), np.nan)
NEW_IN_ROLE = np.array([1.0, 1.0, 0.0])  # CHAMPION_FEATURES of a champion that nobody ever played in the role
_ROLES = tuple(map(str, POSITIONS))
_games = attrgetter("games")


class Inferred(NamedTuple):
    """What the question left open and the answer assumed."""

    players: tuple[str, ...]
    position_roles: tuple[str, ...]
    team: str | None
    opponent: str | None
    tournament: str


class WhoPlays(NamedTuple):
    """What of a request says who plays."""

    player_names: tuple[str, ...]
    team: str | None
    tournament: str | None
    position_roles: tuple[Position, ...]
    champions: tuple[str, ...]
    opponent_given: bool


class SeriesLineUp(NamedTuple):
    """The players of one series. ``same_side`` tells of each whether he plays for the first one's team, ``drafted``
    whether it is known what they play: of all of them, or of none.
    """

    same_side: tuple[bool, ...]
    drafted: bool
    evidence: Evidence

    def against(self, opponent: NDArray[np.float64]) -> Evidence:
        """The evidence with the TEAM_FEATURES of this opponent."""
        known, count = self.evidence, len(self.same_side)
        rows = opponent[None] if count == 1 else np.tile(opponent, (count, 1))
        return Evidence(known.player, known.team, rows, known.league, known.draft, known.position, known.same_side)


class LineUp:
    """The players of a question and all that can be said without its opponent, prop, maps and line. Immutable.

    Where no opponent is given, ``series`` meet the other team or an average one. ``notes`` are what the reader must
    know of the players, ``doubts`` of what the whole rests on. Raises UnknownNameError naming field and near names,
    and InvalidError where two names are one player.
    """

    __slots__ = ("doubts", "inferred", "league", "least_known", "notes", "players", "series", "team_ids", "tier")

    def __init__(self, named: WhoPlays, view: FeatureView) -> None:
        meant = _Meant(named, view)
        self.players = tuple([fitting[0] for fitting in meant.players])
        if len({player.player_id for player in self.players}) < len(self.players):
            raise InvalidError("two of the player_names are the same player", "player_names")
        team, league = meant.team, meant.league
        tournament = league.name if league else self.players[0].tournament
        positions = [meant.position(at, player) for at, player in enumerate(self.players)]
        self.team_ids = tuple([team.team_id if team else player.team_id for player in self.players])
        self.league = view.context(tournament)
        self.least_known = min(self.players, key=_games)  # the tier is of its evidence
        self.tier = DataTier.of_games(self.least_known.games)
        teams = {team.name} if team else {player.team for player in self.players if player.team}
        self.inferred = Inferred(
            players=tuple([player.name for player in self.players]),
            position_roles=tuple([_ROLES[position] for position in positions]),
            team=next(iter(teams)) if len(teams) == 1 else None,
            opponent=None,
            tournament=tournament,
        )
        # whether the players are of two known teams, which then play one another
        meet = len(set(self.team_ids)) == 2 and None not in self.team_ids and not named.opponent_given
        drafts = [view.champion(one.name, positions[at]) for at, one in enumerate(meant.champions)]
        self.series = tuple(self._by_opponents(positions, drafts, view, meet=meet))
        self.notes = tuple(self._notes(meant, positions, drafts, meet=meet))
        self.doubts = tuple(self._doubts())

    def _by_opponents(
        self, positions: Sequence[int], drafts: Sequence[NDArray[np.float64] | None], view: FeatureView, *, meet: bool
    ) -> Iterator[SeriesLineUp]:
        """Team mates together and, if the players are of two teams that meet, both teams in one series."""
        known = [NEW_IN_ROLE if one is None else one for one in drafts] or [NO_CHAMPION] * len(positions)

        def opponent_of(at: int) -> str | None:
            return next(team for team in self.team_ids if team != self.team_ids[at]) if meet else None

        for group in self._by_series(meet=meet):
            same_side = tuple([self.team_ids[at] == self.team_ids[group[0]] for at in group])
            evidence = Evidence(
                player=np.stack([view.player_features(self.players[at].player_id) for at in group]),
                team=np.stack([team_features(view, self.team_ids[at], self.league) for at in group]),
                opponent=np.stack([team_features(view, opponent_of(at), self.league) for at in group]),
                league=np.stack([self.league for _ in group]),
                draft=np.array([known[at] for at in group], dtype=np.float32),
                position=np.array([[positions[at] for at in group]]),
                same_side=np.array(same_side),
            )
            yield SeriesLineUp(same_side, bool(drafts), evidence)

    def _by_series(self, *, meet: bool) -> list[list[int]]:
        """The indices of the players of each series; players without a known team need not be team mates."""
        if meet or len(self.players) == 1:
            return [list(range(len(self.players)))]
        groups: dict[str | None, list[int]] = {}
        for at, team in enumerate(self.team_ids):
            groups.setdefault(team, []).append(at)
        return [part for team, group in groups.items() for part in ([group] if team else [[at] for at in group])]

    def _notes(
        self, meant: _Meant, positions: Sequence[int], drafts: Sequence[NDArray[np.float64] | None], *, meet: bool
    ) -> list[str]:
        notes = []
        if meet:
            notes.append("opponent not given: the players' two teams are taken to meet")
        elif not meant.named.opponent_given:
            notes.append(f"opponent not given: an average {self.inferred.tournament} opponent is assumed")
        for name, fitting in zip(meant.named.player_names, meant.players, strict=True):
            player = fitting[0]
            if len(fitting) > 1:
                whose = f"{player.name} of {player.team or 'no known team'}"
                notes.append(f"{name} is the name of several players; {whose} is meant")
            if meant.team and player.team_id not in {None, meant.team.team_id}:
                notes.append(f"{player.name} last played for {player.team}, not {meant.team.name}")
        return notes + [
            f"no game of {one.name} as {POSITIONS[positions[at]]} is known"
            for at, one in enumerate(meant.champions)
            if drafts[at] is None
        ]

    def _doubts(self) -> list[str]:
        notes = []
        if len(self.series) > 1:
            notes.append("the players are of different series; their counts are taken as independent of one another")
        if self.tier >= DataTier.THIN:
            notes.append(f"thin evidence of {self.least_known.name}: {self.tier.meaning}")
        return notes


class _Meant:
    """Which entries the names mean: of each player those that fit best, the first of them is meant."""

    def __init__(self, named: WhoPlays, view: FeatureView) -> None:
        self.named = named
        namesakes = [
            _candidates(view.players, name, f"player_names.{at}") for at, name in enumerate(named.player_names)
        ]
        self.team = entry(view.teams, named.team, "team")
        self.league = entry(view.tournaments, named.tournament, "tournament")
        self.champions: list[ChampionEntry] = [
            _candidates(view.champions, name, f"champions.{at}")[0] for at, name in enumerate(named.champions)
        ]
        self.players = [self._fitting(at, several) for at, several in enumerate(namesakes)]

    def _fitting(self, at: int, namesakes: Sequence[PlayerEntry]) -> Sequence[PlayerEntry]:
        """Of namesakes those that fit best what was given: the team counts most, then the role, then the league."""
        if len(namesakes) == 1:
            return namesakes

        def fit(player: PlayerEntry) -> tuple[bool, bool, bool]:
            return (
                self.team is not None and player.team_id == self.team.team_id,
                player.position == self.position(at, player) and bool(self.named.position_roles),
                self.league is not None and player.tournament == self.league.name,
            )

        best = max(map(fit, namesakes))
        return [player for player in namesakes if fit(player) == best]

    def position(self, at: int, player: PlayerEntry) -> int:
        roles = self.named.position_roles
        return POSITIONS.index(roles[at]) if roles else player.position


class LineUps:
    """Those of one view. Threads may share it: what two of them work out at once is the same."""

    def __init__(self) -> None:
        self._known: dict[WhoPlays, LineUp] = {}
        self._players = 0

    def of(self, request: PropRequest, view: FeatureView) -> LineUp:
        """The line-up of a request. Raises what `LineUp` raises; that is not kept."""
        named = WhoPlays(
            request.player_names,
            request.team,
            request.tournament,
            request.position_roles,
            request.champions,
            bool(request.opponent),
        )
        known = self._known.get(named)
        if known is None:
            known = LineUp(named, view)
            self._players += len(known.players)
            if self._players > MOST:  # begin anew, which no thread can meet half done
                self._known, self._players = {}, len(known.players)
            self._known[named] = known
        return known


def entry(index: NameIndex[E], name: str | None, field: str) -> E | None:
    """The entry of this name, None without one. Raises UnknownNameError naming the field."""
    return _candidates(index, name, field)[0] if name else None


def team_features(view: FeatureView, team_id: str | None, league: NDArray[np.float64]) -> NDArray[np.float64]:
    """TEAM_FEATURES of a team, those of an average one of its league where it is not known."""
    if team_id is None or not view.has_team(team_id):
        return league[LEAGUE_AVERAGE_TEAM]
    return view.team_features(team_id)


def _candidates(index: NameIndex[E], name: str, field: str) -> Sequence[E]:
    try:
        return index.candidates(name)
    except NotFoundError as error:
        raise UnknownNameError(str(error), error.suggestions, field) from None
