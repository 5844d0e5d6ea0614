"""The journal: what was acknowledged stays, what was not leaves no trace, and a torn tail is cut."""

from __future__ import annotations

import asyncio
import errno
import itertools
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, OverloadedError, TransientError
from stores.journal import journal as journal_module
from stores.journal.journal import MAX_RECORD_BYTES, Bounds, Journal
from stores.journal.segment_files import CorruptSegmentError, framed, split_frames
from stores.journal.segment_writer import RESERVED_BYTES, SegmentWriter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, params=[0.0, math.inf], ids=["slow disk", "quick disk"])
def by_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the event loop writes itself where it may: every test is run with it and without."""
    monkeypatch.setattr(journal_module, "QUICK_S", request.param)
    return bool(request.param)


async def drained(journal: Journal) -> list[list[bytes]]:
    """The records of every segment, each dropped once it was read."""
    segments = []
    while not journal.cursor().empty:
        segment = await journal.cursor().next_segment()
        segments.append(await journal.records(segment))
        await journal.cursor().drop(segment)
    return segments


async def opened(folder: Path, **bounds: Any) -> Journal:
    """A journal that seals at once when asked for a segment, unless told otherwise."""
    return await Journal.open(folder, bounds=Bounds(**{"segment_age_s": 0.0} | bounds))


def the_file(folder: Path, pattern: str) -> Path:
    """The only file of this pattern."""
    (path,) = folder.glob(pattern)
    return path


async def test_what_was_appended_is_handed_out_in_order_after_a_reopening(tmp_path: Path) -> None:
    """A process that ends leaves its records to the next."""
    first = await opened(tmp_path)
    for record in (b"one", b"two", bytes(range(256))):
        await first.append(record)
    await first.close()
    second = await opened(tmp_path)
    assert await drained(second) == [[b"one", b"two", bytes(range(256))]]
    assert second.bytes_held == 0
    await second.close()


async def test_a_segment_is_full_by_size_and_its_name_never_comes_again(tmp_path: Path) -> None:
    """A name is the token of a delivery: used twice, the second delivery would be taken for a repetition."""
    journal = await opened(tmp_path, segment_bytes=10, segment_age_s=3600.0)
    names = set()
    for _ in range(5):
        await journal.append(b"0123456789")
        segment = await journal.cursor().next_segment()
        names.add(segment.name)
        await journal.cursor().drop(segment)
    await journal.close()
    again = await opened(tmp_path, segment_bytes=10)
    await again.append(b"0123456789")
    names.add((await again.cursor().next_segment()).name)
    await again.close()
    assert len(names) == 6


async def test_segments_keep_their_order_when_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of names is the order of writing."""
    journal = await opened(tmp_path, segment_bytes=1)
    for number in range(5):
        monkeypatch.setattr(time, "time_ns", lambda number=number: 10**18 - number)
        await journal.append(str(number).encode())
    await journal.close()
    again = await opened(tmp_path)
    assert await drained(again) == [[b"0"], [b"1"], [b"2"], [b"3"], [b"4"]]
    await again.close()


async def test_a_young_segment_waits_for_its_age_and_a_flush_does_not(tmp_path: Path) -> None:
    """Many small deliveries become few, unless somebody waits for them."""
    journal = await opened(tmp_path, segment_age_s=3600.0)
    await journal.append(b"young")
    waiting = asyncio.create_task(journal.cursor().next_segment())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    flush = asyncio.create_task(journal.cursor().flush(5))
    await journal.cursor().drop(await asyncio.wait_for(waiting, 5))
    await flush
    await journal.close()


async def test_a_flush_does_not_end_while_a_segment_is_being_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between being written and being handed out a segment is still there for who waits."""
    sealing, go_on = threading.Event(), threading.Event()
    really = SegmentWriter.finish

    def slowly(writer: SegmentWriter) -> Any:
        sealing.set()
        go_on.wait(5)
        return really(writer)

    monkeypatch.setattr(SegmentWriter, "finish", slowly)
    journal = await opened(tmp_path)
    await journal.append(b"record")
    waiting = asyncio.create_task(journal.cursor().next_segment())
    await asyncio.to_thread(sealing.wait, 5)
    flush = asyncio.create_task(journal.cursor().flush(5))
    done, _ = await asyncio.wait({flush}, timeout=0.05)
    assert not done
    go_on.set()
    await journal.cursor().drop(await waiting)
    await flush
    await journal.close()


async def test_a_flush_that_nobody_serves_ends(tmp_path: Path) -> None:
    """Its timeout is kept."""
    journal = await opened(tmp_path)
    await journal.append(b"waits")
    with pytest.raises(TransientError, match="not delivered"):
        await journal.cursor().flush(0.05)
    await journal.close()


async def test_records_appended_at_once_share_flushes_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush takes milliseconds: 500 callers must not wait for 500 of them."""
    flushes: list[int] = []
    really = os.fdatasync

    def counted(descriptor: int) -> None:
        flushes.append(descriptor)
        really(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    journal = await opened(tmp_path)
    await asyncio.gather(*(journal.append(str(number).encode()) for number in range(500)))
    assert len(flushes) <= 5
    assert sorted(int(record) for segment in await drained(journal) for record in segment) == list(range(500))
    await journal.close()


async def test_the_loop_writes_what_neither_begins_nor_fills_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_loop: bool
) -> None:
    """Those wait for more than a flush, and large ones for a long one: a thread does them."""
    threads: list[threading.Thread] = []
    really = SegmentWriter.write

    def seen(writer: SegmentWriter, data: bytes) -> object:
        threads.append(threading.current_thread())
        return really(writer, data)

    monkeypatch.setattr(SegmentWriter, "write", seen)
    journal = await opened(tmp_path, segment_bytes=1 << 17, segment_age_s=3600.0)
    records = [bytes([number]) * size for number, size in enumerate((300, 300, 1 << 16, 300, 1 << 16))]
    for record in records:
        await journal.append(record)
    main = threading.main_thread()
    assert [thread is main for thread in threads] == [False, by_loop, False, by_loop, False]
    assert await drained(journal) == [records]
    await journal.close()


async def test_whoever_is_on_disk_is_told_before_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_loop: bool
) -> None:
    """Where the loop writes itself, the callers of one flush do not wait for the next one."""
    events: list[str] = []
    really = SegmentWriter.write

    def seen(writer: SegmentWriter, data: bytes) -> object:
        events.append("written")
        return really(writer, data)

    monkeypatch.setattr(SegmentWriter, "write", seen)
    journal = await opened(tmp_path)
    flushes = []
    for number in range(3):
        flushes.append(journal.add([str(number).encode()]))
        flushes[-1].add_done_callback(lambda _: events.append("told"))
        while len(events) < 2 * number + 1:  # noqa: ASYNC110  # until it is being written, in a thread or not
            await asyncio.sleep(0)
    await asyncio.gather(*flushes)
    if by_loop:
        assert events == ["written", "told"] * 3
    assert sorted(events) == ["told"] * 3 + ["written"] * 3
    assert await drained(journal) == [[b"0", b"1", b"2"]]
    await journal.close()


async def test_an_open_segment_has_room_ahead_and_a_sealed_one_none_too_much(tmp_path: Path) -> None:
    """A flush that allocates costs more; what waits for hours must not hold more than it needs."""
    journal = await opened(tmp_path, segment_age_s=3600.0)
    for size, reserved in ((10, 1), (RESERVED_BYTES, 2), (10, 2)):
        await journal.append(bytes([1]) * size)
        assert the_file(tmp_path, "*.open").stat().st_size == reserved * RESERVED_BYTES
    flushing = asyncio.create_task(journal.cursor().flush(5))
    segment = await journal.cursor().next_segment()
    assert segment.path.stat().st_size == segment.size == RESERVED_BYTES + 20 + 3 * 8
    await journal.cursor().drop(segment)
    await flushing
    await journal.close()


async def test_a_full_journal_refuses_and_takes_again_after_a_delivery(tmp_path: Path) -> None:
    """The bound counts bytes on disk; refused records leave no trace."""
    journal = await opened(tmp_path, max_bytes=100)
    await journal.append(b"x" * 80)
    with pytest.raises(OverloadedError, match="88 of 100 bytes"):
        await journal.append(b"y" * 20)
    await journal.cursor().drop(await journal.cursor().next_segment())
    await journal.append(b"z" * 20)
    assert await drained(journal) == [[b"z" * 20]]
    await journal.close()


async def test_the_bound_holds_over_a_reopening(tmp_path: Path) -> None:
    """A process that restarts while the server is away does not start a second gigabyte."""
    journal = await opened(tmp_path, max_bytes=100)
    await journal.append(b"x" * 80)
    await journal.close()
    journal = await opened(tmp_path, max_bytes=100)
    with pytest.raises(OverloadedError):
        await journal.append(b"y" * 20)
    await journal.close()


async def test_empty_and_oversized_records_are_refused(tmp_path: Path) -> None:
    """A record that does not fit a delivery is refused before it is written."""
    journal = await opened(tmp_path)
    for record in (b"", b"x" * (MAX_RECORD_BYTES + 1)):
        with pytest.raises(InvalidError, match="at once"):
            await journal.append(record)
    assert journal.bytes_held == 0
    await journal.close()


async def test_a_second_owner_is_told_who_owns_it(tmp_path: Path) -> None:
    """The lock ends with its owner's close."""
    journal = await opened(tmp_path)
    with pytest.raises(ConflictError, match=f"belongs to process {os.getpid()}; let that one end"):
        await opened(tmp_path)
    await journal.close()
    await (await opened(tmp_path)).close()


async def test_a_closed_journal_refuses(tmp_path: Path) -> None:
    """Closing twice is harmless; what is appended later is not lost silently."""
    journal = await opened(tmp_path)
    await journal.close()
    await journal.close()
    with pytest.raises(TransientError, match="closed"):
        await journal.append(b"late")


async def test_a_tail_torn_at_any_byte_is_cut_and_what_was_whole_stays(tmp_path: Path) -> None:
    """A kill -9 or a power cut leaves any prefix of the last write."""
    journal = await opened(tmp_path / "whole")
    await journal.append(b"first")
    await journal.append(b"second")
    await journal.close()
    path = the_file(tmp_path / "whole", "*.open")
    data = path.read_bytes().rstrip(b"\0")
    for cut, reserved in itertools.product(range(len(data) + 1), (0, 100)):
        folder = tmp_path / f"{cut}-{reserved}"
        folder.mkdir()
        (folder / path.name).write_bytes(data[:cut] + bytes(reserved))
        torn = await opened(folder)
        expected = [[b"first", b"second"]] if cut == len(data) else [[b"first"]] if cut >= 13 else []
        assert await drained(torn) == expected
        await torn.append(b"after")
        assert await drained(torn) == [[b"after"]]
        await torn.close()


async def test_garbage_behind_the_last_record_is_cut(tmp_path: Path) -> None:
    """Pages of an unfinished write may reach the disk in any order."""
    journal = await opened(tmp_path)
    await journal.append(b"whole")
    await journal.close()
    path = the_file(tmp_path, "*.open")
    with path.open("ab") as file:
        file.write(b"\x00" * 100 + b"garbage")
    again = await opened(tmp_path)
    assert again.bytes_held == 13
    assert await drained(again) == [[b"whole"]]
    await again.close()


async def test_a_damaged_sealed_segment_is_kept_aside_and_still_counts(tmp_path: Path) -> None:
    """A sealed segment was whole once: damage is told and kept, never cut away."""
    journal = await opened(tmp_path)
    for record in (b"sound", b"s2", b"damaged"):
        await journal.append(record)
    segment = await journal.cursor().next_segment()
    data = bytearray(segment.path.read_bytes())
    data[-1] ^= 1
    segment.path.write_bytes(data)
    with pytest.raises(CorruptSegmentError, match="damaged at byte 23 of 38") as error:
        await journal.records(segment)
    assert error.value.sound == [b"sound", b"s2"]
    await journal.cursor().set_aside(segment)
    assert journal.cursor().empty
    assert journal.bytes_held == len(data)
    await journal.close()
    again = await opened(tmp_path)
    assert again.cursor().empty
    assert again.bytes_held == len(data)
    await again.close()


async def test_what_was_refused_is_kept_once_and_read_back(tmp_path: Path) -> None:
    """The delivery that refuses a row may be repeated after a crash, and so may that which brings it back."""
    journal = await opened(tmp_path)
    await journal.keep_refused("token", b"row")
    await journal.keep_refused("token", b"row")
    assert the_file(tmp_path, "*.refused").read_bytes() == b"row"
    assert journal.bytes_held == 3
    assert await journal.refused() == ["token"]
    assert await journal.read_refused("token") == b"row"
    for _ in range(2):
        await journal.forget_refused("token")
    assert journal.bytes_held == 0
    assert await journal.refused() == []
    await journal.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_failed_write_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The disk takes a part of a record and fails: the record is refused, its neighbours stay, the next one goes."""
    journal = await opened(tmp_path)
    await journal.append(b"before")
    really = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 12:
            raise OSError(number, os.strerror(number))
        return really(descriptor, data[: len(data) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(OverloadedError if number != errno.EIO else TransientError, match="nothing was recorded"):
            await journal.append(b"x" * 100)
    await journal.append(b"after")
    await journal.close()
    again = await opened(tmp_path)
    assert await drained(again) == [[b"before", b"after"]]
    await again.close()


async def test_a_failure_that_cannot_be_cut_is_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the record may come back after a restart, its caller must not be told that nothing happened."""
    journal = await opened(tmp_path)
    await journal.append(b"before")

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        patch.setattr(os, "ftruncate", fails)
        with pytest.raises(OutcomeUnknownError, match="could not be cut"):
            await journal.append(b"unknown")
    await journal.append(b"x")
    await journal.close()
    again = await opened(tmp_path)
    assert await drained(again) == [[b"before", b"x"]]
    await again.close()


@pytest.mark.parametrize("broken", ["", "os.ftruncate", "pathlib.Path.rename"], ids=["healed", "uncut", "stuck"])
@pytest.mark.parametrize("reopened", [False, True])
async def test_what_was_acknowledged_around_an_uncut_failure_is_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, *, reopened: bool
) -> None:
    """The segment is sealed over the rest of a failed write, whatever the disk still refuses then."""
    journal = await opened(tmp_path)
    await journal.append(b"before")

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        patch.setattr(os, "ftruncate", fails)
        with pytest.raises(OutcomeUnknownError, match="could not be cut"):
            await journal.append(b"of unknown outcome")
    await journal.append(b"x")
    with monkeypatch.context() as patch:
        if broken:
            patch.setattr(broken, fails)
        segment = await journal.cursor().next_segment()
    if reopened:
        await journal.close()
        journal = await opened(tmp_path)
        assert (await journal.cursor().next_segment()).name == segment.name
    assert await drained(journal) == [[b"before", b"x"]]
    assert journal.bytes_held == 0
    await journal.append(b"after")
    assert await drained(journal) == [[b"after"]]
    await journal.close()


FILL = """
import asyncio, resource, sys
from pathlib import Path
from stores.errors import OverloadedError
from stores.journal.journal import Bounds, Journal

async def main():
    if sys.argv[2] != "0":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    journal = await Journal.open(Path(sys.argv[1]), bounds=Bounds(segment_age_s=3600.0))
    for number in range(100_000):
        try:
            await journal.append(b"%06d" % number + b"x" * 1000)
        except OverloadedError as error:
            print(number, error)
            return

asyncio.run(main())
"""


def fill(folder: Path, limit: int) -> int:
    """Append in another process until the disk is full; how many records were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(folder), str(limit)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    number, message = done.stdout.split(" ", 1)
    assert "nothing was recorded" in message
    return int(number)


async def check_filled(folder: Path, acknowledged: int) -> None:
    """Exactly what was acknowledged is there."""
    journal = await opened(folder)
    records = [record for segment in await drained(journal) for record in segment]
    assert [int(record[:6]) for record in records] == list(range(acknowledged))
    assert acknowledged > 50
    await journal.close()


def test_a_file_that_may_not_grow_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """The kernel's limit of a file's size cuts a write in the middle, as a full disk does."""
    asyncio.run(check_filled(tmp_path, fill(tmp_path, 100_000)))


def test_a_full_disk_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """A small real file system, where root may mount one; what was acknowledged before it was full is all there."""
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        asyncio.run(check_filled(tmp_path, fill(tmp_path, 0)))
    finally:
        subprocess.run(["/usr/bin/umount", str(tmp_path)], check=True)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.binary(max_size=20))
def test_whole_frames_are_found_before_any_rest(records: list[bytes], rest: bytes) -> None:
    """Whatever follows the last whole record, those before it are read back; zeros are no record."""
    frames = b"".join(map(framed, records))
    found, whole = split_frames(frames + rest)
    assert found[: len(records)] == records
    assert whole >= len(frames)
    assert split_frames(frames + bytes(100))[0] == records
