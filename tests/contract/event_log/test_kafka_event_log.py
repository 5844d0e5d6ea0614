"""What only Kafka has: settings of topics, lists of brokers, the driver's threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from stores.errors import InvalidError, OutcomeUnknownError, TransientError
from stores.events.topics import ALL_TOPICS, TOPICS
from stores.kafka_log.connection import KafkaConnection, open_kafka
from stores.kafka_log.event_log import KafkaEventLog
from tests.contract.event_log.reading import read, until
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.roles.event_log import EventLog
    from tests.contract.event_log.conftest import Opened

pytestmark = [
    pytest.mark.role("event_log"),
    pytest.mark.parametrize("implementation", ["kafka"], indirect=True, scope="session"),
]


def _with_admin(url: str, ask: Callable[[Any], Any]) -> Any:
    admin = KafkaConnection(url, 10.0).admin()
    try:
        return ask(admin)
    finally:
        admin.close()


async def test_topics_have_the_declared_partitions_and_retention(log: EventLog, opened: Opened) -> None:
    """Every topic and its dead letters, as `TOPICS` says: partitions, seven days, removal by age."""
    await log.ensure_topics()
    names = {opened.prefix + topic.name: topic for topic in ALL_TOPICS}
    found = _with_admin(opened.served.url, lambda admin: admin.describe_topics(list(names)))
    assert {topic["name"]: len(topic["partitions"]) for topic in found} == {
        name: topic.partitions for name, topic in names.items()
    }
    settings = await asyncio.to_thread(_configs, opened.served.url, list(names))
    assert {name: settings[name]["retention.ms"] for name in names} == dict.fromkeys(names, str(7 * 86_400_000))
    assert {settings[name]["cleanup.policy"] for name in names} == {"delete"}


async def test_a_changed_retention_is_set_back(log: EventLog, opened: Opened) -> None:
    """What somebody changed on the server is brought back to what is declared."""
    name = f"{opened.prefix}live-matches"
    changed = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})
    await asyncio.to_thread(_with_admin, opened.served.url, lambda admin: admin.alter_configs([changed]))
    await until(lambda: _retains(opened.served.url, name, "1000"))
    await log.ensure_topics()
    await until(lambda: _retains(opened.served.url, name, str(7 * 86_400_000)))


async def test_another_number_of_partitions_is_refused(opened: Opened) -> None:
    """Its keys lie elsewhere: the topic is left as it is and the error names it."""
    name = f"{opened.prefix}{TOPICS[0].name}"
    made = {name: {"num_partitions": 3, "replication_factor": 1}}
    await asyncio.to_thread(_with_admin, opened.served.url, lambda admin: admin.create_topics(made))
    with pytest.raises(InvalidError, match=f"{name} has 3 partitions"):
        await (await opened.log()).ensure_topics()


async def test_topics_that_are_not_made_are_an_error_in_time(opened: Opened, event: Callable[..., Any]) -> None:
    """Nothing is made in passing: publishing and reading say what is missing."""
    log = await opened.log(deadline_s=2.0)
    with pytest.raises(TransientError, match="topics made"):
        await log.publish("live-matches", [event()])
    with pytest.raises(TransientError, match="topics made"):
        await log.consumer("group", ["live-matches"])


@pytest.mark.parametrize(
    "servers", ["", "localhost", "localhost:", "localhost:0", "localhost:99999", "a b:1", "kafka://x:9092", "x:1,,y:1"]
)
@pytest.mark.usefixtures("served")
async def test_a_wrong_list_of_brokers_is_refused(servers: str) -> None:
    """The error names the variable, before anything is looked up."""
    with pytest.raises(InvalidError, match="RIFTLINE_KAFKA_SERVERS"):
        await open_kafka(servers)


async def test_attempts_that_fail_leave_no_thread(opened: Opened) -> None:
    """The driver starts its network's thread before it connects; ours ends it when that fails."""
    await (await opened.log()).ensure_topics()
    before = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(TransientError):
            await open_kafka(f"127.0.0.1:{free_port()}", deadline_s=0.5)
    connection = KafkaConnection(f"127.0.0.1:{free_port()}", 0.5)
    with pytest.raises(TransientError):
        await connection.ping()
    await connection.close()
    await until(lambda: _gone(before))


async def test_a_producer_whose_batch_ran_out_of_time_is_replaced(
    log: EventLog, opened: Opened, event: Callable[..., Any]
) -> None:
    """The driver's would wait for a producer id for ever; what is published next goes through a new one."""
    connection = await open_kafka(opened.served.url, deadline_s=1.5)
    hasty = KafkaEventLog(connection, opened.prefix)
    await until(lambda: _published(hasty, event("before")))
    first = connection.producer()
    opened.served.server.pause()
    try:
        with pytest.raises(OutcomeUnknownError):
            await hasty.publish("live-matches", [event("during")])
    finally:
        opened.served.server.resume()
    await until(lambda: _published(hasty, event("after")))
    assert connection.producer() is not first
    await connection.close()
    keys: set[bytes] = set()
    await until(lambda: _answers(log))
    consumer = await opened.consumer(log)
    while b"after" not in keys:
        keys |= {record.key for record in await read(consumer, 1)}


async def _published(log: EventLog, event: Any) -> bool:
    try:
        await log.publish("live-matches", [event])
    except (TransientError, OutcomeUnknownError):
        return False
    return True


async def _answers(log: EventLog) -> bool:
    """A broker that stood still is let in again after a moment; until then there is none."""
    try:
        await (await log.consumer("first", ["live-matches"])).close()
    except TransientError:
        return False
    return True


async def _retains(url: str, name: str, retention_ms: str) -> bool:
    """Brokers learn of a change a moment after it was made."""
    return (await asyncio.to_thread(_configs, url, [name]))[name]["retention.ms"] == retention_ms


async def _gone(before: set[threading.Thread]) -> bool:
    return not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("kafka-io")]


def _configs(url: str, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = _with_admin(url, lambda admin: admin.describe_configs(resources, config_filter="all"))
    topics = found.get("topic", found)
    return {name: {key: config["value"] for key, config in topics[name].items()} for name in names}


async def test_a_join_that_was_begun_is_ended(
    log: EventLog, opened: Opened, event: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions that look other for a moment make the driver join again; that join is waited for all the same."""
    await log.publish("live-matches", [event("m1")])
    consumer = await opened.consumer(log)
    records = await read(consumer, 1)
    coordinator: Any = consumer._client._coordinator  # noqa: SLF001  # what the driver looks at
    monkeypatch.setattr(coordinator, "_metadata_snapshot", {})
    while not coordinator.rebalance_in_progress():
        await consumer.poll(1, 0.0)
    monkeypatch.undo()
    await consumer.commit({records[0].partition: records[0].offset + 1})
    assert set((await consumer.lag()).values()) == {0}
