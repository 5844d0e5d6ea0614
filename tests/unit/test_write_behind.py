"""Answers behind the journal: refused or recorded, never in between, whatever the destinations do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from serve_apps import write_behind
from serve_apps.destinations import ANALYTICS, POSTGRES, rows_of
from serve_apps.problems import problem_of, problem_response
from serve_apps.write_behind import WriteBehind, encoded, told
from stores import backoff
from stores.clock import utc_now
from stores.domain.time_ids import new_time_id
from stores.domain.usage import ApiCall
from stores.errors import InvalidError, OverloadedError, RiftlineError, TransientError
from stores.journal.journal import Bounds, Journal
from stores.journal.segment_writer import SegmentWriter
from stores.postgres.prediction_copy import decode
from tests.examples import a_prediction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from stores.domain.predictions import PredictionRecord

BOUNDS = Bounds(segment_age_s=0.0)


class Shelf:
    """A destination in memory: may be away, and refuses predictions of some ids for good."""

    def __init__(self, name: str = POSTGRES) -> None:
        self.name = name
        self.here = asyncio.Event()
        self.here.set()
        self.taken: list[bytes] = []
        self.refused: set[UUID] = set()

    @property
    def ids(self) -> list[UUID]:
        """The predictions that were taken."""
        return [decode(row).prediction_id for row in rows_of(self.taken, b"P")]

    async def deliver(self, records: Sequence[bytes]) -> None:
        """Take all or none."""
        if not self.here.is_set():
            raise TransientError(f"{self.name} is away")
        if self.refused & {decode(row).prediction_id for row in rows_of(records, b"P")}:
            raise InvalidError("one of them is refused")
        self.taken += records


@asynccontextmanager
async def opened(folder: Path, *shelves: Shelf, bounds: Bounds = BOUNDS) -> AsyncIterator[WriteBehind]:
    """A replica's journal in front of these destinations."""
    journal = await Journal.open(folder, [shelf.name for shelf in shelves], bounds)
    behind = WriteBehind(journal, shelves, bounds)
    try:
        yield behind
    finally:
        await behind.close(0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries are tried again at once."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(backoff, "MOST_PAUSE_S", 0.01)


def rows(*records: PredictionRecord) -> list[bytes]:
    """As the journal keeps them."""
    return [encoded(record) for record in records]


async def taken_by(behind: WriteBehind, record: PredictionRecord) -> bool:
    """Whether there was room for it."""
    try:
        await behind.add(rows(record))
    except OverloadedError:
        return False
    return True


def ids_of(records: Sequence[PredictionRecord]) -> list[UUID]:
    """Their ids."""
    return [record.prediction_id for record in records]


async def test_what_is_recorded_is_delivered_as_it_was(tmp_path: Path) -> None:
    """Predictions and calls, single and many, in order; then nothing waits."""
    shelf, records = Shelf(), [a_prediction() for _ in range(5)]
    async with opened(tmp_path / "00", shelf) as behind:
        await behind.add(rows(records[0]))
        await behind.add(rows(*records[1:]))
        behind.note_calls([ApiCall(usage_id=new_time_id(utc_now()), endpoint="/", http_method="GET", status_code=200)])
        await behind.flush(20)
        assert [decode(row) for row in rows_of(shelf.taken, b"P")] == records
        assert len(rows_of(shelf.taken, b"C")) == 1
        status = behind.status()
        assert (status.bytes_held, status.oldest_s, status.away, status.full) == (0, 0.0, (), False)
        assert status.delivered_per_s > 0
        await behind.add([])


async def test_calls_share_the_flush_of_the_next_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for them, so they cost no flush of their own, unless no answer comes for a while."""
    flushes: list[int] = []
    really = SegmentWriter.write

    def counted(writer: SegmentWriter, data: bytes) -> object:
        flushes.append(len(data))
        return really(writer, data)

    def call() -> ApiCall:
        return ApiCall(usage_id=new_time_id(utc_now()), endpoint="/", http_method="GET", status_code=200)

    monkeypatch.setattr(SegmentWriter, "write", counted)
    shelf = Shelf()
    async with opened(tmp_path / "00", shelf) as behind:
        for _ in range(3):
            behind.note_calls([call(), call()])
            await behind.add(rows(a_prediction()))
        assert len(flushes) == 3
        behind.note_calls([call()])
        while len(flushes) < 4:  # noqa: ASYNC110  # the journal tells nobody
            await asyncio.sleep(0.001)
        behind.note_calls([call()])
    assert len(rows_of(shelf.taken, b"C")) == 8
    assert len(shelf.ids) == 3


async def test_answers_go_on_while_a_destination_is_away(tmp_path: Path) -> None:
    """The other one has everything; the status says who is away and for how long; later both have everything once."""
    database, analytics = Shelf(), Shelf(ANALYTICS)
    analytics.here.clear()
    records = [a_prediction() for _ in range(20)]
    async with opened(tmp_path / "00", database, analytics) as behind:
        for record in records:
            await behind.add(rows(record))
        await behind.flush(20)
        assert database.ids == ids_of(records)
        status = behind.status()
        assert status.away == (ANALYTICS,)
        assert status.oldest_s > 0
        assert told(status).startswith("ok, but analytics do not answer")
        analytics.here.set()
        while behind.status().bytes_held:  # noqa: ASYNC110  # its delivery is not ours to await
            await asyncio.sleep(0.001)
        assert analytics.ids == ids_of(records)
        assert behind.status().away == ()


async def test_a_full_journal_refuses_with_503_and_when_to_come_back(tmp_path: Path) -> None:
    """Never an answer that is not recorded: what was refused is nowhere, what was taken is delivered once."""
    shelf, taken = Shelf(), []
    shelf.here.clear()
    async with opened(tmp_path / "00", shelf, bounds=Bounds(max_bytes=5600, segment_age_s=0.0)) as behind:
        while not behind.status().full:
            taken.append(a_prediction())
            await behind.add(rows(taken[-1]))
        with pytest.raises(OverloadedError) as caught:
            await behind.add(rows(a_prediction()))
        answer = problem_response(problem_of(caught.value))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert behind.status().full
        assert told(behind.status()).startswith("full")
        shelf.here.set()
        await behind.flush(20)
        assert shelf.ids == ids_of(taken)
        await behind.add(rows(a_prediction()))


async def test_a_destination_far_behind_gives_way_to_the_answers(tmp_path: Path) -> None:
    """Beyond half of the bound its oldest segments are let go, but none that PostgreSQL does not have."""
    database, analytics = Shelf(), Shelf(ANALYTICS)
    analytics.here.clear()
    records = [a_prediction() for _ in range(100)]
    async with opened(tmp_path / "00", database, analytics, bounds=Bounds(8000, 1, 0.0)) as behind:
        for record in records:
            while not await taken_by(behind, record):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.001)  # the pause of a client that was told 503
        await behind.flush(20)
        assert database.ids == ids_of(records)
        assert behind.let_go == {POSTGRES: 0, ANALYTICS: behind.let_go[ANALYTICS]}
        analytics.here.set()
        while behind.status().bytes_held:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)
        assert analytics.ids == ids_of(records)[behind.let_go[ANALYTICS] :]
        assert behind.let_go[ANALYTICS] > 50


async def test_a_row_that_the_database_refuses_is_kept_aside_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours are delivered, the file is for a person."""
    shelf, records = Shelf(), [a_prediction() for _ in range(9)]
    shelf.refused = {records[4].prediction_id}
    async with opened(tmp_path / "00", shelf) as behind:
        await behind.add(rows(*records))
        await behind.flush(20)
    assert sorted(shelf.ids) == sorted({*ids_of(records)} - shelf.refused)
    (kept,) = (tmp_path / "00").glob("*.refused")
    assert decode(kept.read_bytes()[9:]).prediction_id == records[4].prediction_id
    assert "refuses 1 records" in caplog.text


@pytest.mark.parametrize(
    "poison", [{"user_agent": "a\0b"}, {"user_agent": "\ud800"}, {"confidence": float("nan")}, {"expected_stat": -1.0}]
)
def test_an_answer_that_no_database_takes_is_our_error(poison: dict[str, object]) -> None:
    """It is a 500 and no 422, for the client's question was found good."""
    with pytest.raises(RiftlineError) as caught:
        encoded(a_prediction()._replace(**poison))  # type: ignore[arg-type]
    assert (problem_of(caught.value).status, problem_of(caught.value).field) == (500, None)


async def test_what_a_shutdown_leaves_is_delivered_by_a_living_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain is bounded; whoever lives adopts the journal and delivers it once."""
    monkeypatch.setattr(write_behind, "ORPHANS_S", 0.01)
    away, here, records = Shelf(), Shelf(), [a_prediction() for _ in range(10)]
    away.here.clear()
    async with opened(tmp_path / "00", away) as leaving:
        await leaving.add(rows(*records))
    with pytest.raises(TransientError, match="closed"):
        await leaving.add(rows(a_prediction()))
    async with opened(tmp_path / "01", here):
        while len(here.ids) < 10 or [*(tmp_path / "00").glob("*.ready")]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)
    assert here.ids == ids_of(records)
