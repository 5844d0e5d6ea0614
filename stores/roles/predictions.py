"""The predictions given: read back by id, by user and by player; recorded by gateways through their journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from stores.domain.predictions import PredictionRecord
    from stores.errors import RiftlineError


class Predictions(Protocol):
    """The predictions given. When `record` returns, the row is on the server's disk and survives its kill -9.

    A crash of this process loses only rows whose `record` had not returned. A row is never doubled: its id is its key,
    so a write whose outcome is unknown is simply repeated. Belongs to one event loop; any number of callers at once.

    The histories come newest first, in pages: ``before`` is the id of the last prediction seen, ``limit`` the size of
    the page. They may be seconds behind what was recorded, unless ``after`` is a `mark` that was taken since.
    """

    async def record(self, record: PredictionRecord) -> None:
        """Store one prediction; what is recorded at the same time shares its commit. A known id is left as it is.

        Raises InvalidError for a row that cannot be stored (its neighbours are), OverloadedError when too many wait,
        TransientError when the server stayed away, OutcomeUnknownError when the row may have been stored. A caller that
        is cancelled does not take its row back.
        """
        ...

    async def record_many(self, records: Sequence[PredictionRecord]) -> list[RiftlineError | None]:
        """Store many, each failing alone: the error of each record in order, None where it is durable."""
        ...

    async def get(self, prediction_id: UUID) -> PredictionRecord:
        """One prediction, whenever it was recorded; one that may still be on its way from a gateway is waited for.

        Raises NotFoundError, after some seconds for the id of a moment ago, and InvalidError for an id of another kind.
        """
        ...

    async def history(
        self, user_id: UUID, *, before: UUID | None = None, limit: int = 50, after: int | None = None
    ) -> tuple[PredictionRecord, ...]:
        """What this user asked. Raises InvalidError for a limit or a cursor out of range."""
        ...

    async def history_of_player(
        self, player_name: str, *, before: UUID | None = None, limit: int = 50, after: int | None = None
    ) -> tuple[PredictionRecord, ...]:
        """What was asked of this player, alone or among others, by the exact name of the question."""
        ...

    async def mark(self) -> int:
        """Stands for all that is recorded by now; give it to whoever must see it, in this process or in another."""
        ...

    async def count(self) -> int:
        """How many predictions are stored; reads all of them."""
        ...

    async def ping(self) -> None:
        """Ask the server for nothing. Raises TransientError while it does not answer."""
        ...

    async def drain(self) -> None:
        """Wait until nothing is queued; call it before the connection is closed."""
        ...
