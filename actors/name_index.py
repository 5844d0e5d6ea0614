"""Finds players, teams, tournaments and champions by id or name, and suggests near names where nothing has the name."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from rapidfuzz import fuzz, process

from stores.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

SUGGESTIONS = 5
LEAST_LIKENESS = 60.0  # below this (of 100) a name is no typing error of the other


class Named(Protocol):
    """Something with a name, an id, and a number of games that says which of two namesakes is meant."""

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def games(self) -> int: ...


E = TypeVar("E", bound=Named)


class NameIndex(Generic[E]):
    """Immutable. Case and outer white space are ignored; of several namesakes the one with most games is found."""

    def __init__(self, kind: str, entries: Sequence[E]) -> None:
        self._kind = kind
        self.entries = tuple(sorted(entries, key=lambda entry: (-entry.games, entry.key)))
        self._by_name: defaultdict[str, list[E]] = defaultdict(list)
        for entry in self.entries:
            for text in {entry.key.casefold(), entry.name.casefold()}:
                self._by_name[text].append(entry)
        shown = {entry.name.casefold(): entry.name for entry in reversed(self.entries)}  # the one with most games
        self._names = sorted(shown.values())
        self._folded = [name.casefold() for name in self._names]  # once here, and not for each search

    def find(self, name: str) -> E:
        """The entry of this id or name. Raises NotFoundError with suggestions."""
        return self.candidates(name)[0]

    def candidates(self, name: str) -> Sequence[E]:
        """All entries of this id or name, those with most games first. Raises NotFoundError with suggestions."""
        found = self._by_name.get(name.strip().casefold())
        if not found:
            near = self._near(name, SUGGESTIONS)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise NotFoundError(f"no {self._kind} is called {name[:100]!r}{hint}", near)
        return found

    def search(self, text: str, limit: int) -> list[E]:
        """The entries nearest to a text, typing errors forgiven; with no text, those with most games."""
        if not text.strip():
            return list(self.entries[:limit])
        near = (entry for name in self._near(text, limit) for entry in self._by_name[name.casefold()])
        return list(dict.fromkeys(near))[:limit]

    def _near(self, text: str, limit: int) -> tuple[str, ...]:
        found = process.extract(
            text.strip()[:100].casefold(),
            self._folded,
            scorer=fuzz.WRatio,
            processor=None,
            limit=limit,
            score_cutoff=LEAST_LIKENESS,
        )
        return tuple(self._names[at] for _, _, at in found)
