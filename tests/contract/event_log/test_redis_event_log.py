"""What only Redis Streams need: numbered batches, removal by age, a server that keeps what it acknowledged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError
from stores.events.codec import EventCodec
from stores.events.records import Partition
from stores.events.registry import SchemaRegistry
from stores.events.topics import topic_named
from stores.redis_store.connection import RedisConnection, open_redis
from stores.redis_store.event_batches import NumberedBatches
from stores.redis_store.event_keys import FAMILIES, EventKeys
from stores.redis_store.event_log import RedisEventLog
from tests.contract.event_log.conftest import CLUSTER, STREAMS
from tests.contract.event_log.reading import owned, read
from tests.servers.redis import RedisServer, valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from stores.roles.event_log import EventLog
    from tests.contract.event_log.conftest import Opened

pytestmark = [
    pytest.mark.role("event_log"),
    pytest.mark.parametrize("implementation", [STREAMS, CLUSTER], indirect=True, scope="session"),
]

CODEC = EventCodec(SchemaRegistry())
LIVE = topic_named("live-matches")


@pytest.fixture
async def redis(opened: Opened) -> AsyncIterator[RedisConnection]:
    """One more connection to the server."""
    connection = await open_redis(opened.served.url)
    yield connection
    await connection.close()


async def test_a_batch_that_arrives_twice_or_late_is_appended_once(
    log: EventLog, opened: Opened, redis: RedisConnection, event: Callable[..., Any]
) -> None:
    """A repeat of the newest batch changes nothing, and an older one that was held up on its way comes too late."""
    partition = Partition(LIVE.name, 0)
    first, second = ([CODEC.encode(LIVE, event(match))] for match in ("first", "second"))
    producer = NumberedBatches(redis, EventKeys(opened.prefix), 0)
    for number, batch in ((1, first), (1, first), (3, second), (2, first), (3, second), (1, first)):
        await producer.append(partition, LIVE, number, batch)
    consumer = await opened.consumer(log)
    assert [record.key for record in await read(consumer, 2)] == [b"first", b"second"]
    assert (await consumer.positions())[partition] == 2


class _LosesAnswers:
    """A real connection on which the answer of every other call is lost after the server has done its work."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.address = connection.address
        self.is_cluster = connection.is_cluster
        self.calls = 0

    async def run(self, call: Any, **options: Any) -> Any:
        """Do it; then, every other time, say that nothing is known."""
        result = await self._connection.run(call, **options)
        self.calls += 1
        if self.calls % 2:
            raise OutcomeUnknownError("the answer was lost")
        return result


async def test_a_lost_answer_is_repeated_without_doubling(
    log: EventLog, opened: Opened, redis: RedisConnection, event: Callable[..., Any]
) -> None:
    """The script ran and its answer never came: the repeat is recognised and the call succeeds."""
    forgetful: Any = _LosesAnswers(redis)
    producer = RedisEventLog(forgetful, opened.prefix)
    for number in range(5):
        await producer.publish(LIVE.name, [event("m", number)])
    assert forgetful.calls == 10
    consumer = await opened.consumer(log)
    assert [record.offset for record in await read(consumer, 5)] == [0, 1, 2, 3, 4]
    assert set((await consumer.lag()).values()) == {0}


async def test_what_is_too_old_is_removed(
    log: EventLog, opened: Opened, redis: RedisConnection, event: Callable[..., Any]
) -> None:
    """Offsets go on where they were; a reader that comes late starts at the oldest record that is left."""
    await log.publish(LIVE.name, [event("one match", number) for number in range(250)])
    consumer = await opened.consumer(log)
    where = (await read(consumer, 250))[0].partition
    await consumer.seek({where: 0})
    short = replace(LIVE, retention=timedelta(days=-1))  # everything is older than tomorrow
    await NumberedBatches(redis, EventKeys(opened.prefix), 0).append(where, short, 0, [])
    await log.publish(LIVE.name, [event("one match", number) for number in range(250, 255)])
    assert [record.offset for record in await read(consumer, 5)] == list(range(250, 255))
    late = await opened.consumer(log, "late")
    await owned(late, LIVE.partitions)
    assert (await late.positions())[where] == 250
    assert (await late.lag())[where] == 5
    await late.seek({where: 3})
    assert (await late.positions())[where] == 250


async def test_young_records_stay(log: EventLog, opened: Opened, event: Callable[..., Any]) -> None:
    """Removal by age takes nothing that is younger than the retention."""
    await log.publish(LIVE.name, [event(f"m{number}") for number in range(20)])
    await log.ensure_topics()
    await log.publish(LIVE.name, [event("last")])
    assert len(await read(await opened.consumer(log), 21)) == 21


async def test_a_large_call_is_several_batches(log: EventLog, opened: Opened, event: Callable[..., Any]) -> None:
    """More records than one script may take, of one key, stay in order."""
    await log.publish(LIVE.name, [event("one match", number) for number in range(1203)])
    records = await read(await opened.consumer(log), 1203)
    assert [record.offset for record in records] == list(range(1203))
    assert [CODEC.decode(record).occurred_at for record in records] == sorted(
        CODEC.decode(record).occurred_at for record in records
    )


async def test_another_number_of_partitions_is_refused(log: EventLog, opened: Opened, redis: RedisConnection) -> None:
    """Its keys lie elsewhere: the error names the topic."""
    await redis.run(lambda client: client.set(EventKeys(opened.prefix).partitions(LIVE.name), 3))
    with pytest.raises(InvalidError, match="live-matches has 3 partitions"):
        await log.ensure_topics()


async def test_every_key_belongs_to_a_family(
    log: EventLog, opened: Opened, redis: RedisConnection, event: Callable[..., Any]
) -> None:
    """What the log writes is of the declared types, and nothing else is there under its prefix."""
    await log.publish(LIVE.name, [event()])
    consumer = await opened.consumer(log)
    await consumer.commit(dict.fromkeys(await owned(consumer, LIVE.partitions), 0))
    types = await redis.run(lambda client: _types(client, opened.prefix))
    assert set(types.values()) == {family.type for family in FAMILIES}
    for key, kind in types.items():
        suffix = key.partition("}")[2].partition(":")[2].partition(":")[0]
        family = {"": "log", "next": "log_next"}.get(suffix, f"log_{suffix}")
        assert {declared.name: declared.type for declared in FAMILIES}[family] == kind


@pytest.mark.usefixtures("served")
async def test_a_server_that_keeps_nothing_is_refused(event: Callable[..., Any], tmp_path: Path) -> None:
    """Without an append-only file and without replicas an acknowledgement would mean nothing."""
    server = RedisServer(valkey(), tmp_path, "--appendonly", "no")
    server.start()
    try:
        connection = await open_redis(server.url)
        with pytest.raises(InvalidError, match="appendonly"):
            await RedisEventLog(connection).ensure_topics()
        with pytest.raises(OutcomeUnknownError, match="0 of 1 replicas"):
            await RedisEventLog(connection, replicas=1, deadline_s=1.0).publish(LIVE.name, [event()])
        await connection.close()
    finally:
        server.stop()


async def test_a_lease_that_ran_out_is_taken(log: EventLog, opened: Opened, event: Callable[..., Any]) -> None:
    """A member whose task was stopped keeps nothing; the other reads on, and its late commit changes nothing."""
    await log.publish(LIVE.name, [event(f"m{number}") for number in range(10)])
    first: Any = await opened.consumer(log)
    await read(first, 10)
    first._keeper.cancel()  # noqa: SLF001  # as a task that never gets its turn
    second = await opened.consumer(log)
    assert len(await read(second, 10)) == 10
    with pytest.raises(ConflictError, match="another member"):
        await first.commit(await first.positions())
    told = await first.poll(1, 0.0)
    assert told.revoked
    await second.commit(await second.positions())


async def _types(redis: Any, prefix: str) -> dict[str, str]:
    return {key.decode(): (await redis.type(key)).decode() async for key in redis.scan_iter(match=f"log:{{{prefix}*")}
