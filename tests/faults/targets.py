"""Every store that fault runs are made against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.analytics_target import ClickHouseTarget
from tests.faults.event_log_target import KafkaTarget, RedisStreamsTarget
from tests.faults.lake_target import LakeTarget
from tests.faults.postgres_target import PostgresTarget

if TYPE_CHECKING:
    from tests.faults.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (PostgresTarget(), KafkaTarget(), RedisStreamsTarget(), ClickHouseTarget(), LakeTarget())
}
