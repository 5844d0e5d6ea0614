"""Fields of PostgreSQL's binary COPY: a length, then big-endian bytes as the type's receive function wants them.

Source: PostgreSQL's manual, COPY, "Binary Format". Names, tournaments and versions come again and again, so the bytes
of texts are remembered. Every encoder raises InvalidError for what the server would refuse.
"""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
TEXT_OID, INTEGER_OID, FLOAT_OID = 25, 23, 701
MILLISECONDS_2000 = 946_684_800_000  # from 1970 to the server's epoch
MAX_LINE = 9999.99  # of NUMERIC(6, 2)
REMEMBERED = 4096  # texts; those of callers may have 2 kB
_DAYS_2000 = date(2000, 1, 1).toordinal()
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FAMILIES = {4: 2, 6: 3}
_LENGTH, _SHORT = struct.Struct(">i"), struct.Struct(">h")
_INTEGER, _BIGINT, _FLOAT = struct.Struct(">ii"), struct.Struct(">iq"), struct.Struct(">id")
_NUMERIC = struct.Struct(">4h")  # digits, weight, sign, scale; then the digits to the base of 10,000
_ARRAY = struct.Struct(">5i")  # dimensions, nulls, oid, elements, first index


def field(data: bytes) -> bytes:
    """These bytes as a field."""
    return _LENGTH.pack(len(data)) + data


@lru_cache(REMEMBERED)
def text(value: str | None) -> bytes:
    """A text, or null."""
    if value is None:
        return NULL
    if "\0" in value:
        raise InvalidError("a text holds a NUL character; leave it out")
    try:
        return field(value.encode())
    except UnicodeEncodeError:
        raise InvalidError("a text holds half a surrogate pair; give valid Unicode") from None


@lru_cache(REMEMBERED)
def several(*values: str | None) -> bytes:
    """Fields that follow one another, each a text or null; those that come together again and again."""
    return b"".join(map(text, values))


@lru_cache(REMEMBERED)
def texts(values: tuple[str, ...]) -> bytes:
    """An array of texts."""
    if not values:
        return field(struct.pack(">3i", 0, 0, TEXT_OID))
    return field(_ARRAY.pack(1, 0, TEXT_OID, len(values), 1) + b"".join(map(text, values)))


def line(value: float) -> bytes:
    """A line as NUMERIC(6, 2)."""
    if not 0 <= value <= MAX_LINE or round(value, 2) != value:
        raise InvalidError(f"{value} does not fit NUMERIC(6, 2)")
    whole, hundredths = divmod(round(value * 100), 100)
    digits = [whole, hundredths * 100] if hundredths else [whole] if whole else []
    return field(_NUMERIC.pack(len(digits), 0, 0, 2) + b"".join(map(_SHORT.pack, digits)))


def integer(value: int | None) -> bytes:
    """An INTEGER, or null."""
    return NULL if value is None else _INTEGER.pack(4, value)


def bigint(value: int | None) -> bytes:
    """A BIGINT, or null."""
    return NULL if value is None else _BIGINT.pack(8, value)


def double(value: float | None) -> bytes:
    """A DOUBLE PRECISION, to the bit, or null."""
    return NULL if value is None else _FLOAT.pack(8, value)


def uuid(value: UUID | None) -> bytes:
    """A UUID, or null."""
    return NULL if value is None else field(value.bytes)


def day(value: date | None) -> bytes:
    """A DATE, or null."""
    return NULL if value is None else _INTEGER.pack(4, value.toordinal() - _DAYS_2000)


def moment(value: datetime | None) -> bytes:
    """An aware time as TIMESTAMPTZ, or null."""
    return NULL if value is None else _BIGINT.pack(8, (value - _EPOCH) // _MICROSECOND)


def address(value: IPv4Address | IPv6Address | None) -> bytes:
    """An INET, or null."""
    if value is None:
        return NULL
    packed = value.packed
    return field(bytes((_FAMILIES[value.version], 8 * len(packed), 0, len(packed))) + packed)


def fields_of(row: bytes) -> Iterator[bytes | None]:
    """The fields of one tuple, null as None."""
    at = _SHORT.size
    for _ in range(_SHORT.unpack_from(row)[0]):
        (length,) = _LENGTH.unpack_from(row, at)
        at += _LENGTH.size
        yield None if length < 0 else row[at : at + length]
        at += max(length, 0)


def text_of(data: bytes | None) -> str | None:
    """Read back what `text` wrote."""
    return None if data is None else data.decode()


def texts_of(data: bytes) -> tuple[str, ...]:
    """Read back what `texts` wrote."""
    found, at = [], _ARRAY.size
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        found.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return tuple(found)


def line_of(data: bytes) -> float:
    """Read back what `line` wrote."""
    count, *_ = _NUMERIC.unpack_from(data)
    digits = struct.unpack_from(f">{count}h", data, _NUMERIC.size)
    return float(sum(digit / 10_000**at for at, digit in enumerate(digits)))


def day_of(data: bytes) -> date:
    """Read back what `day` wrote."""
    return date.fromordinal(_LENGTH.unpack(data)[0] + _DAYS_2000)


def address_of(data: bytes) -> IPv4Address | IPv6Address:
    """Read back what `address` wrote."""
    return ip_address(data[4:])
