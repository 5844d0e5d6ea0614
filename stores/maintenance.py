"""The upkeep that no request does: roll up, fold and age what PostgreSQL holds; join, expire and tidy the lake's files.

Everything may be repeated, cut short, and run from many processes at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from stores.domain.models import DeploymentStatus
from stores.errors import NotFoundError
from stores.features.tables import (
    CHAMPIONS_SNAPSHOT,
    PLAYER_SNAPSHOTS,
    SILVER_SNAPSHOT,
    TEAMS_SNAPSHOT,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.tables import Layer
from stores.postgres.partitions import drop_expired, ensure_partitions
from stores.postgres.prediction_metrics import PostgresPredictionMetrics
from stores.postgres.time_series import PostgresTimeSeries
from stores.postgres.user_sessions import PostgresUserSessions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from stores.lake.tables import LakeTable
    from stores.postgres.pool import Pool
    from stores.roles.lake import Lake
    from stores.roles.model_registry import ModelRegistry

PURGED_AT_ONCE = 1000  # sessions of one transaction: their rows are locked for milliseconds
SNAPSHOTS_KEPT, LAST_SNAPSHOTS = timedelta(days=30), 10
ORPHANS_GRACE = timedelta(days=1)  # longer than any job that writes files before it commits them
_NAMED_BY_PLAYERS = (SILVER_SNAPSHOT, TEAMS_SNAPSHOT, TOURNAMENTS_SNAPSHOT, CHAMPIONS_SNAPSHOT)


async def maintain_database(pool: Pool, now: datetime) -> list[str]:
    """Sum up what is old, then drop it; returns what was done, for people. Call it hourly.

    The first step that fails raises and ends the run, so nothing is dropped that was not summed up. Each step locks
    out its like in other processes by itself, so that one connection is enough.
    """
    hours = await PostgresPredictionMetrics(pool).rollup(now)
    await PostgresTimeSeries(pool).downsample(now)
    made = await ensure_partitions(pool, now)
    dropped = await drop_expired(pool, now)
    return [
        f"{hours} hours rolled up",
        f"time series folded up to {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        f"{len(made)} partitions made",
        f"{len(dropped)} partitions dropped",
        f"{await _purge_sessions(pool, now)} expired sessions removed",
    ]


async def snapshots_in_use(registry: ModelRegistry, lake: Lake) -> frozenset[int]:
    """The snapshots that must not expire: those of models that are not deprecated, and those of the newest features.

    Each stands for the snapshots of the other tables that its features were made with.
    """
    models = await registry.list()
    used = {one.lake_snapshot_id for one in models if one.deployment_status is not DeploymentStatus.DEPRECATED}
    return await asyncio.to_thread(_with_named, lake, used)


def maintain_lake(lake: Lake, tables: Sequence[LakeTable], keep: Collection[int], now: datetime) -> list[str]:
    """Join small files, forget old snapshots but those of ``keep``, and remove files that nothing needs; blocks.

    ``keep`` is `snapshots_in_use`. Returns what was done to each table, for people. Safe beside writers.
    """
    return [f"{table.identifier}: {_maintain_table(lake, table, keep, now)}" for table in tables]


async def _purge_sessions(pool: Pool, now: datetime) -> int:
    sessions, purged, last = PostgresUserSessions(pool), 0, PURGED_AT_ONCE
    while last == PURGED_AT_ONCE:
        last = await sessions.purge_expired(now, PURGED_AT_ONCE)
        purged += last
    return purged


def _with_named(lake: Lake, used: Iterable[int]) -> frozenset[int]:
    found = set(used)
    with suppress(NotFoundError):  # no features yet
        newest = lake.snapshot_id(PLAYER_SNAPSHOTS)
        found |= set() if newest is None else {newest}
    for snapshot_id in tuple(found):
        with suppress(NotFoundError):  # it expired while nobody kept it
            summary = lake.summary(PLAYER_SNAPSHOTS, snapshot_id)
            found |= {int(summary[name]) for name in _NAMED_BY_PLAYERS if name in summary}
    return frozenset(found)


def _maintain_table(lake: Lake, table: LakeTable, keep: Collection[int], now: datetime) -> str:
    try:
        lake.snapshot_id(table)
    except NotFoundError:
        return "not made yet"
    # Silver and gold are few files already, and a joined snapshot would not say what it was made from.
    joined = lake.compact(table) if table.layer is Layer.BRONZE else 0
    expired = lake.expire(table, now=now, keep_for=SNAPSHOTS_KEPT, keep_last=LAST_SNAPSHOTS, keep=keep)
    removed = lake.remove_orphans(table, now=now, grace=ORPHANS_GRACE)
    return f"{joined} files joined, {expired} snapshots expired, {removed} files removed"
