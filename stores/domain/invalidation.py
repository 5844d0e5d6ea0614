"""What processes tell one another about things they cached that changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stores.domain.checks import check_texts
from stores.errors import InvalidError

MAX_NAMES = 1000
MAX_NAME = 256


class Changed(StrEnum):
    """What kind of thing changed."""

    PLAYER = "player"
    TEAM = "team"
    TOURNAMENT = "tournament"
    MODEL = "model"
    CONFIGURATION = "configuration"
    SESSION = "session"
    API_KEY = "api_key"
    ANSWER = "answer"  # by surrogate key


@dataclass(frozen=True, slots=True)
class Invalidation:
    """These names of one kind changed: drop what was cached of them."""

    kind: Changed
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_NAMES:
            raise InvalidError(f"names has {len(self.names)} entries; give 1 to {MAX_NAMES}", "names")
        check_texts(self.names, "names", MAX_NAME)


@dataclass(frozen=True, slots=True)
class Missed:
    """Some invalidations may not have been heard: drop everything that was cached. ``reason`` is for people."""

    reason: str
