"""One attempt to commit, and many: who is second looks again and tries again, until the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from pyiceberg.table.update import AssertTableUUID

from stores.backoff import pauses_s
from stores.errors import ConflictError, OutcomeUnknownError, TransientError
from stores.lake.translation import Places, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table

T = TypeVar("T")

FIRST_PAUSE_S, MOST_PAUSE_S = 0.02, 1.0  # a commit on one machine takes about 0.03 s


class SettledConflictError(ConflictError):
    """A conflict that another attempt cannot settle."""


def commit_once(table: Table, transaction: Any, places: Places) -> None:
    """Commit in one attempt. Raises ConflictError when another writer was first, and OutcomeUnknownError.

    pyiceberg's own commit tries again by itself, without a look at what was committed meanwhile, and on a conflict it
    deletes manifests that a commit whose answer was lost may refer to.
    """
    requirements = (*transaction._requirements, AssertTableUUID(uuid=table.metadata.table_uuid))  # noqa: SLF001
    with translated(places, ".".join(table.name()), committing=True):
        table._do_commit(transaction._updates, requirements)  # noqa: SLF001


def retried(attempt: Callable[[], T], within_s: float) -> T:
    """What ``attempt`` returns. It is called again after every error that a later call may not have.

    It must find out by itself whether an earlier call was done after all. When the time is up, the last error is
    raised, as OutcomeUnknownError if the outcome of any attempt is unknown.
    """
    deadline = time.monotonic() + within_s
    unknown = False
    pauses = pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, float("inf"))
    while True:
        try:
            return attempt()
        except SettledConflictError:
            raise
        except (ConflictError, TransientError, OutcomeUnknownError) as error:
            unknown = unknown or isinstance(error, OutcomeUnknownError)
            pause_s = next(pauses)
            if time.monotonic() + pause_s > deadline:
                raise (OutcomeUnknownError if unknown else type(error))(*error.args) from error
        time.sleep(pause_s)
