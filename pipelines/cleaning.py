"""One raw row into one candidate: typed values or a reason why not. Pure, without a clock.

Values that mean "not there" become null. A value that is there but cannot be true rejects the whole row, so that it is
kept in quarantine with its reason and not half believed.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pipelines.candidates import CANDIDATE_SCHEMA, SOURCE_FIELDS
from pipelines.layouts import SPECS, Layout
from stores.errors import RiftlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Parser = Callable[[object], object]

Value = TypeVar("Value")

CLEAN_FIELDS = tuple(name for name in CANDIDATE_SCHEMA if name not in SOURCE_FIELDS)
MISSING = frozenset({"", "NULL", "NaN", "nan"})  # no other spelling: "Null" or "None" may be a player
MAX_NAME_CHARS = 200

_TEAM = "team"
_POSITIONS = {
    "top": "top",
    "jng": "jng",
    "jungle": "jng",
    "mid": "mid",
    "middle": "mid",
    "bot": "bot",
    "adc": "bot",
    "sup": "sup",
    "support": "sup",
    "team": _TEAM,
}
_SIDES = {"blue": "Blue", "red": "Red"}
_WON: dict[object, bool] = {1: True, 0: False, "1": True, "0": False, "1.0": True, "0.0": False}
_PARTICIPANTS = frozenset({*range(1, 11), 100, 200})
_TIEBREAKER = "T"  # one game that decides a place in a group: a series of its own, so its first map
_SERIAL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)  # day 0 of spreadsheets
_SERIAL_DAYS = (39814, 73051)  # 2009-01-01, the year the game came out, to 2100-01-01
_US_DATES = {0: "%m/%d/%Y", 1: "%m/%d/%Y %H:%M", 2: "%m/%d/%Y %H:%M:%S"}  # by the number of colons
_YEARS = range(2009, 2100)
_REQUIRED = frozenset({"match_id", "tournament", "won", "duration_seconds"})
_REQUIRED_OF_PLAYERS = _REQUIRED | {"kills", "deaths", "assists"}
_NOT_OF_TEAMS = frozenset({"player_name", "champion", "source_player_id"})
_ONLY_OF_TEAMS = frozenset({"towers", "dragons", "barons"})  # on player rows they mean one thing or another by year


class RowRejected(RiftlineError):  # noqa: N818 — a verdict on a row, not a failure of the program
    """The row cannot be used. ``args[0]`` names the field, the value and what is wrong with it."""


class _Rule(NamedTuple):
    field: str
    column: str
    parse: Parser
    required: bool


class _Plan(NamedTuple):
    """How one kind of row (player or team) of one layout is read. ``sums``: field, columns, parser."""

    rules: tuple[_Rule, ...]
    sums: tuple[tuple[str, tuple[str, ...], Callable[[object], int]], ...]
    date: str
    behind_utc: timedelta
    patch: str
    position: str | None


def clean_row(layout: Layout, payload: Mapping[str, object]) -> dict[str, object]:
    """The candidate fields of one row, all but ``SOURCE_FIELDS``, in the order of the schema. Raises RowRejected."""
    plan = _plan(layout, team=True)
    position = _read(payload, "position", plan.position, _parse_position) if plan.position else _TEAM
    if position != _TEAM:
        plan = _plan(layout, team=False)
    started_at = _read(payload, "started_at", plan.date, parse_date) + plan.behind_utc
    row: dict[str, object] = dict.fromkeys(CLEAN_FIELDS)
    row["position"] = position
    row["started_at"] = started_at
    for field, column, parse, required in plan.rules:
        value = present(payload.get(column))
        if value is None:
            if required:
                raise RowRejected(f"{_label(field, column)} is missing")
            continue
        try:
            row[field] = parse(value)
        except ValueError as wrong:
            raise RowRejected(f"{_label(field, column)} {_shown(value)} {wrong}") from None
    if present(payload.get(plan.patch)) is not None:
        row["patch_version"] = _read(payload, "patch_version", plan.patch, lambda value: parse_patch(value, started_at))
    for field, columns, parse_part in plan.sums:
        row[field] = _sum(payload, field, columns, parse_part)
    return row


def present(value: object) -> object:
    """The value without outer white space, or None where it says "not there"."""
    if value.__class__ is str:
        text = value.strip()
        return None if text in MISSING else text
    return None if value != value else value  # noqa: PLR0124 — the fastest test for NaN


def parse_date(value: object) -> datetime:
    """ISO text, ``9/1/2022 7:08`` (month first, 24 hours) or days since 1899-12-30, as aware UTC time.

    A time without an offset is UTC, as Oracle's Elixir publishes it.
    """
    if isinstance(value, str):
        return _date_of_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _date_of_serial(float(value))
    raise ValueError("is not a date")


def parse_patch(value: object, started_at: datetime) -> str:
    """The patch as season, dot, two digits: ``15.01``, ``15.10``.

    One digit after the dot is either unpadded (9.1 is 9.01) or a float that lost its zero (15.1 is 15.10); exports
    of both kinds exist. Patches come every two weeks from January on, so the date decides: .01 is played from January
    to March and .10 from May, .02 until spring and .20 from October. Without a two at most, only .03 to .09 exist.
    """
    season, dot, number = (repr(value) if isinstance(value, float) else str(value)).partition(".")
    whole = season.isascii() and season.isdecimal() and number.isascii() and number.isdecimal()
    if not dot or not whole or len(season) > 2 or len(number) > 2 or not int(season) or not int(number):
        raise ValueError("is not a patch such as 15.10")
    if len(number) == 2:
        return f"{int(season)}.{number}"
    # seasons are numbered from 2010 by Oracle's Elixir (15 in 2025), from 2000 by Riot since 2025 (25 in 2025)
    january = 2000 + int(season) if int(season) > 20 else 2010 + int(season)
    months = (started_at.year - january) * 12 + started_at.month - 1
    lost_zero = (number == "1" and months >= 3) or (number == "2" and months >= 6)
    return f"{int(season)}.{number}0" if lost_zero else f"{int(season)}.0{number}"


def parse_name(value: object) -> str:
    """A name with its white space collapsed, its case kept. Invisible and control characters are refused."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("is not a name")  # noqa: TRY004 — the file is wrong, not the caller
    return _name(str(value))


@lru_cache(maxsize=16384)  # names repeat from game to game, and these checks are the slowest of all
def _name(text: str) -> str:
    if len(text) > MAX_NAME_CHARS:
        raise ValueError(f"is longer than {MAX_NAME_CHARS} characters")
    if not text.isprintable() and any(unicodedata.category(char)[0] == "C" for char in text):
        raise ValueError("holds a control character")
    return " ".join(text.split())


def _known(placeholder: str) -> Parser:
    def parse(value: object) -> str | None:
        name = parse_name(value)
        return None if name.casefold() == placeholder else name

    return parse


def whole(low: int, high: int) -> Callable[[object], int]:
    """A parser of whole numbers from low to high, both included; ``3`` and ``3.0`` are the same."""

    def parse(value: object) -> int:
        number = value if value.__class__ is int else _whole(value)
        if not low <= number <= high:
            raise ValueError(f"is outside {low} to {high}")
        return number

    return parse


def _whole(value: object) -> int:
    if isinstance(value, str) and len(value) < 16 and value.isascii() and value.isdecimal():
        return int(value)
    number = _real(value, "is not a count")
    if not number.is_integer():
        raise ValueError("is not a whole number")
    return int(number)


def _real(value: object, otherwise: str) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(otherwise)  # noqa: TRY004 — as above
    if isinstance(value, str) and (not value.isascii() or "_" in value):  # both are fine for Python, not for a file
        raise ValueError(otherwise)
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(otherwise) from None


def parse_share(value: object) -> float:
    """A share from 0 to 1."""
    number = _real(value, "is not a share")
    if not 0.0 <= number <= 1.0:
        raise ValueError("is outside 0 to 1")
    return number


_seconds = whole(300, 7200)  # the shortest real game took 1,138 s, the longest 4,280 s


def parse_minutes(value: object) -> int:
    """Minutes with their fraction, as whole seconds."""
    minutes = _real(value, "is not a length in minutes")
    if not 5 <= minutes <= 120:
        raise ValueError("is outside 5 to 120 minutes")
    return _seconds(round(minutes * 60))


def _parse_won(value: object) -> bool:
    won = _WON.get(value) if isinstance(value, str | int | float) else None
    if won is None:
        raise ValueError("is neither 1 (won) nor 0 (lost)")
    return won


def _parse_side(value: object) -> str:
    side = _SIDES.get(value.casefold()) if isinstance(value, str) else None
    if side is None:
        raise ValueError("is neither Blue nor Red")
    return side


def _parse_participant(value: object) -> int:
    number = value if isinstance(value, int) else _whole(value)
    if number not in _PARTICIPANTS:
        raise ValueError("is none of 1 to 10, 100 and 200")
    return number


_map_number = whole(1, 7)


def _parse_game_number(value: object) -> int:
    return 1 if value == _TIEBREAKER else _map_number(value)


_creeps = whole(0, 10_000)

_PARSERS: Mapping[str, Parser] = {
    "match_id": parse_name,
    "participant_id": _parse_participant,
    "side": _parse_side,
    "player_name": _known("unknown player"),
    "source_player_id": parse_name,
    "team": _known("unknown team"),
    "source_team_id": parse_name,
    "opponent": _known("unknown team"),
    "champion": parse_name,
    "tournament": parse_name,
    "game_number": _parse_game_number,
    "duration_seconds": _seconds,
    "won": _parse_won,
    "kills": whole(0, 60),
    "deaths": whole(0, 60),
    "assists": whole(0, 100),
    "team_kills": whole(0, 150),
    "towers": whole(0, 50),
    "dragons": whole(0, 50),
    "barons": whole(0, 50),
    "cs": _creeps,
    "gold": whole(0, 1_000_000),
    "damage_to_champions": whole(0, 10_000_000),
    "damage_share": parse_share,
    "vision_score": whole(0, 10_000),
    "cs_at_10": whole(0, 10_000),
    "gold_at_10": whole(0, 1_000_000),
    "xp_at_10": whole(0, 1_000_000),
    "cs_at_15": whole(0, 10_000),
    "gold_diff_at_15": whole(-1_000_000, 1_000_000),
    "xp_diff_at_15": whole(-1_000_000, 1_000_000),
}
_TEAM_PARSERS: Mapping[str, Parser] = {
    **_PARSERS,
    "kills": whole(0, 150),
    "deaths": whole(0, 150),
    "assists": whole(0, 600),  # four for every kill; a real team had 112
}


@cache
def _plan(layout: Layout, *, team: bool) -> _Plan:
    spec = SPECS[layout]
    column_of = {field: column for column, field in spec.columns.items()}
    parsers = dict(_TEAM_PARSERS if team else _PARSERS)
    if spec.length_in_minutes:
        parsers["duration_seconds"] = parse_minutes
    required = _REQUIRED if team else _REQUIRED_OF_PLAYERS
    unread = _NOT_OF_TEAMS if team else _ONLY_OF_TEAMS
    return _Plan(
        rules=tuple(
            _Rule(field, column_of[field], parse, field in required)
            for field, parse in parsers.items()
            if field in column_of and field not in unread
        ),
        sums=tuple((field, columns, _creeps) for field, columns in spec.sums.items()),
        date=column_of["started_at"],
        behind_utc=spec.behind_utc,
        patch=column_of["patch_version"],
        position=column_of.get("position"),
    )


def _parse_position(value: object) -> str:
    position = _POSITIONS.get(value.casefold()) if isinstance(value, str) else None
    if position is None:
        raise ValueError("is not a position")
    return position


def _read(payload: Mapping[str, object], field: str, column: str, parse: Callable[[object], Value]) -> Value:
    value = present(payload.get(column))
    if value is None:
        raise RowRejected(f"{_label(field, column)} is missing")
    try:
        return parse(value)
    except ValueError as wrong:
        raise RowRejected(f"{_label(field, column)} {_shown(value)} {wrong}") from None


def _sum(
    payload: Mapping[str, object], field: str, columns: tuple[str, ...], parse: Callable[[object], int]
) -> int | None:
    if any(present(payload.get(column)) is None for column in columns):
        return None
    return sum(_read(payload, field, column, parse) for column in columns)


@lru_cache(maxsize=4096)  # a game's twelve rows share their date
def _date_of_text(text: str) -> datetime:
    try:
        number = _real(text, "is not a number")
    except ValueError:
        pass
    else:
        return _date_of_serial(number)
    try:
        moment = _date_of_us_text(text) if "/" in text else datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a date") from None
    return _in_range(moment)


def _date_of_us_text(text: str) -> datetime:
    shape = _US_DATES.get(text.count(":"))
    if shape is None:
        raise ValueError("is not a date")
    return datetime.strptime(text, shape).replace(tzinfo=UTC)


def _date_of_serial(days: float) -> datetime:
    if not _SERIAL_DAYS[0] <= days < _SERIAL_DAYS[1]:
        raise ValueError("is not a date")
    return _SERIAL_EPOCH + timedelta(seconds=round(days * 86400))


def _in_range(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError(f"is outside {_YEARS.start} to {_YEARS.stop - 1}")
    return moment


@cache
def _label(field: str, column: str) -> str:
    return field if field == column else f"{field} (column {column!r})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
