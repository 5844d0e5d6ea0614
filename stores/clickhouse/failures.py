"""The driver's errors in our words. ClickHouse's own texts quote rows and SQL, so only its codes and names are told."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stores.errors import InvalidError, OutcomeUnknownError, OverloadedError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG_LOGIN = frozenset({192, 193, 194, 497, 516})
WRONG_DATABASE = frozenset({81, 82})
TABLE_EXISTS = 57
_FULL = frozenset({202, 241, 243, 252, 745})  # too many queries, memory, disk, parts, server overloaded
_WRONG_ROWS = frozenset(
    # cannot parse, incorrect data, out of range, wrong type, null in a column that has none, violated constraint
    {6, 25, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 131, 190, 321, 349, 376, 407, 441, 469, 675, 676, 691}
)
_MISTAKES = frozenset({16, 36, 42, 44, 46, 47, 62, 115, 179, 215, 457, 552})  # in our SQL: told as they are
_NO_COLUMN, _NO_TABLE, _INCORRECT_DATA = 16, 60, 117
_MESSAGE = re.compile(r"DB::Exception: (?!Code: )")  # may be wrapped in others; values are quoted only behind it
_UNKNOWN_FIELD = "Unknown field found"


def code_of(error: BaseException | None) -> int | None:
    """The server's number of this error, None where the server said nothing."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


@contextmanager
def translated(address: str, *, writing: bool = False) -> Iterator[None]:
    """Turn the driver's errors inside the block into ours. ``writing``: a lost answer hides the outcome."""
    try:
        yield
    except RiftlineError:
        raise
    except Exception as error:
        translation = _translation(error, address, writing=writing)
        if translation is None:
            raise
        raise translation from error


def _translation(error: Exception, address: str, *, writing: bool) -> RiftlineError | None:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415  # loaded by the call that failed

    code = code_of(error)
    if not isinstance(error, (ClickHouseError, OSError)):
        return None
    if code is None:
        text = f"{address}: {_reason(error)}"
        return OutcomeUnknownError(text) if writing and not _refused(error) else TransientError(text)
    text = f"{address}: error {code} ({getattr(error, 'name', None) or 'unnamed'})"
    if code in _FULL:
        return OverloadedError(text)
    if code == _NO_TABLE or (writing and _lacks_column(error)):
        return TransientError(f"{text}: the schema is behind this release; run `riftline stores migrate`")
    if code in _WRONG_ROWS and writing:
        return InvalidError(text)
    return None if code in _MISTAKES or code in _WRONG_ROWS else TransientError(text)


def _lacks_column(error: Exception) -> bool:
    """Whether the table has no column of that name. Much else is incorrect data too, so the text decides."""
    if code_of(error) != _INCORRECT_DATA:
        return code_of(error) == _NO_COLUMN
    text = str(error)
    message = _MESSAGE.search(text)
    return message is not None and text.startswith(_UNKNOWN_FIELD, message.end())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "reason", None) or error.__cause__
        if not isinstance(error, BaseException):
            return


def _refused(error: Exception) -> bool:
    """Whether no connection came about, so that nothing can have happened."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError  # noqa: PLC0415  # the driver's transport

    return any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in _causes(error))


def _reason(error: Exception) -> str:
    """The innermost cause, which says what happened without the request around it."""
    innermost = list(_causes(error))[-1]
    return f"{type(innermost).__name__}: {innermost}"[:200]
