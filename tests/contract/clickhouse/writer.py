"""A process that records numbered events until it is killed, or delivers what such processes left.

``writer.py URL DATA_DIR SPILL_DIR FIRST``: after each call that returned, the numbers it recorded are printed. Event
number n has the id n and is of user n % 7. FIRST ``drain``: deliver everything, then print what is stored as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from stores.clickhouse.analytics import open_analytics
from stores.clickhouse.connection import clickhouse_at
from stores.clickhouse.migrate import migrate
from stores.domain.analytics import UserEvent
from stores.errors import RiftlineError
from stores.journal.journal import Bounds
from stores.settings import ClickHouseSettings

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
NO_MERGES = (  # they would hide what was stored twice
    "ALTER TABLE user_events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1,"
    " max_bytes_to_merge_at_min_space_in_pool = 1"
)
STORED = "SELECT toUInt32(reinterpretAsUInt128(reverse(UUIDStringToNum(toString(event_id))))) FROM user_events"


def event(number: int) -> UserEvent:
    """Event number so and so."""
    return UserEvent(
        event_id=UUID(int=number),
        event_time=NOON,
        session_id=str(number),
        event_type="t",
        event_category="c",
        event_action="a",
        user_id=UUID(int=number % 7),
    )


def say(line: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, data_dir: str, spill_dir: str, first: str) -> None:
    """Record for ever, or drain."""
    connection = clickhouse_at(ClickHouseSettings(Path(data_dir), Path(spill_dir), url), deadline_s=10)
    await migrate(connection)
    await connection.command(NO_MERGES)
    analytics = await open_analytics(connection, Path(spill_dir), Bounds(segment_age_s=0.01))
    if first == "drain":
        await analytics.flush(60)
        numbers = [row[0] for row in await connection.query(STORED)]
        ((counted,),) = await connection.query("SELECT sum(event_count) FROM user_activity_hourly")
        ((sessions,),) = await connection.query("SELECT sum(unique_sessions) FROM user_activity_hourly")
        say(json.dumps({"numbers": numbers, "counted": counted, "sessions": sessions}))
        await analytics.close()
        await connection.close()
        return
    number = int(first)
    while True:
        size = random.randrange(1, 30)  # noqa: S311  # many sizes
        try:
            await analytics.record_events([event(each) for each in range(number, number + size)])
        except RiftlineError as error:
            say(f"refused {error}")
            return
        say(f"{number} {size}")
        number += size
        await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
