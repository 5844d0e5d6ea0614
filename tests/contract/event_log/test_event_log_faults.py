"""What every event log keeps when something dies: nothing acknowledged is lost, nothing doubled, nothing hangs."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stores.errors import ConflictError, OutcomeUnknownError, RiftlineError, TransientError
from stores.events.codec import EventCodec
from stores.events.registry import SchemaRegistry
from stores.events.topics import topic_named
from tests.contract.event_log.conftest import CLUSTER, KAFKA, STREAMS
from tests.contract.event_log.reading import nexts, owned, read, until
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from stores.domain.events import LiveMatchEvent
    from stores.roles.event_log import EventLog
    from tests.contract.event_log.conftest import Opened

    MakeEvent = Callable[..., LiveMatchEvent]

pytestmark = pytest.mark.role("event_log")

CODEC = EventCodec(SchemaRegistry())
ROOT = Path(__file__).resolve().parents[3]
LIVE = "live-matches"
PARTITIONS = topic_named(LIVE).partitions
KILLS = 2
PUBLISHERS = 6

# the cluster keeps nothing on disk: it survives the end of a node, not of all
KEPT_ON_DISK = pytest.mark.parametrize("implementation", [KAFKA, STREAMS], indirect=True, scope="session")
REPLICATED = pytest.mark.parametrize("implementation", [CLUSTER], indirect=True, scope="session")


class Publisher:
    """A task that publishes small batches one after the other and notes what became of each event."""

    def __init__(self, log: EventLog, event: MakeEvent, number: int) -> None:
        self._log = log
        self._event = event
        self._number = number
        self.acknowledged: list[UUID] = []
        self.doubtful: list[UUID] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until it is told to stop; a batch that failed is published again until it is acknowledged."""
        count = 0
        while not stop.is_set():
            batch = [self._event(f"match-{self._number}-{each % 5}", each) for each in range(count, count + 3)]
            count += 3
            await self._publish(batch)

    async def _publish(self, batch: list[LiveMatchEvent]) -> None:
        while True:
            try:
                await self._log.publish(LIVE, batch)
            except TransientError:
                continue
            except OutcomeUnknownError:
                self.doubtful += [event.event_id for event in batch]
            else:
                self.acknowledged += [event.event_id for event in batch]
                return


@KEPT_ON_DISK
async def test_kills_while_publishing_lose_and_double_nothing(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """The server is killed in the middle, twice: each acknowledged event is in the log, exactly once, in order."""
    others = [log, await opened.log()]
    publishers = [Publisher(others[number % 2], event, number) for number in range(PUBLISHERS)]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(publisher.run(stop)) for publisher in publishers]
    for _ in range(KILLS):
        await _acknowledged(publishers, 200)
        await asyncio.to_thread(opened.served.server.restart)
    await _acknowledged(publishers, 200)
    stop.set()
    await asyncio.gather(*tasks)
    await _check(publishers, await _everything(await opened.consumer(log)))


@REPLICATED
async def test_a_fail_over_while_publishing_loses_and_doubles_nothing(
    log: EventLog, opened: Opened, event: MakeEvent
) -> None:
    """A master of the cluster dies and its replica takes over: what was acknowledged is there, once."""
    cluster: Any = opened.served.server
    publishers = [Publisher(log, event, number) for number in range(PUBLISHERS)]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(publisher.run(stop)) for publisher in publishers]
    await _acknowledged(publishers, 300)
    victim = await asyncio.to_thread(cluster.master_of, f"log:{{{opened.prefix}{LIVE}:0}}")
    victim.kill()
    await until(lambda: _taken_over(cluster, victim, f"log:{{{opened.prefix}{LIVE}:0}}"))
    await asyncio.to_thread(cluster.start)
    await _acknowledged(publishers, 200)
    stop.set()
    await asyncio.gather(*tasks)
    await _check(publishers, await _everything(await opened.consumer(log)))


async def test_a_killed_member_is_replaced(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """What a reader had read and not committed when it was killed is read again by another; the rest is not."""
    events = [event(f"m{number}", number) for number in range(60)]
    await log.publish(LIVE, events[:30])
    first = await opened.consumer(log)
    await first.commit(nexts(await read(first, 30)))
    await first.close()
    await log.publish(LIVE, events[30:])
    async with _member(opened, 30) as member:
        assert len((await _line(member)).split()) == 30
        member.kill()
        second = await opened.consumer(log)
        assert {CODEC.decode(record).event_id for record in await read(second, 30)} == {
            event.event_id for event in events[30:]
        }
        assert set((await second.lag()).values()) == {0}


async def test_a_member_that_stood_still_commits_no_more(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Its partitions went to another while it slept: its late commit is a conflict and changes nothing."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(30)])
    async with _member(opened, 30) as member:
        await _line(member)
        member.send_signal(signal.SIGSTOP)
        second = await opened.consumer(log)
        records = await read(second, 30)
        where = records[0].partition
        await second.commit({where: 1})
        member.send_signal(signal.SIGCONT)
        assert member.stdin is not None
        member.stdin.write(b"\n")
        assert await _line(member) == ConflictError.__name__
        await member.wait()
        await second.close()
        third = await opened.consumer(log)
        await owned(third, PARTITIONS)
        assert (await third.positions())[where] == 1


@KEPT_ON_DISK
async def test_a_reader_survives_the_server(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Killed and started again, the server is found again by the same reader, which loses no record."""
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(20)])
    consumer = await opened.consumer(log)
    records = await read(consumer, 20)
    await consumer.commit(nexts(records))
    await asyncio.to_thread(opened.served.server.restart)
    await log.publish(LIVE, [event(f"m{number}", number) for number in range(20, 40)])
    seen: set[UUID] = set()
    async with asyncio.timeout(30):
        while len(seen) < 20:
            seen |= {CODEC.decode(record).event_id for record in await _polled(consumer)}
    assert not seen & {CODEC.decode(record).event_id for record in records}
    await until(lambda: _committed(consumer))


async def test_a_server_that_stands_still_is_an_error_in_time(log: EventLog, opened: Opened, event: MakeEvent) -> None:
    """Every call ends with a typed error that names the server; when it goes on, the same log works again."""
    consumer = await opened.consumer(log)
    await owned(consumer, PARTITIONS)
    connection, hasty = await opened.served.open(opened.prefix, deadline_s=1.5)
    await until(lambda: _published(hasty, event("before")))
    reader = await hasty.consumer("other", [LIVE])
    ours = await owned(reader, PARTITIONS)
    opened.served.server.pause()
    try:
        await asyncio.gather(
            _fails_in_time(hasty.publish(LIVE, [event("during")])),
            _fails_in_time(reader.commit(dict.fromkeys(ours, 0))),
            _fails_in_time(connection.ping()),
            _fails_in_time(hasty.consumer("third", [LIVE])),
        )
        await _fails_in_time(reader.lag())
        async with asyncio.timeout(15):
            assert not await _polled(reader)
    finally:
        opened.served.server.resume()
    await until(lambda: _published(hasty, event("after")))
    keys: set[bytes] = set()
    async with asyncio.timeout(30):
        while b"after" not in keys:
            keys |= {record.key for record in await _polled(consumer)}
    assert keys <= {b"before", b"during", b"after"}
    await reader.close()
    await connection.close()


async def test_nobody_listens(opened: Opened) -> None:
    """A refused connection is a TransientError that names the address, at once."""
    port = free_port()
    scheme = "" if opened.served.name == "kafka" else "redis://"
    away = type(opened.served)(opened.served.name, opened.served.server, f"{scheme}127.0.0.1:{port}")
    with pytest.raises(TransientError, match=f":{port}"):
        async with asyncio.timeout(10):
            await away.open(opened.prefix, deadline_s=2.0)


async def _check(publishers: list[Publisher], records: list[Any]) -> None:
    """Every acknowledged event is there; none is there twice, save what its publisher was told to be doubtful."""
    events = [CODEC.decode(record) for record in records]
    found = Counter(event.event_id for event in events)
    acknowledged = {name for publisher in publishers for name in publisher.acknowledged}
    doubtful = {name for publisher in publishers for name in publisher.doubtful}
    assert acknowledged
    assert not acknowledged - found.keys()
    assert not {name for name, times in found.items() if times > 1} - doubtful
    assert found.keys() == acknowledged
    if not doubtful:
        for key in {event.key for event in events}:
            times = [event.occurred_at for event in events if event.key == key]
            assert times == sorted(times)


async def _everything(consumer: Any) -> list[Any]:
    await owned(consumer, PARTITIONS)
    records = await read(consumer, sum((await consumer.lag()).values()))
    assert set((await consumer.lag()).values()) == {0}
    return records


async def _polled(consumer: Any) -> list[Any]:
    try:
        return list((await consumer.poll(1000, 0.2)).records)
    except TransientError:
        return []


async def _fails_in_time(call: Any) -> None:
    """With an error that leaves the next step to the caller, and says which server it was."""
    with pytest.raises((TransientError, OutcomeUnknownError), match=r"127\.0\.0\.1"):
        async with asyncio.timeout(15):
            await call


async def _acknowledged(publishers: list[Publisher], more: int) -> None:
    """Wait until so many more events are acknowledged."""
    enough = sum(len(publisher.acknowledged) for publisher in publishers) + more

    async def reached() -> bool:
        return sum(len(publisher.acknowledged) for publisher in publishers) >= enough

    await until(reached)


async def _committed(consumer: Any) -> bool:
    try:
        await consumer.commit(await consumer.positions())
    except RiftlineError:
        await consumer.poll(1, 0.1)
        return False
    return True


async def _published(log: EventLog, event: Any) -> bool:
    try:
        await log.publish(LIVE, [event])
    except (TransientError, OutcomeUnknownError):
        return False
    return True


async def _taken_over(cluster: Any, victim: Any, key: str) -> bool:
    try:
        return bool((await asyncio.to_thread(cluster.master_of, key)) is not victim)
    except StopIteration:
        return False


class _member:  # noqa: N801  # a context manager
    """A reader in a process of its own."""

    def __init__(self, opened: Opened, count: int) -> None:
        arguments = (opened.served.name, opened.served.url, opened.prefix, str(count))
        self._command = (sys.executable, "-m", "tests.contract.event_log.member", *arguments)

    async def __aenter__(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, cwd=ROOT)
        return self._process

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()
