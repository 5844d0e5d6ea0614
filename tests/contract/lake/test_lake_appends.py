"""Appending to the lake: each step of a writer is there once, whatever happens."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from stores.domain.lake_commits import Position, Step
from stores.errors import ConflictError, InvalidError, NotFoundError, OutcomeUnknownError
from stores.lake.catalog import IcebergLake
from stores.lake.tables import QUARANTINE
from tests.contract.lake.work import (
    EVENTS,
    ROWS_PER_STEP,
    append_steps,
    append_the_same,
    at_once,
    numbers,
    rows,
    step_rows,
)

if TYPE_CHECKING:
    from stores.settings import LakeSettings

pytestmark = pytest.mark.role("lake")


def test_an_append_adds_its_rows_and_moves_its_writer(lake: IcebergLake) -> None:
    """Rows, position, step and properties are one snapshot."""
    done = lake.append(EVENTS, step_rows(0), Step("live-matches/3", 170, 200), properties={"riftline.note": "first"})
    assert not done.repeated
    assert lake.snapshot_id(EVENTS) == done.snapshot_id
    assert numbers(lake.read(EVENTS)) == [0, 1, 2]
    assert lake.positions(EVENTS) == {"live-matches/3": Position(200, done.snapshot_id)}
    summary = lake.summary(EVENTS)
    assert (summary["riftline.note"], summary["riftline.step.live-matches/3"]) == ("first", "170-200")


def test_a_repeated_step_changes_nothing(lake: IcebergLake, settings: LakeSettings) -> None:
    """The same step gives the same snapshot, from the same client and from another, also after later ones."""
    first = lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    again = lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    lake.append(EVENTS, step_rows(1), Step("writer", 1, 2))
    with closing(IcebergLake(settings)) as other:
        late = other.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    assert (again.snapshot_id, again.repeated) == (late.snapshot_id, late.repeated) == (first.snapshot_id, True)
    assert numbers(lake.read(EVENTS)) == list(range(2 * ROWS_PER_STEP))


def test_positions_outlive_snapshots_and_rows(lake: IcebergLake) -> None:
    """A step is known as done when its snapshot has expired, and when the table was cleared."""
    for index in range(3):
        lake.append(EVENTS, step_rows(index), Step("writer", index, index + 1))
    assert lake.expire(EVENTS, now=datetime.now(UTC) + timedelta(days=1), keep_for=timedelta()) == 2
    assert lake.append(EVENTS, step_rows(0), Step("writer", 0, 1)).repeated
    lake.clear(EVENTS, {})
    assert lake.append(EVENTS, step_rows(2), Step("writer", 2, 3)).repeated
    assert lake.read(EVENTS).num_rows == 0


def test_a_step_that_does_not_follow_is_refused(lake: IcebergLake) -> None:
    """An incarnation that was overtaken learns it: its rows would be doubled or leave a gap."""
    lake.append(EVENTS, step_rows(0), Step("writer", 0, 10))
    for start, end in ((0, 12), (11, 12), (9, 12), (5, 11)):
        with pytest.raises(ConflictError, match=r"bronze\.events is at \{'writer': 10\}.*resume from there"):
            lake.append(EVENTS, step_rows(1), Step("writer", start, end))
    assert lake.positions(EVENTS)["writer"].end == 10
    assert numbers(lake.read(EVENTS)) == [0, 1, 2]


def test_a_client_that_was_overtaken_goes_on_from_what_it_sees(lake: IcebergLake, settings: LakeSettings) -> None:
    """What a client remembers of its own last append never hides what another one did since."""
    lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    with closing(IcebergLake(settings)) as other:
        other.append(EVENTS, step_rows(1), Step("writer", 1, 2))
    lake.append(EVENTS, step_rows(2), Step("writer", 2, 3))
    assert lake.append(EVENTS, step_rows(1), Step("writer", 1, 2)).repeated
    assert numbers(lake.read(EVENTS)) == list(range(3 * ROWS_PER_STEP))


def test_several_writers_move_together(lake: IcebergLake) -> None:
    """A commit of several partitions of a stream is done for all of them or for none."""
    lake.append(EVENTS, step_rows(0), Step("topic/0", 0, 5), Step("topic/1", 7, 9))
    assert lake.append(EVENTS, step_rows(0), Step("topic/0", 0, 5), Step("topic/1", 7, 9)).repeated
    with pytest.raises(ConflictError, match="topic/0"):
        lake.append(EVENTS, step_rows(1), Step("topic/0", 0, 5), Step("topic/1", 9, 10))
    lake.append(EVENTS, step_rows(1), Step("topic/0", 5, 6), Step("topic/2", 100, 101))
    assert {writer: position.end for writer, position in lake.positions(EVENTS).items()} == {
        "topic/0": 6,
        "topic/1": 9,
        "topic/2": 101,
    }


def test_a_step_may_have_no_rows(lake: IcebergLake) -> None:
    """Work that came to nothing still moves its writer."""
    lake.append(EVENTS, EVENTS.schema.empty_table(), Step("writer", 0, 50))
    assert lake.append(EVENTS, EVENTS.schema.empty_table(), Step("writer", 0, 50)).repeated
    assert lake.read(EVENTS).num_rows == 0


def test_a_lost_answer_is_looked_up(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that took place, but whose answer was lost, is neither repeated nor reported as failed."""
    catalog = lake._catalog  # noqa: SLF001  # the moment that matters lies inside
    lost: list[Any] = []
    commit = catalog.commit_table

    def answer_is_lost(*arguments: Any) -> Any:
        response = commit(*arguments)
        if not lost:
            lost.append(response)
            raise OutcomeUnknownError("the line went dead")
        return response

    monkeypatch.setattr(catalog, "commit_table", answer_is_lost)
    done = lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    assert lost
    assert done.repeated
    assert done.snapshot_id == lake.snapshot_id(EVENTS)
    assert numbers(lake.read(EVENTS)) == [0, 1, 2]


def test_the_same_step_from_many_processes_is_there_once(lake: IcebergLake, settings: LakeSettings) -> None:
    """Of three twins one appends; all are told the same snapshot."""
    outcomes = at_once(append_the_same, *[(settings, 0)] * 3)
    assert sorted(repeated for _, repeated in outcomes) == [False, True, True], outcomes
    assert {snapshot_id for snapshot_id, _ in outcomes} == {lake.snapshot_id(EVENTS)}
    assert numbers(lake.read(EVENTS)) == [0, 1, 2]


def test_writers_at_once_all_get_their_rows_in(lake: IcebergLake, settings: LakeSettings) -> None:
    """Three processes append six steps each to one table: none fails, nothing is lost or doubled."""
    assert at_once(append_steps, *[(settings, writer, 6) for writer in range(3)]) == [6, 6, 6]
    expected = sorted(
        number for writer in range(3) for index in range(6) for number in numbers(step_rows(index, writer))
    )
    assert numbers(lake.read(EVENTS)) == expected
    assert {position.end for position in lake.positions(EVENTS).values()} == {6}


def _with(column: str, values: pa.Array) -> pa.Table:
    table = rows(range(len(values)))
    return table.set_column(table.schema.get_field_index(column), column, values)


WRONG_ROWS = {
    "missing": (rows([1]).drop_columns(["share"]), "share"),
    "unknown": (rows([1]).append_column("x; DROP TABLE", pa.array([1])), "x; DROP TABLE"),
    "type": (_with("number", pa.array(["one"])), "number"),
    "precision": (_with("kda", pa.array([123456.7])), "kda"),
    "not UTF-8": (
        _with(
            "tournament",
            pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]),
        ),
        "tournament",
    ),
    "oversized folder": (_with("tournament", pa.array(["ü" * 100])), "tournament"),
}


def test_rows_that_do_not_fit_are_refused(lake: IcebergLake) -> None:
    """The column is named, and nothing is changed."""
    for wrong, (table, column) in WRONG_ROWS.items():
        with pytest.raises(InvalidError) as refused:
            lake.append(EVENTS, table, Step("writer", 0, 1))
        assert refused.value.field == column, wrong
    assert lake.snapshot_id(EVENTS) is None


def test_what_names_an_append_is_checked(lake: IcebergLake) -> None:
    """Without a step, with a writer twice, or with properties that no catalog takes, nothing is written."""
    with pytest.raises(InvalidError, match="give the writer's step"):
        lake.append(EVENTS, step_rows(0))
    with pytest.raises(InvalidError, match="names a writer twice"):
        lake.append(EVENTS, step_rows(0), Step("writer", 0, 1), Step("writer", 1, 2))
    for properties in ({"a\0": "b"}, {"a": "\ud800"}, {"a": "x" * 20_000}):
        with pytest.raises(InvalidError, match="properties"):
            lake.append(EVENTS, step_rows(0), Step("writer", 0, 1), properties=properties)
    assert lake.snapshot_id(EVENTS) is None


def test_an_append_to_a_table_that_is_not_there_says_what_to_do(lake: IcebergLake) -> None:
    """Neither made nor guessed."""
    with pytest.raises(NotFoundError, match=r"silver\.quarantine; run `riftline ingest`"):
        lake.append(QUARANTINE, QUARANTINE.schema.empty_table(), Step("writer", 0, 1))


def test_injection_stays_text(lake: IcebergLake, implementation: str) -> None:
    """Quotes, paths and escapes in a partition's value, which names a folder, come back as they were."""
    refused = {""} if implementation == "rest-s3" else set()  # SeaweedFS denies a folder named tournament=
    texts = ["'; DROP TABLE iceberg_tables; --", "../../etc/passwd", "a=b/c%2F\\d", "ünï\n🏆", "", "..", "x" * 240]
    texts = [text for text in texts if text not in refused]
    table = rows(range(len(texts)))
    table = table.set_column(1, "tournament", pa.array(texts))
    lake.append(EVENTS, table, Step("a/../writer", 0, 1), properties={"'; --": "\"}{'"})
    assert sorted(lake.read(EVENTS)["tournament"].to_pylist()) == sorted(texts)
    assert lake.values(EVENTS, "tournament") == set(texts)
    assert lake.summary(EVENTS)["'; --"] == "\"}{'"
