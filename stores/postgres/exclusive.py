"""Work that only one process does at a time, over all machines of a database."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from stores.errors import ConflictError, RiftlineError

if TYPE_CHECKING:
    import asyncpg

    from stores.postgres.pool import Pool

RETRAIN_LOCK = 0x52455452  # "RETR"
TAKE = "SELECT pg_try_advisory_xact_lock($1)"
STAY = "SET LOCAL idle_in_transaction_session_timeout = 0"  # the work may take hours, and asks nothing meanwhile


class Exclusive:
    """A lock of the database, held by an open transaction; behind PgBouncer too.

    The server takes it back when its holder ends, however that happens. It is lost with the connection as well: call
    `keep` before whatever must happen once. Belongs to the event loop of the pool.
    """

    def __init__(self, pool: Pool, lock: int, what: str) -> None:
        self._pool = pool
        self._lock = lock
        self._what = what
        self._held = AsyncExitStack()
        self._connection: asyncpg.Connection | None = None

    async def take(self) -> None:
        """Hold the lock from now on. Raises ConflictError while another process does."""
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._pool.transaction(readonly=True))
            if not await connection.fetchval(TAKE, self._lock):
                raise ConflictError(f"{self._what} runs already; wait for its end")
            await connection.execute(STAY)
            self._held, self._connection = stack.pop_all(), connection

    async def keep(self) -> None:
        """Make sure that the lock is still held; one that was lost is taken again. Raises as `take` does."""
        if self._connection is not None:
            with suppress(Exception):  # whatever it says, the connection is of no use
                await self._connection.execute("SELECT 1")
                return
        await self.release()
        await self.take()

    async def release(self) -> None:
        """Let the lock go. Idempotent; raises nothing, since a lost connection has let it go before."""
        held, self._held, self._connection = self._held, AsyncExitStack(), None
        with suppress(RiftlineError):
            await held.aclose()
