"""All stores at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.operations.clickhouse import OperatedClickHouse
from cluster.operations.event_log import OperatedEventLog
from cluster.operations.lake import OperatedLake
from cluster.operations.operated import Problem
from cluster.operations.postgres import OperatedPostgres
from cluster.operations.redis_store import OperatedRedis
from cluster.operations.time_series import OperatedTimeSeries
from stores.errors import RiftlineError

if TYPE_CHECKING:
    from cluster.local import Steps
    from cluster.operations.operated import OperatedStore, StoreStatus
    from stores.settings import Settings


def all_stores(settings: Settings) -> tuple[OperatedStore, ...]:
    """Every store, in the order in which they are started, migrated and restored."""
    return (
        OperatedPostgres(settings.postgres),
        OperatedRedis(settings.redis),
        OperatedClickHouse(settings.clickhouse),
        OperatedTimeSeries(settings),
        OperatedEventLog(settings),
        OperatedLake(settings.lake),
    )


async def status_of_all(settings: Settings) -> list[StoreStatus]:
    """How every store is; one that is down delays none of the others."""
    return list(await asyncio.gather(*(store.status() for store in all_stores(settings))))


async def migrate_all(settings: Settings, steps: Steps) -> dict[str, list[str]]:
    """Bring every schema up to date; what was changed, by store. Stops at the first store that cannot be."""
    done = {}
    for store in all_stores(settings):
        steps.begin(store.name)
        done[store.name] = await store.migrate()
    return done


async def check_all(settings: Settings) -> list[Problem]:
    """What is wrong in any store; one that does not answer is a problem itself."""
    problems: list[Problem] = []
    for store in all_stores(settings):
        try:
            problems += await store.check()
        except RiftlineError as error:
            problems.append(Problem(store.name, str(error), "see `riftline stores status`"))
        except Exception as error:  # noqa: BLE001  # what breaks a check in one store hides nothing in the others
            problems.append(Problem(store.name, f"{type(error).__name__}: {error}", "restore a backup of this store"))
    return problems
