"""From a request to its evidence: who plays against whom, over which maps, and what the reader must know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.line_ups import Inferred, entry, team_features
from actors.series_results import SURE_MAPS
from stores.domain.props import DataTier
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import date

    from actors.feature_view import FeatureView
    from actors.forecast_kernel import Evidence
    from actors.line_ups import LineUp
    from actors.published import PlayerEntry, TeamEntry
    from stores.domain.props import MapRange, PropRequest, PropType

OLD_FEATURES_DAYS = 14  # about one patch of the game; by then form and strategy have moved on
STRICT_TIER = DataTier.THIN  # the weakest evidence that strict mode accepts


class SeriesQuestion(NamedTuple):
    """The players of one series (`actors.line_ups.SeriesLineUp`), and what is asked of them."""

    prop: PropType
    map_range: MapRange
    best_of: int | None
    same_side: tuple[bool, ...]
    drafted: bool
    evidence: Evidence


class Question:
    """A request with its names resolved.

    Raises UnknownNameError naming field and near names, and InvalidError for what cannot be, such as a team that meets
    itself, or evidence too thin for strict mode.
    """

    __slots__ = ("_line_up", "_opponent", "_request", "_view")

    def __init__(self, request: PropRequest, view: FeatureView) -> None:
        self._request = request
        self._view = view
        self._line_up: LineUp = view.line_ups.of(request, view)
        self._opponent: TeamEntry | None = entry(view.teams, request.opponent, "opponent")
        if self._opponent and self._opponent.team_id in self._line_up.team_ids:
            raise InvalidError(f"{self._opponent.name} cannot be its own opponent", "opponent")
        if request.strict_mode and self.tier > STRICT_TIER:
            raise InvalidError(
                f"strict_mode refuses: the evidence of {self._line_up.least_known.name} is of tier {self.tier:d} "
                f"({self.tier.meaning}), and tier {STRICT_TIER:d} is the weakest accepted ({STRICT_TIER.meaning}); "
                "ask without strict_mode for an answer that says how thin it is",
                "strict_mode",
            )

    @property
    def tier(self) -> DataTier:
        """How direct the evidence of the least known player is."""
        return self._line_up.tier

    @property
    def players(self) -> tuple[PlayerEntry, ...]:
        """Who is meant."""
        return self._line_up.players

    def series(self) -> list[SeriesQuestion]:
        """The players by series: team mates and, if the players are of two teams, both teams in one series."""
        request, known = self._request, self._line_up
        prop, map_range, best_of = request.prop_type, request.map_range, request.best_of
        if self._opponent is None:
            return [SeriesQuestion(prop, map_range, best_of, *one) for one in known.series]
        opponent = team_features(self._view, self._opponent.team_id, known.league)
        return [
            SeriesQuestion(prop, map_range, best_of, one.same_side, one.drafted, one.against(opponent))
            for one in known.series
        ]

    def inferred(self) -> Inferred:
        """What was assumed, for the answer."""
        players, roles, team, _, tournament = self._line_up.inferred
        return Inferred(players, roles, team, self._opponent.name if self._opponent else None, tournament)

    def warnings(self, reached: float) -> tuple[str, ...]:
        """What the reader must know; ``reached`` is the chance that the last map is played."""
        request, known = self._request, self._line_up
        dates = _date_warnings(request.match_date, self._view.source.as_of.date()) if request.match_date else ()
        return (*known.notes, *dates, *known.doubts, *_map_warnings(request.map_range, reached))


def _date_warnings(match_date: date, as_of: date) -> list[str]:
    if match_date < as_of:
        return [f"match_date lies before the newest game; features are as of {as_of}"]
    age_days = (match_date - as_of).days
    if age_days > OLD_FEATURES_DAYS:
        return [f"features are as of {as_of}, {age_days} days older than the match"]
    return []


def _map_warnings(map_range: MapRange, reached: float) -> list[str]:
    first, last = map_range.first, map_range.last
    if last <= SURE_MAPS:
        return []
    given = f"once map {first} is played" if first > SURE_MAPS else ""
    notes = [f"the answer holds {given}; the series may end before"] if given else []
    if last > max(SURE_MAPS, first):
        notes.append(
            f"the sum counts only maps that are played; map {last} is played with probability {reached:.2f}"
            + (f" {given}" if given else "")
        )
    return notes
