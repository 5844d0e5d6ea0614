"""What every store can hold: refused here, naming the field, before any server sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

MAX_JSON_BYTES = 65_536  # a document, not a file
MAX_JSON_KEY = 255
MAX_JSON_DEPTH = 50  # orjson ends at 254, PostgreSQL at its stack
MAX_INTEGER = 2**31 - 1  # of PostgreSQL's INTEGER
MAX_BIGINT = 2**63 - 1


def check_text(text: str | None, field: str, most: int, *, blank: bool = True) -> None:
    """Refuse a text longer than ``most`` characters, NUL, what is not UTF-8 and, without ``blank``, emptiness."""
    if text is None:
        return
    if not isinstance(text, str):
        raise InvalidError(f"{field} is a {type(text).__name__}; give a text", field)
    if not blank and not text.strip():
        raise InvalidError(f"{field} is blank; give at least one character", field)
    if len(text) > most:
        raise InvalidError(f"{field} has {len(text)} characters; at most {most}", field)
    if "\0" in text:
        raise InvalidError(f"{field} holds a NUL character; leave it out", field)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidError(f"{field} holds half a surrogate pair; give valid Unicode", field) from None


def check_texts(texts: Iterable[str], field: str, most: int) -> None:
    """`check_text` of each entry, none of them blank; the field is the path of the wrong one (``dependencies.0``)."""
    for index, text in enumerate(texts):
        check_text(text, f"{field}.{index}", most, blank=False)


def check_aware(moment: datetime | None, field: str) -> None:
    """Refuse a time without a zone: every server would guess another one."""
    if moment is not None and moment.utcoffset() is None:
        raise InvalidError(f"{field} {moment} has no zone; give an aware time", field)


def check_number(number: float | None, field: str, least: float, most: float) -> None:
    """Refuse what lies outside of [least, most], and NaN."""
    if number is not None and not least <= number <= most:
        raise InvalidError(f"{field} is {number}; give {least:g} to {most:g}", field)


def check_address(address: IPv4Address | IPv6Address | None, field: str) -> None:
    """Refuse an IPv6 address with a zone (``fe80::1%eth0``): it means something on one machine alone."""
    if getattr(address, "scope_id", None) is not None:
        raise InvalidError(f"{field} {address} has a zone; give the address alone", field)


def check_object(value: object, field: str) -> None:
    """Refuse what is not a JSON object, as `check_json` does for what it holds."""
    if not isinstance(value, dict):
        raise InvalidError(f"{field} is a {type(value).__name__}; give a mapping", field)
    check_json(value, field)


def check_json(value: Any, field: str) -> None:
    """Refuse what is not read back as it was written: other types, NaN, wrong texts, endless numbers, too much of it.

    The messages name paths, never values: a document may be a secret.
    """
    _check_json_value(value, field, 0)
    size = len(orjson.dumps(value))
    if size > MAX_JSON_BYTES:
        raise InvalidError(f"{field} has {size} bytes as JSON; at most {MAX_JSON_BYTES}", field)


def _check_json_value(value: Any, path: str, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise InvalidError(f"{path} is nested deeper than {MAX_JSON_DEPTH}; flatten it", path)
    match value:
        case None | bool():
            pass
        case str():
            check_text(value, path, MAX_JSON_BYTES)
        case int() | float():
            _check_json_number(value, path)
        case dict():
            for key, entry in value.items():
                check_text(key, f"{path} (a key)", MAX_JSON_KEY)
                _check_json_value(entry, f"{path}.{key}", depth + 1)
        case list():
            for index, entry in enumerate(value):
                _check_json_value(entry, f"{path}.{index}", depth + 1)
        case _:
            raise InvalidError(f"{path} is a {type(value).__name__}, which JSON does not know", path)


def _check_json_number(number: float, path: str) -> None:
    if isinstance(number, int) and not -(2**63) <= number < 2**64:
        raise InvalidError(f"{path} is beyond 64 bits; give it as a text", path)
    if not math.isfinite(number):
        raise InvalidError(f"{path} is not a finite number; leave it out", path)
