"""The lake: tables of rows in snapshots, for everything that is read in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    import pyarrow as pa

    from stores.domain.lake_commits import Commit, Position, Step
    from stores.domain.row_filters import OneOf, RowFilter
    from stores.lake.tables import LakeTable


class Lake(Protocol):
    """An open catalog of tables and the warehouse of their files.

    Every change is one snapshot, taken by a compare-and-swap in the catalog: a reader sees the table before or after
    it, never between, and a process that is killed at any moment leaves nothing but files that nothing refers to. What
    a call returned after is kept. Safe to open in every process and to use from threads; no lock is held between calls.

    Every call blocks, within a deadline: one that waits for a paused server ends with an error. Raised are
    TransientError while the catalog or the warehouse does not answer (nothing was changed), InvalidError when one of
    them refuses the login, NotFoundError for a table that was not made, and ConflictError and OutcomeUnknownError where
    they are named. Places are named in messages, passwords never.
    """

    @property
    def address(self) -> str:
        """Where catalog and warehouse are, for people. No user, no password."""
        ...

    @property
    def warehouse(self) -> str:
        """The URI below which all files lie."""
        ...

    @property
    def catalog_kwargs(self) -> dict[str, str]:
        """The properties by which another library opens the same catalog. They may hold passwords."""
        ...

    def ping(self) -> None:
        """Ask the catalog for nothing. Raises TransientError while it does not answer."""
        ...

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        ...

    def ensure(self, tables: Sequence[LakeTable]) -> None:
        """Bring these tables to their declarations: made when missing, else evolved. Safe from many processes at once.

        A column can be added (null in older rows), widened (int32 to int64, float to double, a decimal's precision),
        and renamed where the table declares it; the order is of no matter. Raises InvalidError naming table and column
        for anything else. Older snapshots stay readable, under the present names and types.
        """
        ...

    def append(
        self, table: LakeTable, rows: pa.Table, *steps: Step, properties: Mapping[str, str] | None = None
    ) -> Commit:
        """Add rows as the next step of one or more writers, exactly once, with ``properties`` of the snapshot.

        Rows and positions become visible together. If the table is past these steps already, nothing is changed and the
        earlier commit is returned, also when another process made it at the same moment. A commit that met another
        one, or whose outcome was unknown, is looked up and tried again.

        Raises ConflictError when a step starts neither where its writer's position is nor is done: another incarnation
        of the writer went on, resume from `positions`. Raises OutcomeUnknownError when the servers stayed away too
        long: the same call later gives the answer. Raises InvalidError for rows that do not fit, naming the column.
        """
        ...

    def positions(self, table: LakeTable) -> Mapping[str, Position]:
        """How far each writer is. Kept for ever: neither expiry nor clearing touches it."""
        ...

    def read(
        self,
        table: LakeTable,
        *,
        columns: Sequence[str] | None = None,
        where: RowFilter = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """The rows as of a snapshot or of now, with the declared columns and types, in no order.

        Raises NotFoundError for an unknown snapshot and InvalidError for a column that the table has not.
        """
        ...

    def values(self, table: LakeTable, column: str) -> frozenset[str]:
        """The values of an identity partition column, from metadata alone."""
        ...

    def snapshot_id(self, table: LakeTable) -> int | None:
        """The newest snapshot, None while the table is empty."""
        ...

    def snapshot_at(self, table: LakeTable, moment: datetime) -> int | None:
        """The snapshot that was the newest at a moment (to the millisecond); None when the table was empty then.

        Raises NotFoundError when what was the newest then has expired.
        """
        ...

    def summary(self, table: LakeTable, snapshot_id: int | None = None) -> Mapping[str, str]:
        """The properties that a snapshot (by default the newest) was committed with; empty while the table is empty."""
        ...

    def clear(self, table: LakeTable, properties: Mapping[str, str]) -> None:
        """Remove all rows in one commit. Raises ConflictError and OutcomeUnknownError as `committing` does."""
        ...

    def delete(self, table: LakeTable, where: OneOf) -> None:
        """Remove the matching rows in one commit. Raises ConflictError and OutcomeUnknownError as `committing` does."""
        ...

    def committing(self, table: LakeTable) -> AbstractContextManager[None]:
        """Around a commit by another library.

        Raises ConflictError if another writer was first: then nothing was changed. Raises OutcomeUnknownError if the
        catalog did not answer: then the table's newest snapshot tells.
        """
        ...

    def compact(self, table: LakeTable) -> int:
        """Write the small files of each partition again as few; how many were replaced. The rows stay as they are.

        Safe beside writers: an append is never refused because of it. Raises ConflictError, and changes nothing, when
        rows of those files were removed meanwhile.
        """
        ...

    def expire(
        self, table: LakeTable, *, now: datetime, keep_for: timedelta, keep_last: int = 1, keep: Collection[int] = ()
    ) -> int:
        """Forget snapshots older than ``keep_for``, but never the newest ``keep_last``; how many were forgotten.

        ``keep`` names those that someone refers to, as released models do. Files are not touched.
        """
        ...

    def remove_orphans(self, table: LakeTable, *, now: datetime, grace: timedelta) -> int:
        """Delete the table's files that no snapshot refers to; how many.

        What is younger than ``grace`` stays: it may belong to a commit under way. What an expired snapshot needs stays
        as long after its expiry, for its readers. Raises InvalidError for less than an hour. Never looks outside of
        the table's own folder.
        """
        ...
