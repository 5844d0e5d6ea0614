"""Which server answers a read: the replica while it is near enough, else the primary."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from stores.errors import TransientError
from stores.postgres.pool import Deadlines, Pool, create_pool, open_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import asyncpg

T = TypeVar("T")

REPLICA_DEADLINES = Deadlines(connect_s=2.0, acquire_s=3.0, statement_s=5.0)  # then the primary answers
MAX_BEHIND_S = 10.0  # of a read that asks for nothing fresher
REPLICA_VARIABLE = "RIFTLINE_DATABASE_REPLICA_URL"
LOOK_S = 1.0  # how often both servers are asked for their positions
AVOIDED_S = 5.0  # after a failure, so that not every read waits for it
_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END"
_log = logging.getLogger(__name__)


async def open_database(url: str, replica_url: str, size: int) -> Pool:
    """Connect to ``url`` as `open_pool` does, with reads from ``replica_url`` unless that is empty.

    A replica that does not answer is used when it comes. Raises InvalidError when its URL or login is wrong.
    """
    primary = await open_pool(url, size)
    if not replica_url:
        return primary
    try:
        replica = await open_pool(replica_url, size, REPLICA_DEADLINES, REPLICA_VARIABLE)
    except TransientError as error:
        _log.warning("reads go to the primary until the replica answers: %s", error)
        replica = await create_pool(replica_url, size, REPLICA_DEADLINES, REPLICA_VARIABLE)
    except BaseException:
        await primary.close()
        raise
    return RoutedPool(primary, replica)


class RoutedPool(Pool):
    """A primary and its streaming replica. Writes go to the primary; a read goes to the replica while that is near.

    A read fails only when the primary fails too: when the replica is down, too far behind, promoted, or cancels the
    read, the primary answers it. While the primary is down, the replica goes on answering.
    """

    def __init__(self, primary: Pool, replica: Pool, max_behind_s: float = MAX_BEHIND_S) -> None:
        super().__init__(primary.connections, primary.address, primary.acquire_s)
        self._replica = replica
        self._max_behind_s = max_behind_s
        self._positions: deque[tuple[float, int]] = deque()  # of the primary, each with its moment
        self._looking = asyncio.Lock()
        self._look_at = 0.0  # moments of the monotonic clock
        self._avoid_until = 0.0
        self._near = False

    async def read(self, ask: Callable[[asyncpg.Connection], Awaitable[T]], after: int | None = None) -> T:
        """As `Pool.read`. With ``after`` the replica is used only when it has replayed that far."""
        if await self._is_near():
            try:
                return await self._replica.read(lambda connection: _ask(connection, ask, after))
            except _BehindError:
                pass
            except TransientError as error:
                self._avoid(error)
        return await super().read(ask)

    async def close(self) -> None:
        """Close every connection to both."""
        await self._replica.close()
        await super().close()

    async def _is_near(self) -> bool:
        now = time.monotonic()
        if now < self._avoid_until:
            return False
        if now >= self._look_at and not self._looking.locked():  # the others go on with the last look's verdict
            async with self._looking:
                await self._look()
        return self._near and time.monotonic() >= self._avoid_until

    async def _look(self) -> None:
        """Ask both where they are. While the primary is silent, the last verdict stands: it is all there is."""
        try:
            try:
                position = await self.position()
            except TransientError:
                position = None
            replayed = await self._replica.read(lambda connection: connection.fetchval(_REPLAYED))
        except TransientError as error:
            self._avoid(error)
            return
        now = self._look_at = time.monotonic()
        self._look_at += LOOK_S
        while self._positions and now - self._positions[0][0] > self._max_behind_s:
            self._positions.popleft()
        if position is not None:
            self._positions.append((now, position))
        if position is not None or replayed is None:
            self._near = replayed is not None and is_near(self._positions, int(replayed), now, self._max_behind_s)

    def _avoid(self, error: TransientError) -> None:
        if time.monotonic() >= self._avoid_until:
            _log.warning("reads go to the primary for %g s: %s", AVOIDED_S, error)
        self._avoid_until = time.monotonic() + AVOIDED_S


class _BehindError(Exception):
    """The replica has not replayed as far as the read needs."""


async def _ask(
    connection: asyncpg.Connection, ask: Callable[[asyncpg.Connection], Awaitable[T]], after: int | None
) -> T:
    if after is not None:
        replayed = await connection.fetchval(_REPLAYED)
        if replayed is None or replayed < after:
            raise _BehindError
    return await ask(connection)


def is_near(positions: Iterable[tuple[float, int]], replayed: int, now: float, within_s: float) -> bool:
    """Whether a replica that replayed so far holds all that the primary held ``within_s`` before ``now``.

    ``positions`` are moments and the primary's positions at them. The replica's own clock of replayed commits is no
    measure: it stands still while nothing is written, and while the replica is cut off.
    """
    return any(position <= replayed and now - at <= within_s for at, position in positions)
