"""What is asked and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import date

MAX_MAP = 5  # the longest series of professional play is a best of five
MAX_LINE = 200.0  # five players over five maps stay far below
MAX_PLAYERS = 10  # both teams of one game
FORMATS = (1, 3, 5)  # the most maps that a series can have


class PropType(StrEnum):
    """The counted statistic."""

    KILLS = "kills"
    ASSISTS = "assists"


class Side(StrEnum):
    """The side of a line."""

    OVER = "OVER"
    UNDER = "UNDER"


class Position(StrEnum):
    """The five roles, as Oracle's Elixir writes them."""

    TOP = "top"
    JUNGLE = "jng"
    MID = "mid"
    BOT = "bot"
    SUPPORT = "sup"


class DataTier(IntEnum):
    """How direct the evidence behind a prediction is; 1 is best. Thresholds count the player's known games."""

    DIRECT = 1
    GOOD = 2
    THIN = 3
    SPARSE = 4
    FALLBACK = 5

    @property
    def meaning(self) -> str:
        """The sentence shown beside the number."""
        return _TIER_MEANINGS[self]

    @classmethod
    def of_games(cls, games: int) -> DataTier:
        """The tier of a player with so many known games: 50 is about one split, 20 half of one."""
        return next((tier for least, tier in _LEAST_GAMES if games >= least), cls.FALLBACK)


_LEAST_GAMES = ((50, DataTier.DIRECT), (20, DataTier.GOOD), (8, DataTier.THIN), (1, DataTier.SPARSE))
_TIER_MEANINGS = {
    DataTier.DIRECT: "50 or more of the player's own games",
    DataTier.GOOD: "20 to 49 of the player's own games",
    DataTier.THIN: "8 to 19 of the player's own games, drawn towards role and league",
    DataTier.SPARSE: "fewer than 8 of the player's own games, mostly role and league",
    DataTier.FALLBACK: "no game of the player is known: role and league alone",
}


@dataclass(frozen=True, slots=True)
class MapRange:
    """The maps ``first`` to ``last`` of a series, both counted from 1 and both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= MAX_MAP:
            raise InvalidError(f"map_range starts at map {self.first}; maps are 1 to {MAX_MAP}", "map_range.0")
        if not 1 <= self.last <= MAX_MAP:
            raise InvalidError(f"map_range ends at map {self.last}; maps are 1 to {MAX_MAP}", "map_range.1")
        if self.last < self.first:
            raise InvalidError(f"map_range [{self.first}, {self.last}] is inverted; give [first, last]", "map_range")

    @property
    def maps(self) -> range:
        """The map numbers, in order."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True)
class PropRequest:
    """One question, already valid in shape: whether the summed count of these players is over or under a line.

    ``champions`` are those that the players play, in their order; without them the draft is unknown. ``best_of`` is the
    format of the series, unknown if None.

    Raises InvalidError naming the field when a value is out of its range.
    """

    player_names: tuple[str, ...]
    prop_type: PropType
    prop_value: float
    map_range: MapRange
    opponent: str | None = None
    tournament: str | None = None
    team: str | None = None
    match_date: date | None = None
    position_roles: tuple[Position, ...] = field(default=())
    strict_mode: bool = False
    champions: tuple[str, ...] = ()
    best_of: int | None = None

    def __post_init__(self) -> None:
        self._check_players()
        if not 0 <= self.prop_value <= MAX_LINE:  # also refuses NaN
            raise InvalidError(f"prop_value {self.prop_value} is not a line between 0 and {MAX_LINE:g}", "prop_value")
        if (self.prop_value * 2) % 1:
            raise InvalidError(f"prop_value {self.prop_value} is neither a whole nor a half line", "prop_value")
        if self.position_roles and len(self.position_roles) != len(self.player_names):
            raise InvalidError(
                f"position_roles has {len(self.position_roles)} entries for {len(self.player_names)} players; "
                "give one per player or leave it out",
                "position_roles",
            )
        self._check_draft()
        self._check_format()

    def _check_players(self) -> None:
        if not self.player_names:
            raise InvalidError("player_names is empty; give at least one player", "player_names")
        if len(self.player_names) > MAX_PLAYERS:
            raise InvalidError(
                f"player_names has {len(self.player_names)} names; at most {MAX_PLAYERS}", "player_names"
            )
        seen: set[str] = set()
        for index, name in enumerate(self.player_names):
            bare = name.casefold().strip()
            if not bare:
                raise InvalidError("a player name is blank", f"player_names.{index}")
            if bare in seen:
                raise InvalidError(f"{name!r} is named twice", f"player_names.{index}")
            seen.add(bare)

    def _check_draft(self) -> None:
        if not self.champions:
            return
        if len(self.champions) != len(self.player_names):
            raise InvalidError(
                f"champions has {len(self.champions)} entries for {len(self.player_names)} players; "
                "give one per player or leave it out",
                "champions",
            )
        seen: set[str] = set()
        for index, name in enumerate(self.champions):
            if not name.strip():
                raise InvalidError(
                    "a champion's name is blank; leave champions out if any is unknown", f"champions.{index}"
                )
            if name.casefold().strip() in seen:
                raise InvalidError(f"{name!r} is picked twice; a game has each champion once", f"champions.{index}")
            seen.add(name.casefold().strip())

    def _check_format(self) -> None:
        if self.best_of is None:
            return
        if self.best_of not in FORMATS:
            raise InvalidError(f"best_of {self.best_of} is no format of a series; give 1, 3 or 5", "best_of")
        if self.map_range.last > self.best_of:
            raise InvalidError(
                f"a best of {self.best_of} has no map {self.map_range.last}; end map_range earlier or raise best_of",
                "best_of",
            )
