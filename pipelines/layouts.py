"""The layouts in which match rows have been published, told apart by their header.

Every layout names, per column, the candidate field that it fills. Columns not named here stay in bronze only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Layout(StrEnum):
    """A published layout, in the order in which a header is tried."""

    MODERN = "oracles-elixir"  # 2014 to today as re-exported: 123 to 167 columns, with or without an index column
    TRANSITIONAL_2020 = "oracles-elixir-2020"  # 100 columns, `player`, `team`, `playerid` numbers the participants
    LEGACY_2018 = "oracles-elixir-legacy"  # 2018 and 2019: 98 columns, `k`, `d`, `a`, minutes, spreadsheet dates
    TOP_LEAGUE_PLAYERS = "top-league-players"
    TOP_LEAGUE_TEAMS = "top-league-teams"


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """What a layout's columns mean.

    ``columns`` maps a column to its candidate field. ``sums`` maps a field to the columns that add up to it.
    ``required`` must be in the header, ``foreign`` must not. Dates are ``behind_utc``.
    """

    columns: Mapping[str, str]
    required: frozenset[str]
    foreign: frozenset[str] = frozenset()
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    length_in_minutes: bool = False
    behind_utc: timedelta = timedelta(0)


_GAME = {
    "gameid": "match_id",
    "league": "tournament",
    "date": "started_at",
    "game": "game_number",
    "gamelength": "duration_seconds",
    "result": "won",
}
_SEAT = {"side": "side", "position": "position", "champion": "champion"}
_SCORE = {"kills": "kills", "deaths": "deaths", "assists": "assists"}
_STATS = {
    "teamkills": "team_kills",
    "towers": "towers",
    "dragons": "dragons",
    "barons": "barons",
    "total cs": "cs",
    "totalgold": "gold",
    "damagetochampions": "damage_to_champions",
    "damageshare": "damage_share",
    "visionscore": "vision_score",
    "csat10": "cs_at_10",
    "goldat10": "gold_at_10",
    "xpat10": "xp_at_10",
    "csat15": "cs_at_15",
    "golddiffat15": "gold_diff_at_15",
    "xpdiffat15": "xp_diff_at_15",
}
_LEGACY_STATS = {
    "k": "kills",
    "d": "deaths",
    "a": "assists",
    "teamkills": "team_kills",
    "teamtowerkills": "towers",
    "teamdragkills": "dragons",
    "teambaronkills": "barons",
    "totalgold": "gold",
    "dmgtochamps": "damage_to_champions",
    "dmgshare": "damage_share",
    "csat10": "cs_at_10",
    "goldat10": "gold_at_10",
    "xpat10": "xp_at_10",
    "csat15": "cs_at_15",
    "gdat15": "gold_diff_at_15",
}
_OLD_NAMES = {"playerid": "participant_id", "player": "player_name", "team": "team"}

SPECS: Mapping[Layout, LayoutSpec] = {
    Layout.MODERN: LayoutSpec(
        columns=_GAME
        | _SEAT
        | _SCORE
        | _STATS
        | {
            "patch": "patch_version",
            "participantid": "participant_id",
            "playername": "player_name",
            "playerid": "source_player_id",
            "teamname": "team",
            "teamid": "source_team_id",
        },
        required=frozenset(_GAME | _SEAT | _SCORE) | {"patch", "participantid", "playername", "teamname"},
    ),
    Layout.TRANSITIONAL_2020: LayoutSpec(
        columns=_GAME | _SEAT | _SCORE | _STATS | _OLD_NAMES | {"patch": "patch_version"},
        required=frozenset(_GAME | _SEAT | _SCORE | _OLD_NAMES) | {"patch"},
    ),
    Layout.LEGACY_2018: LayoutSpec(
        columns=_GAME | _SEAT | _LEGACY_STATS | _OLD_NAMES | {"patchno": "patch_version"},
        required=frozenset(_GAME | _SEAT | _OLD_NAMES) | {"patchno", "k", "d", "a"},
        sums={"cs": ("minionkills", "monsterkills")},
        length_in_minutes=True,
        # measured: all 30 games of October 2019 that were exported again in UTC are five hours later there;
        # should the clock have been US Central's, games between November and March are an hour early
        behind_utc=timedelta(hours=5),
    ),
    Layout.TOP_LEAGUE_PLAYERS: LayoutSpec(
        columns=_GAME
        | _SCORE
        | {
            "patch_oe": "patch_version",
            "playername": "player_name",
            "teamname": "team",
            "opponent": "opponent",
            "position": "position",
            "champion": "champion",
            "teamkills": "team_kills",
        },
        required=frozenset(_GAME | _SCORE) | {"patch_oe", "playername", "teamname", "opponent", "position", "champion"},
        foreign=frozenset({"participantid"}),
    ),
    Layout.TOP_LEAGUE_TEAMS: LayoutSpec(
        columns=_GAME | {"patch_oe": "patch_version", "teamname": "team", "opponent": "opponent"},
        required=frozenset(_GAME) | {"patch_oe", "teamname", "opponent"},
        # without this a player file that lost its kills would pass for a team file
        foreign=frozenset({"playername", "position", "participantid"}),
    ),
}


def detect(columns: Iterable[str]) -> Layout:
    """The layout of a file with these columns.

    InvalidError names what the nearest layout has and the header lacks.
    """
    header = frozenset(columns)
    for layout, spec in SPECS.items():
        if spec.required <= header and not spec.foreign & header:
            return layout
    nearest, spec = min(SPECS.items(), key=lambda item: _distance(item[1], header))
    missing = ", ".join(sorted(spec.required - header)) or "none"
    raise InvalidError(
        f"the header fits no known layout: nearest is '{nearest}', where these columns are missing: {missing}. "
        "Export the file again with them, comma-separated and with the names in the first line",
        "columns",
    )


def _distance(spec: LayoutSpec, header: frozenset[str]) -> float:
    """Share of the required columns that are missing; a foreign column weighs as one more."""
    return (len(spec.required - header) + len(spec.foreign & header)) / len(spec.required)
