"""Answers on their way through a gateway's journal into Debian's PostgreSQL."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from serve_apps.destinations import Destinations
from serve_apps.write_behind import WriteBehind, encoded, opened_write_behind
from stores.postgres.pool import open_pool
from tests.examples import a_prediction
from tests.faults.postgres_target import PostgresTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.target import Writes

DELIVERED_WITHIN_S = 120.0


class _RecordWrites:
    """Acknowledged is what the journal holds, wherever PostgreSQL is at that moment."""

    def __init__(self, behind: WriteBehind, stack: AsyncExitStack) -> None:
        self._behind = behind
        self._stack = stack

    async def write(self, name: str) -> None:
        await self._behind.add([encoded(a_prediction(prediction_id=UUID(name)))])

    async def close(self) -> None:
        await self._stack.aclose()


class WriteBehindTarget(PostgresTarget):
    """The server and the gateway are killed in turns: between record and delivery, and in the middle of a delivery."""

    name = "write-behind"

    def options(self, folder: Path) -> dict[str, str]:
        """The server's URL and the folder of the journals."""
        return super().options(folder) | {"journals": str(folder / "journal")}

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Takes over the journal of the writer before it, and delivers what that left."""
        return _RecordWrites(*await _opened(options))

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Every stored prediction, once the journals are delivered."""
        behind, stack = await _opened(options)
        await behind.flush(DELIVERED_WITHIN_S)
        await stack.aclose()
        return await super().found(options)


async def _opened(options: dict[str, str]) -> tuple[WriteBehind, AsyncExitStack]:
    stack = AsyncExitStack()
    pool = await open_pool(options["url"], 2)
    stack.push_async_callback(pool.close)
    behind = await stack.enter_async_context(opened_write_behind(Destinations(Path(options["journals"])), pool))
    return behind, stack
