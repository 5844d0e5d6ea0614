"""What makes an append to the lake happen once: the step of a writer that it stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stores.domain.checks import MAX_BIGINT
from stores.errors import InvalidError

_WRITER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True, slots=True)
class Step:
    """What one append adds: ``writer``'s work after position ``start`` up to position ``end``.

    A position is whatever grows with the work: the next offset of a topic's partition, a batch number, a watermark. The
    rows of a step must follow from its positions, whoever makes them. A writer is a lasting name (one per partition of
    a stream, not one per process): the table remembers the position of each for ever.
    """

    writer: str
    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse a name that cannot be a property's, and a step that goes nowhere."""
        if not _WRITER.fullmatch(self.writer):
            raise InvalidError(
                f"writer {self.writer[:50]!r} is no plain name; give up to 200 letters, digits and . _ - /", "writer"
            )
        if not 0 <= self.start < self.end <= MAX_BIGINT:
            raise InvalidError(
                f"the step of {self.writer} from {self.start} to {self.end} goes nowhere; 0 <= start < end", "end"
            )


@dataclass(frozen=True, slots=True)
class Position:
    """How far a writer's work is in a table, and the snapshot that brought it there."""

    end: int
    snapshot_id: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What an append did. ``repeated``: the rows were there already and nothing was changed.

    ``snapshot_id`` is the snapshot that added the rows; after later steps of the same writer and an expiry, the oldest
    of that writer that is still known to hold them.
    """

    snapshot_id: int
    repeated: bool
