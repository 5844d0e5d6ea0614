"""The predictions given, in PostgreSQL: many concurrent records become few commits."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stores.domain.checks import check_text
from stores.domain.prediction_id import created_at
from stores.domain.time_ids import moment_of
from stores.errors import (
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    RiftlineError,
    TransientError,
)
from stores.postgres.copying import CopiedRows, insert_once
from stores.postgres.fresh_ids import found_when_delivered
from stores.postgres.prediction_copy import COLUMNS, TABLE, encode
from stores.postgres.prediction_rows import SELECT, SELECT_OF_PLAYER, SELECT_OF_USER, record_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

MAX_BATCH = 1000  # about 10 ms of the server's time
MAX_QUEUED = 20_000  # about half a second of writing; beyond it a caller should hear that it is too much
MAX_PAGE = 200
MAX_NAME = 200  # the API takes shorter ones
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # about 3 s: a restart of the server is survived, a failover is not


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An encoded row and the caller that awaits its durability."""

    row: bytes
    done: asyncio.Future[None] = field(compare=False)


class PostgresPredictions:
    """`Predictions` in PostgreSQL."""

    def __init__(self, pool: Pool, retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S) -> None:
        self._pool = pool
        self._retry_delays_s = retry_delays_s
        self._queue: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def record(self, record: PredictionRecord) -> None:
        await self._enqueue(encode(record))

    async def record_many(self, records: Sequence[PredictionRecord]) -> list[RiftlineError | None]:
        outcomes = await asyncio.gather(*(self.record(record) for record in records), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, RiftlineError):
                raise outcome
        return [outcome if isinstance(outcome, RiftlineError) else None for outcome in outcomes]

    async def get(self, prediction_id: UUID) -> PredictionRecord:
        found = await found_when_delivered(self._look, [prediction_id])
        if prediction_id not in found:
            raise NotFoundError(f"there is no prediction {prediction_id}")
        return found[prediction_id]

    async def history(
        self, user_id: UUID, *, before: UUID | None = None, limit: int = 50, after: int | None = None
    ) -> tuple[PredictionRecord, ...]:
        return await self._page(SELECT_OF_USER, user_id, before, limit, after)

    async def history_of_player(
        self, player_name: str, *, before: UUID | None = None, limit: int = 50, after: int | None = None
    ) -> tuple[PredictionRecord, ...]:
        check_text(player_name, "player_name", MAX_NAME)
        return await self._page(SELECT_OF_PLAYER, player_name, before, limit, after)

    async def mark(self) -> int:
        return await self._pool.position()

    async def count(self) -> int:
        async with self._pool.transaction() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM prediction_requests"))

    async def ping(self) -> None:
        await self._pool.ping()

    async def drain(self) -> None:
        if self._writer is not None:
            await asyncio.shield(self._writer)

    async def _look(self, prediction_ids: Collection[UUID]) -> dict[UUID, PredictionRecord]:
        async with self._pool.transaction() as connection:
            rows = [await connection.fetchrow(SELECT, one, created_at(one)) for one in prediction_ids]
        return {row["prediction_id"]: record_of(row) for row in rows if row is not None}

    async def _page(
        self, statement: str, whose: UUID | str, before: UUID | None, limit: int, after: int | None
    ) -> tuple[PredictionRecord, ...]:
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidError(f"limit {limit} is not 1 to {MAX_PAGE}", "limit")
        moment = None if before is None else moment_of(before, "before", "the id of a prediction")
        rows = await self._pool.read(lambda it: it.fetch(statement, whose, moment, before, limit), after)
        return tuple(record_of(row) for row in rows)

    async def _enqueue(self, row: bytes) -> None:
        if len(self._queue) >= MAX_QUEUED:
            raise OverloadedError(f"{MAX_QUEUED} predictions wait for {self._pool.address}; try again later")
        waiting = _Waiting(row, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_queued())
        await waiting.done

    async def _write_queued(self) -> None:
        """Write batch after batch until the queue is empty: while one is under way, the next one gathers."""
        try:
            while self._queue:
                await self._write([self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))])
        finally:
            self._writer = None
            while self._queue:  # only when the task itself was cancelled: nobody may wait for ever
                _settle([self._queue.popleft()], TransientError("the writer of predictions was stopped"))

    async def _write(self, batch: list[_Waiting]) -> None:
        """Write one batch; when a row poisons it, halve it until that row fails alone."""
        try:
            await self._insert([waiting.row for waiting in batch])
        except InvalidError as error:
            if len(batch) == 1:
                _settle(batch, error)
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        except asyncio.CancelledError:
            _settle(batch, OutcomeUnknownError(f"the writer to {self._pool.address} was stopped during a write"))
            raise
        except Exception as error:  # noqa: BLE001  # a bug reaches every caller, none waits for ever
            _settle(batch, error)
        else:
            _settle(batch, None)

    async def _insert(self, rows: list[bytes]) -> None:
        """Insert in one transaction, repeated while the server is away. Inserting twice is the same as once."""
        unknown = False
        for delay_s in (*self._retry_delays_s, None):
            try:
                await insert_once(self._pool, [CopiedRows(TABLE, COLUMNS, rows)])
            except (TransientError, OutcomeUnknownError) as error:
                unknown = unknown or isinstance(error, OutcomeUnknownError)
                if delay_s is None:
                    raise (OutcomeUnknownError if unknown else type(error))(*error.args) from error
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads the replicas' retries
            else:
                return


def _settle(batch: list[_Waiting], error: Exception | None) -> None:
    for waiting in batch:
        if waiting.done.done():  # its caller was cancelled
            continue
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(type(error)(*error.args) if isinstance(error, RiftlineError) else error)
