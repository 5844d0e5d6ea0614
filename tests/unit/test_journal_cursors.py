"""Several destinations of one journal: each at its own place, also after a restart."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from stores.errors import OverloadedError
from stores.journal.adoption import adopt_orphans, open_slot
from stores.journal.journal import Bounds, Journal
from stores.journal.segment_files import holds_segments

if TYPE_CHECKING:
    from pathlib import Path

BOTH = ("near", "far")
AT_ONCE = Bounds(segment_age_s=0.0)


async def opened(folder: Path) -> Journal:
    """A journal with two cursors that hands out at once."""
    return await Journal.open(folder, BOTH, AT_ONCE)


async def drained(journal: Journal, name: str) -> list[bytes]:
    """What one destination has still to take, taken."""
    cursor, found = journal.cursor(name), []
    while not cursor.empty:
        segment = await cursor.next_segment()
        found += await journal.records(segment)
        await cursor.drop(segment)
    return found


async def test_one_destination_does_not_hold_up_the_other(tmp_path: Path) -> None:
    """A segment is deleted when both have it; until then it counts."""
    journal = await opened(tmp_path)
    for record in (b"one", b"two"):
        await journal.append(record)
        assert await drained(journal, "near") == [record]
    assert journal.bytes_held == 22
    assert journal.cursor("far").bytes_waiting == 22
    assert await drained(journal, "far") == [b"one", b"two"]
    assert journal.bytes_held == 0
    assert not holds_segments(tmp_path)
    await journal.close()


async def test_each_goes_on_where_it_was(tmp_path: Path) -> None:
    """After a restart nobody gets again what it has taken, and what both have is gone."""
    journal = await opened(tmp_path)
    await journal.append(b"old")
    await drained(journal, "near")
    await drained(journal, "far")
    await journal.append(b"half")
    await drained(journal, "near")
    await journal.append(b"new")
    await journal.close()
    again = await opened(tmp_path)
    assert await drained(again, "near") == [b"new"]
    assert await drained(again, "far") == [b"half", b"new"]
    await again.close()


async def test_a_destination_that_is_new_begins_with_what_is_there(tmp_path: Path) -> None:
    """A cursor without a mark has everything before it; one that is no longer asked for keeps nothing."""
    journal = await Journal.open(tmp_path, ("near",), AT_ONCE)
    await journal.append(b"one")
    await journal.close()
    both = await opened(tmp_path)
    await drained(both, "near")
    assert both.bytes_held > 0
    await both.close()
    alone = await Journal.open(tmp_path, ("near",), AT_ONCE)
    await drained(alone, "near")
    assert alone.bytes_held == 0
    await alone.close()


async def test_a_clock_that_goes_back_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new segment's name sorts behind every mark, or its records would be taken for delivered."""
    journal = await opened(tmp_path)
    await journal.append(b"before")
    await drained(journal, "near")
    await drained(journal, "far")
    await journal.close()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    for cursors in (("near",), BOTH):
        journal = await Journal.open(tmp_path, cursors, AT_ONCE)
        await journal.append(b"after")
        await journal.close()
        again = await opened(tmp_path)
        assert await drained(again, "far") == [b"after"]
        await drained(again, "near")
        await again.close()


async def test_a_damaged_segment_is_kept_once_both_have_seen_it(tmp_path: Path) -> None:
    """The first to find it does not take what is sound from the second."""
    journal = await opened(tmp_path)
    await journal.append(b"record")
    for name in BOTH:
        cursor = journal.cursor(name)
        segment = await cursor.next_segment()
        assert segment.path.exists()
        await (cursor.set_aside if name == "near" else cursor.drop)(segment)
    assert journal.bytes_held > 0
    assert not holds_segments(tmp_path)
    await journal.close()


async def test_records_added_together_are_kept_or_refused_together(tmp_path: Path) -> None:
    """One future for all that share a flush, and no half of an addition."""
    journal = await Journal.open(tmp_path, bounds=Bounds(max_bytes=100, segment_age_s=0.0))
    flush = journal.add([b"a" * 20, b"b" * 20])
    assert journal.add([b"c"]) is flush
    with pytest.raises(OverloadedError):
        journal.add([b"d", b"e" * 60])
    await flush
    assert await drained(journal, "only") == [b"a" * 20, b"b" * 20, b"c"]
    await journal.close()


async def test_a_cancelled_caller_takes_nothing_from_those_who_share_its_flush(tmp_path: Path) -> None:
    """It is cancelled itself, once the flush is over; its record stays."""
    journal = await Journal.open(tmp_path, bounds=AT_ONCE)
    callers = [asyncio.create_task(journal.append(record)) for record in (b"gone", b"stays")]
    await asyncio.sleep(0)
    callers[0].cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, type(None)]
    assert await drained(journal, "only") == [b"gone", b"stays"]
    await journal.close()


async def test_an_orphan_whose_destination_is_away_holds_up_no_other(tmp_path: Path) -> None:
    """Each is adopted by a task of its own."""
    for slot in ("01", "02"):
        left = await Journal.open(tmp_path / slot)
        await left.append(slot.encode())
        await left.close()
    living = await open_slot(tmp_path, Journal.open)
    assert living.folder.name == "00"
    found: asyncio.Queue[bytes] = asyncio.Queue()

    async def deliver(orphan: Journal) -> None:
        if orphan.folder.name == "01":
            await asyncio.Event().wait()
        found.put_nowait((await drained(orphan, "only"))[0])

    adopting = asyncio.create_task(adopt_orphans(living, Journal.open, deliver, 0.01))
    assert await asyncio.wait_for(found.get(), 20) == b"02"
    adopting.cancel()
    await asyncio.gather(adopting, return_exceptions=True)
    assert await drained(await Journal.open(tmp_path / "01"), "only") == [b"01"]
    await living.close()
