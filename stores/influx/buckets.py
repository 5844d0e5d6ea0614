"""Buckets and tasks of InfluxDB, made where they are missing and set right where they differ."""

# mypy: allow-untyped-calls
# The client has types in some of its modules only.

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.patch_bucket_request import PatchBucketRequest
from influxdb_client.domain.patch_retention_rule import PatchRetentionRule
from influxdb_client.domain.post_bucket_request import PostBucketRequest
from influxdb_client.domain.task_create_request import TaskCreateRequest
from influxdb_client.domain.task_update_request import TaskUpdateRequest
from influxdb_client.service.buckets_service import BucketsService
from influxdb_client.service.tasks_service import TasksService

from stores.errors import InvalidError, NotFoundError
from stores.influx.connection import translated

if TYPE_CHECKING:
    from stores.influx.connection import InfluxConnection


DAY = timedelta(days=1)
SHARDS_PER_RETENTION = 90  # the server drops whole shards, and refuses to hold a retention shorter than one


async def ensure_bucket(connection: InfluxConnection, name: str, retention: timedelta) -> None:
    """Have the bucket with this retention. Idempotent, safe from many processes at once."""
    seconds = int(retention.total_seconds())
    shard_s = max(retention // SHARDS_PER_RETENTION // DAY, 1) * 86_400
    service = BucketsService(connection.client.api_client)
    bucket = await _bucket(connection, name)
    if bucket is None:
        request = PostBucketRequest(
            org_id=connection.org_id,
            name=name,
            retention_rules=[BucketRetentionRules(every_seconds=seconds, shard_group_duration_seconds=shard_s)],
        )
        with suppress(InvalidError), translated(connection.address):  # another process was first: looked at below
            await service.post_buckets_async(request)
        bucket = await _bucket(connection, name)
    if bucket is None:
        raise NotFoundError(f"{connection.address}: the bucket {name} could not be made; may this token make buckets?")
    if [rule.every_seconds for rule in bucket.retention_rules] != [seconds]:
        rule = PatchRetentionRule(every_seconds=seconds, shard_group_duration_seconds=shard_s)
        change = PatchBucketRequest(retention_rules=[rule])
        with translated(connection.address):
            await service.patch_buckets_id_async(bucket.id, change)


async def ensure_task(connection: InfluxConnection, name: str, flux: str) -> None:
    """Have one task of this name with this script. Idempotent; of two made at once the older one stays."""
    service = TasksService(connection.client.api_client)
    with translated(connection.address):
        tasks = await _tasks(connection, name)
        if not tasks:
            await service.post_tasks_async(TaskCreateRequest(org_id=connection.org_id, flux=flux, status="active"))
            tasks = await _tasks(connection, name)
        kept, *others = tasks
        if kept.flux != flux:
            await service.patch_tasks_id_async(kept.id, TaskUpdateRequest(flux=flux))
    for other in others:
        with suppress(NotFoundError), translated(connection.address):  # the other process deleted it
            await service.delete_tasks_id_async(other.id)


async def _bucket(connection: InfluxConnection, name: str) -> Any:
    with suppress(NotFoundError), translated(connection.address):
        found = await BucketsService(connection.client.api_client).get_buckets_async(
            name=name, org_id=connection.org_id
        )
        for bucket in found.buckets:
            return bucket
    return None


async def _tasks(connection: InfluxConnection, name: str) -> list[Any]:
    found = await TasksService(connection.client.api_client).get_tasks_async(name=name, org_id=connection.org_id)
    return sorted(found.tasks, key=lambda task: str(task.id))
