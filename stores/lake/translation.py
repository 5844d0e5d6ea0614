"""The errors of pyiceberg, its catalogs and its file systems, turned into ours."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg import exceptions as iceberg
from sqlalchemy.exc import DBAPIError

from stores.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    RiftlineError,
    TransientError,
)
from stores.lake.warehouse import is_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED_LOGIN = re.compile(
    r'FATAL: +(password authentication failed|no pg_hba.conf entry|(role|database) "[^"]*" does not exist)'
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the catalog and the warehouse are, for people."""

    catalog: str
    warehouse: str


@contextmanager
def translated(places: Places, subject: str, *, committing: bool = False) -> Iterator[None]:
    """Turn the errors inside the block into ours. ``committing``: a server that is lost hides the outcome."""
    try:
        yield
    except RiftlineError:
        raise
    except Exception as error:
        translation = _translation(error, places, subject, committing=committing)
        if translation is None:
            raise
        raise translation from error


def _translation(  # noqa: PLR0911  # one line per kind of error
    error: Exception, places: Places, subject: str, *, committing: bool
) -> RiftlineError | None:
    lost = OutcomeUnknownError if committing else TransientError
    match error:
        case iceberg.CommitFailedException() | iceberg.ValidationException():
            return ConflictError(f"{subject} was changed by another writer; try again")
        case iceberg.CommitStateUnknownException():
            return OutcomeUnknownError(f"it is unknown whether {subject} was changed; look first")
        case iceberg.NoSuchTableError() | iceberg.NoSuchNamespaceError():
            return NotFoundError(f"the lake has no table {subject}; run `riftline ingest` first")
        case iceberg.UnauthorizedError() | iceberg.ForbiddenError() | iceberg.OAuthError():
            return InvalidError(f"the lake catalog at {places.catalog} refuses the login", "RIFTLINE_CATALOG_URI")
        case iceberg.BadRequestError():
            return InvalidError(f"the lake catalog at {places.catalog} refuses {subject}: {error}")
        case iceberg.RESTError():
            return lost(_lost_text(places, subject, str(error), committing=committing))
        case DBAPIError():
            return _of_database(error, places, subject, committing=committing)
        case OSError():
            return _of_files(error, places, subject, committing=committing)
    return None  # a mistake of ours stays what it is


def _of_database(error: DBAPIError, places: Places, subject: str, *, committing: bool) -> RiftlineError:
    reason = str(error.orig).strip()
    if _REFUSED_LOGIN.search(reason):
        return InvalidError(f"the lake catalog at {places.catalog} refuses the login", "RIFTLINE_CATALOG_URI")
    lost = OutcomeUnknownError if committing else TransientError
    return lost(_lost_text(places, subject, reason, committing=committing))


def _of_files(error: OSError, places: Places, subject: str, *, committing: bool) -> RiftlineError:
    if type(error).__module__.startswith("requests"):
        lost = OutcomeUnknownError if committing else TransientError
        return lost(_lost_text(places, subject, type(error).__name__, committing=committing))
    reason = str(error)
    if is_refusal(error):
        return InvalidError(f"the warehouse {places.warehouse} refuses access: {reason}", "RIFTLINE_WAREHOUSE")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{subject} needs a file that the warehouse {places.warehouse} has not: {reason}")
    return TransientError(f"{subject}: the warehouse {places.warehouse} does not answer or is full: {reason}")


def _lost_text(places: Places, subject: str, reason: str, *, committing: bool) -> str:
    outcome = f"it is unknown whether {subject} was changed; " if committing else ""
    return f"{outcome}the lake catalog at {places.catalog} does not answer: {reason}"
