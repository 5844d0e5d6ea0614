"""What every event log keeps: order per key, each event once, offsets in the reader's hand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.events import MatchResult, ModelUpdated
from stores.domain.models import DeploymentStatus
from stores.domain.time_ids import new_time_id
from stores.errors import ConflictError, InvalidError, RiftlineError, TransientError
from stores.events import codec as codec_module
from stores.events.codec import EventCodec
from stores.events.records import Message, Partition, Polled
from stores.events.registry import SchemaRegistry
from stores.events.topics import TOPICS, topic_named
from tests.contract.event_log.conftest import NOON
from tests.contract.event_log.reading import nexts, owned, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.events import LiveMatchEvent
    from stores.roles.event_log import EventLog
    from tests.contract.event_log.conftest import Opened

    MakeEvent = Callable[..., LiveMatchEvent]

pytestmark = pytest.mark.role("event_log")

CODEC = EventCodec(SchemaRegistry())
LIVE = "live-matches"
PARTITIONS = topic_named(LIVE).partitions
AWKWARD = ("a\r\nFLUSHALL\r\n", "{tag}", "'; DROP TOPIC x; --", "x" * 200, "페이커 Ünïcode", "*", "%s ../..", "-1")


async def test_events_are_read_as_they_were_published(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Each comes back equal, with its key, its schema's name and version, and offsets without a gap."""
    events = [event(f"match-{number % 3}", number, assistant_ids=("a", "페이커")) for number in range(30)]
    await log.publish(LIVE, events)
    records = await read(await opened.consumer(log), 30)
    assert {record.offset for record in records if record.partition == records[0].partition} == set(
        range(sum(record.partition == records[0].partition for record in records))
    )
    assert all(dict(record.headers)["schema"] == LIVE.encode() for record in records)
    assert all(dict(record.headers)["schema-version"] == b"1" for record in records)
    assert all(record.key == CODEC.decode(record).key.encode() for record in records)
    assert sorted((CODEC.decode(record) for record in records), key=lambda read: read.occurred_at) == events


async def test_order_is_kept_per_key(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """The events of a match lie in one partition in the order of publishing, over many calls."""
    for start in range(0, 60, 6):
        await log.publish(LIVE, [event(f"match-{number % 6}", number) for number in range(start, start + 6)])
    records = await read(await opened.consumer(log), 60)
    found: defaultdict[bytes, list[Any]] = defaultdict(list)
    for record in records:
        found[record.key].append(record)
    assert len(found) == 6
    for ofmatch in found.values():
        assert len({record.partition for record in ofmatch}) == 1
        times = [CODEC.decode(record).occurred_at for record in ofmatch]
        assert times == sorted(times)


async def test_concurrent_publishers_lose_and_double_nothing(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Twenty tasks over two connections: every event is in the log exactly once."""
    other = await opened.log()
    batches = [[event(f"m{task}", number) for number in range(task * 50, task * 50 + 50)] for task in range(20)]
    await asyncio.gather(*((log, other)[task % 2].publish(LIVE, batch) for task, batch in enumerate(batches)))
    records = await read(await opened.consumer(log), 1000)
    published = sorted(event.event_id for batch in batches for event in batch)
    assert sorted(CODEC.decode(record).event_id for record in records) == published


@pytest.mark.parametrize("match", AWKWARD, ids=range(len(AWKWARD)))
async def test_any_text_is_a_key(log: EventLog, opened: Opened, event: MakeEvent, match: str) -> None:
    """Line ends, braces, wildcards and commands in a key are text like any other."""
    await log.publish(LIVE, [event(match), event("behind it")])
    records = await read(await opened.consumer(log), 2)
    assert {CODEC.decode(record).key for record in records} == {match, "behind it"}


async def test_every_topic_takes_its_own_kind(log: EventLog, opened: Opened) -> None:
    """An event of another kind is refused, and what stands beside it in the call is not published either."""
    result = MatchResult(
        event_id=_update().event_id,
        occurred_at=NOON,
        producer="test",
        match_id="m",
        map_number=1,
        tournament="LCK",
        blue_team="T1",
        red_team="Gen.G",
        winner="T1",
        started_at=NOON,
        game_length_s=1800.5,
    )
    await log.publish("match-results", [result])
    with pytest.raises(InvalidError):
        await log.publish("model-updates", [_update(), result])
    await log.publish("model-updates", [_update()])
    records = await read(await opened.consumer(log, "g", "match-results", "model-updates"), 2)
    assert {type(CODEC.decode(record)) for record in records} == {MatchResult, ModelUpdated}


@pytest.mark.parametrize("name", ["live_matches", "", "live-matches.dead-letters.dead-letters", "../x", "*", "x" * 300])
async def test_a_wrong_topic_never_reaches_the_server(opened: Opened, event: MakeEvent, name: str) -> None:
    """Also a log that is closed says that the topic is wrong, not that the server is away."""
    connection, log = await opened.served.open(opened.prefix)
    await log.close()
    await connection.close()
    with pytest.raises(InvalidError, match="topic"):
        await log.publish(name, [event()])
    with pytest.raises(InvalidError, match="topic"):
        await log.consumer("group", [name])
    with pytest.raises(TransientError):
        await log.publish(LIVE, [event()])


@pytest.mark.parametrize("group", ["", "a b", "a\nb", "A", "{x}", "x" * 101, "*"])
async def test_a_wrong_group_is_refused(log: EventLog, group: str) -> None:
    """The names of groups are plain, for they stand in keys."""
    with pytest.raises(InvalidError, match="group"):
        await log.consumer(group, [LIVE])


async def test_an_event_that_is_too_large_is_refused(
    log: EventLog, opened: Opened, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of its call is published."""
    monkeypatch.setattr(codec_module, "MAX_RECORD_BYTES", 400)
    with pytest.raises(InvalidError, match="too large"):
        await log.publish(LIVE, [event("m"), event("m" * 200, team="t" * 200)])
    await log.publish(LIVE, [event("small")])
    assert [record.key for record in await read(await opened.consumer(log), 1)] == [b"small"]


async def test_a_group_goes_on_where_it_committed(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """What was read and not committed is read again by the next member, and nothing else."""
    await log.publish(LIVE, [event("one match", number) for number in range(10)])
    first = await opened.consumer(log)
    records = await read(first, 10)
    await first.commit({records[0].partition: 4})
    await first.close()
    second = await opened.consumer(log)
    assert [record.offset for record in await read(second, 6)] == [4, 5, 6, 7, 8, 9]
    assert (await second.lag())[records[0].partition] == 0


async def test_groups_read_independently(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Each group reads everything, and one's commits are not another's."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(20)])
    for group in ("lake", "features"):
        consumer = await opened.consumer(log, group)
        records = await read(consumer, 20)
        await consumer.commit(nexts(records))
        assert sum((await consumer.lag()).values()) == 0


async def test_a_reader_seeks_where_it_likes(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Back to the start, forwards, to the end; beyond the end and below zero are refused."""
    await log.publish(LIVE, [event("one match", number) for number in range(10)])
    consumer = await opened.consumer(log)
    where = (await read(consumer, 10))[0].partition
    await consumer.seek({where: 0})
    assert [record.offset for record in await read(consumer, 10)] == list(range(10))
    await consumer.seek({where: 7})
    assert (await consumer.positions())[where] == 7
    assert (await consumer.lag())[where] == 3
    assert [record.offset for record in await read(consumer, 3)] == [7, 8, 9]
    await consumer.seek({where: 10})
    assert (await consumer.poll(10, 0.2)).records == ()
    with pytest.raises(InvalidError):
        await consumer.seek({where: 11})
    with pytest.raises(InvalidError):
        await consumer.commit({where: -1})


async def test_an_assignment_is_told_before_its_records(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """A sink that keeps its offsets elsewhere seeks at that moment and reads from there, whatever was committed."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(100)])
    first = await opened.consumer(log)
    ends = nexts(await read(first, 100))
    await first.commit(ends)
    await first.close()
    second = await opened.consumer(log)
    ours = await owned(second, PARTITIONS)
    assert {where: at for where, at in (await second.positions()).items() if at} == ends
    await second.seek({where: max(0, ends.get(where, 0) - 1) for where in ours})
    assert nexts(await read(second, len(ends))) == ends


async def test_members_share_the_partitions(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Two members hold disjoint halves and are told so; when one leaves, the other gets all."""
    first = await opened.consumer(log)
    assert len(await owned(first, PARTITIONS)) == PARTITIONS
    second = await opened.consumer(log)
    mine, yours = await _settled(first, second)
    assert not mine & yours
    assert len(mine) == len(yours) == PARTITIONS // 2
    with pytest.raises(ConflictError):
        await first.commit({next(iter(yours)): 0})
    with pytest.raises(ConflictError):
        await first.seek({next(iter(yours)): 0})
    await second.close()
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(50)])
    assert len(await read(first, 50)) == 50
    assert len(await first.positions()) == PARTITIONS


async def test_a_member_commits_while_another_comes(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """At every moment of the sharing out a commit is done, or a conflict where the partition is lost."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(100)])
    first = await opened.consumer(log)
    ends = nexts(await read(first, 100))
    await first.commit(ends)
    second = await opened.consumer(log)
    arriving = asyncio.create_task(owned(second, PARTITIONS // 2))
    while not arriving.done():
        await first.poll(1, 0.01)
        for where, offset in ends.items():
            with suppress(ConflictError):
                await first.commit({where: offset})
    assert set((await second.lag()).values()) == {0}
    assert len(await arriving) == PARTITIONS // 2


async def test_a_cancelled_poll_loses_nothing(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Cancelled again and again at awkward moments, a reader still reads each record."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(200)])
    consumer = await opened.consumer(log)
    await owned(consumer, PARTITIONS)
    records: list[Any] = []
    for patience_ms in range(1, 40):
        try:
            async with asyncio.timeout(patience_ms / 2000):
                records += (await consumer.poll(10, 5.0)).records
        except TimeoutError:
            continue
    records += await read(consumer, 200 - len(records))
    assert len({(record.partition, record.offset) for record in records}) == len(records) == 200


async def test_an_empty_poll_comes_back(log: EventLog, opened: Opened) -> None:
    """With nothing to read, a poll is empty after its time and lag is zero everywhere."""
    consumer = await opened.consumer(log)
    await owned(consumer, PARTITIONS)
    polled = await consumer.poll(10, 0.1)
    assert polled == Polled()
    assert set((await consumer.lag()).values()) == {0}


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"\xff\xfe garbage", None),
        (b"", None),
        (b"valid", (("schema", b"live-matches"), ("schema-version", b"99"), ("content-type", codec_module.AVRO))),
        (b"valid", (("schema", b"match-results"), ("schema-version", b"1"), ("content-type", codec_module.AVRO))),
        (b"{}", (("content-type", b"application/json"),)),
        (b"\x00" * 900_000, ()),
    ],
    ids=["garbled", "empty", "unknown version", "another schema", "json", "large and bare"],
)
async def test_what_cannot_be_read_becomes_a_dead_letter(
    log: EventLog, opened: Opened, event: MakeEvent, value: bytes, headers: tuple[tuple[str, bytes], ...] | None
) -> None:
    """The letter has the record's own key, bytes and headers, with reason and origin; its neighbours are read."""
    good = CODEC.encode(topic_named(LIVE), event("m"))
    bad = Message(b"m", good.value if value == b"valid" else value, good.headers if headers is None else headers)
    await _append(log, [good, bad, good])
    before, broken, after = await read(await opened.consumer(log), 3)
    assert CODEC.decode(before) == CODEC.decode(after)
    with pytest.raises(InvalidError) as refused:
        CODEC.decode(broken)
    await log.dead_letter(broken, str(refused.value))
    (letter,) = await read(await opened.consumer(log, "g", f"{LIVE}.dead-letters"), 1)
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert letter.headers[: len(bad.headers)] == bad.headers
    assert dict(letter.headers[len(bad.headers) :]) == {
        "dead-letter-reason": str(refused.value).encode(),
        "dead-letter-topic": LIVE.encode(),
        "dead-letter-partition": str(broken.partition.number).encode(),
        "dead-letter-offset": b"1",
    }
    with pytest.raises(InvalidError):
        await log.dead_letter(letter, "again")


async def test_topics_are_made_once(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Making them again, also from many processes at once, changes nothing and keeps what is in them."""
    await log.publish(LIVE, [event()])
    others = [await opened.log() for _ in range(3)]
    await asyncio.gather(*(other.ensure_topics() for other in others))
    consumer = await opened.consumer(log, "group", *(topic.name for topic in TOPICS))
    assert len(await read(consumer, 1)) == 1
    assert len(await consumer.positions()) == sum(topic.partitions for topic in TOPICS)


async def test_fresh_topics_are_made_by_many_at_once(opened: Opened, event: MakeEvent) -> None:
    """Whoever is second finds them made, and each can publish at once."""
    logs = [await opened.log() for _ in range(4)]
    await asyncio.gather(*(log.ensure_topics() for log in logs))
    await asyncio.gather(*(log.publish(LIVE, [event(f"m{number}")]) for number, log in enumerate(logs)))
    assert len(await read(await opened.consumer(logs[0]), 4)) == 4


async def test_a_closed_connection_says_so(opened: Opened, event: MakeEvent) -> None:
    """Closing is idempotent; afterwards every call is told, at once."""
    connection, log = await opened.served.open(opened.prefix)
    await log.ensure_topics()
    consumer = await log.consumer("group", [LIVE])
    await consumer.close()
    await consumer.close()
    await log.close()
    await connection.close()
    await connection.close()
    for call in (
        log.publish(LIVE, [event()]),
        log.consumer("group", [LIVE]),
        consumer.poll(1, 0.1),
        consumer.commit({Partition(LIVE, 0): 0}),
        connection.ping(),
    ):
        with pytest.raises(RiftlineError):
            await call


async def _append(log: Any, messages: list[Message]) -> None:
    """Write what no event of ours is, as a stranger could."""
    await log._append(topic_named(LIVE), messages)  # noqa: SLF001


async def _settled(first: Any, second: Any) -> tuple[set[Partition], set[Partition]]:
    """Poll both until they hold everything between them and each holds something."""
    async with asyncio.timeout(30):
        while True:
            await first.poll(1, 0.05)
            await second.poll(1, 0.05)
            mine, yours = set(await first.positions()), set(await second.positions())
            if len(mine) + len(yours) == PARTITIONS and mine and yours:
                return mine, yours


def _update() -> ModelUpdated:
    return ModelUpdated(
        event_id=new_time_id(NOON),
        occurred_at=NOON,
        producer="test",
        model_name="player-props",
        model_version="2026.03.14",
        deployment_status=DeploymentStatus.PRODUCTION,
        deployment_percentage=100.0,
        feature_version="f1",
        lake_snapshot_id=2**63 - 1,
        checksum="ab" * 32,
    )
