"""What was written, what was acknowledged, and what is found at the end: the set checker of a fault run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one run. ``lost`` were acknowledged and are not there, ``doubled`` are there more than once.

    ``strange`` are there and were never sent; ``refused`` are there although the writer was told that nothing happened.
    """

    kills: int
    acknowledged: int
    unknown: int
    found: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    refused: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.refused or self.strange)


@dataclass(slots=True)
class Books:
    """What the writers said, line by line. An id that was announced and never settled is of unknown outcome."""

    announced: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def note(self, line: str) -> None:
        """Take one line of a writer: ``s`` is sent, ``a`` acknowledged, ``f`` refused, ``u`` unknown; then the id.

        A refused id that is tried again is announced again.
        """
        mark, _, name = line.strip().partition(" ")
        match mark:
            case "s":
                self.announced.add(name)
                self.refused.discard(name)
            case "a":
                self.acknowledged.add(name)
            case "f":
                self.refused.add(name)

    def unsettled(self) -> list[str]:
        """The ids that were sent and whose outcome nobody knows."""
        return sorted(self.announced - self.acknowledged - self.refused)

    def verdict(self, kills: int, found: Iterable[str]) -> Verdict:
        """Compare with what a reader found."""
        counts = Counter(found)
        return Verdict(
            kills=kills,
            acknowledged=len(self.acknowledged),
            unknown=len(self.unsettled()),
            found=len(counts),
            lost=tuple(sorted(self.acknowledged - counts.keys())),
            doubled=tuple(sorted(name for name, times in counts.items() if times > 1)),
            refused=tuple(sorted((self.refused - self.acknowledged) & counts.keys())),
            strange=tuple(sorted(counts.keys() - self.announced)),
        )
