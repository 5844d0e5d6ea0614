"""Every store that fault runs are made against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.analytics_target import ClickHouseTarget
from tests.faults.event_log_target import KafkaTarget, RedisStreamsTarget
from tests.faults.lake_target import LakeTarget
from tests.faults.postgres_target import PostgresTarget
from tests.faults.write_behind_target import WriteBehindTarget

if TYPE_CHECKING:
    from tests.faults.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        PostgresTarget(),
        WriteBehindTarget(),
        KafkaTarget(),
        RedisStreamsTarget(),
        ClickHouseTarget(),
        LakeTarget(),
    )
}
