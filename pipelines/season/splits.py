"""The calendar: three splits a year and a patch every two weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

SPLITS: Final = 5  # about eighteen months: a full year to train on, and two splits after it
PATCHES_PER_YEAR: Final = 24
_PATCH_DAYS: Final = 14
_FIRST_PATCH: Final = (1, 8)
_WINDOWS: Final = (
    ("Winter", (1, 11), (3, 15)),
    ("Spring", (3, 28), (5, 31)),
    ("Summer", (7, 4), (9, 13)),
)


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the competitive year; both days are played on."""

    year: int
    name: str
    first_day: date
    last_day: date

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1


@dataclass(frozen=True, slots=True)
class Patches:
    """The patches of the years played, numbered from 0 in order."""

    first_year: int
    last_year: int

    @property
    def count(self) -> int:
        return (self.last_year - self.first_year + 1) * PATCHES_PER_YEAR

    def index_at(self, day: date) -> int:
        """The patch played on a day; the first days of January already play the first patch of the year."""
        since = (day - date(day.year, *_FIRST_PATCH)).days // _PATCH_DAYS
        return (day.year - self.first_year) * PATCHES_PER_YEAR + min(max(since, 0), PATCHES_PER_YEAR - 1)

    def version(self, index: int) -> str:
        """Text such as 15.01: season 15 is 2025."""
        year, within = divmod(index, PATCHES_PER_YEAR)
        return f"{self.first_year + year - 2010}.{within + 1:02d}"


def splits_until(end: date) -> tuple[Split, ...]:
    """The last splits that have ended by `end`, oldest first."""
    ended = [
        Split(year, name, date(year, *first), date(year, *last))
        for year in range(end.year - 3, end.year + 1)
        for name, first, last in _WINDOWS
        if date(year, *last) <= end
    ]
    return tuple(ended[-SPLITS:])


def patches_of(splits: tuple[Split, ...]) -> Patches:
    """Every patch of every year that the splits touch."""
    return Patches(splits[0].first_day.year, (splits[-1].last_day + timedelta(days=1)).year)
