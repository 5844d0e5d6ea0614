"""Ids that carry their moment: UUIDv7 (RFC 9562), so that new ids sort behind old ones.

A partitioned table's key must hold the time that it is partitioned by; made of the id, that time keeps an id unique.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from stores.errors import InvalidError
from stores.noise import Noise

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = 7
_VARIANT = 0b10
_BITS = (_VERSION << 76) | (_VARIANT << 62)  # which every id has
_FREE = ((1 << 76) - 1) ^ (0b11 << 62)  # of the 80 bits behind the moment

_noise = Noise(10)


def new_time_id(now: datetime) -> UUID:
    """A fresh id of the moment ``now``, cut to the millisecond. Raises InvalidError for a naive or pre-1970 time."""
    if now.tzinfo is None:
        raise InvalidError(f"the time {now} has no zone; give an aware time", "now")
    milliseconds = (now - _EPOCH) // _MILLISECOND
    if milliseconds < 0:
        raise InvalidError(f"the time {now} lies before 1970", "now")
    return UUID(int=milliseconds << 80 | int.from_bytes(_noise.take()) & _FREE | _BITS)


def moment_of(time_id: UUID, field: str, what: str = "an id that carries its moment") -> datetime:
    """The moment inside the id, to the millisecond. Raises InvalidError for a UUID of another kind."""
    try:
        if time_id.version == _VERSION:
            return _EPOCH + (time_id.int >> 80) * _MILLISECOND
    except OverflowError:  # 48 bits reach beyond the year 9999
        pass
    raise InvalidError(f"{time_id} is not {what} (UUIDv7)", field)
