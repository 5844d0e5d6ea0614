"""The holdout in an artefact: read as it was written, refused when it cannot be right, compared row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES
from tests.unit.holdouts import CUT, holdout, play, seen
from training.holdout import QUESTIONS, Holdout, HoldoutRows, common, holdout_rows
from training.subsets import MAPS_1_2, ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.dataset import TrainingSet

KILLS = PropType.KILLS


@pytest.fixture(scope="module")
def some() -> Holdout:
    """What a method says of twelve series."""
    world = play(1, 12)
    return holdout(world, seen(world, 1))


def test_a_holdout_is_read_as_it_was_written(some: Holdout) -> None:
    """Every column of every question comes back; of a tail, what is below a billionth is 0. Twice is byte for byte."""
    content = some.to_bytes()
    loaded = Holdout.from_bytes(content)
    assert loaded.trained_until == CUT
    for question in QUESTIONS:
        wrote, read = some.for_question(*question), loaded.for_question(*question)
        for name in set(HoldoutRows.__slots__) - {"pmf"}:
            assert (getattr(read, name) == getattr(wrote, name)).all()
        width = read.pmf.shape[1]
        assert np.abs(read.pmf - wrote.pmf[:, :width]).max() < 1e-9
        assert wrote.pmf[:, width:].max(initial=0.0) < 1e-9
    assert loaded.to_bytes() == content


def test_a_question_without_rows_is_kept(some: Holdout) -> None:
    """A holdout of single maps only is written and read: no row over maps 1 and 2."""
    none = some.for_question(KILLS, MAPS_1_2).at(np.array([], dtype=np.int64))
    loaded = Holdout.from_bytes(Holdout(CUT, {**some.questions, (KILLS, MAPS_1_2): none}).to_bytes())
    assert len(loaded.for_question(KILLS, MAPS_1_2)) == 0
    assert len(loaded.for_question(KILLS, ONE_MAP)) == 240


def first_row(column: str, value: Any) -> Callable[[HoldoutRows], dict[str, Any]]:
    """Another value in the first row of a column."""

    def changed(rows: HoldoutRows) -> dict[str, Any]:
        values = getattr(rows, column).copy()
        values[0] = value
        return {column: values}

    return changed


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (first_row("pmf", np.nan), "pmf", "not finite in 1 of 240 rows, first in row 0"),
        (lambda rows: {"pmf": rows.pmf - np.float32(0.01)}, "pmf", "negative probability"),
        (lambda rows: {"pmf": rows.pmf * np.float32(1.001)}, "pmf", "sum to 1"),
        (lambda rows: {"pmf": rows.pmf[:, 0]}, "pmf", "1 dimensions"),
        (first_row("position", 5), "position", "role"),
        (first_row("games_known", -1), "games_known", "negative"),
        (first_row("actual", -1), "actual", "negative"),
        (first_row("series_started_at", np.datetime64("NaT")), "series_started_at", "missing"),
        (lambda rows: {"league": rows.league[1:]}, "pmf", "league has 239"),
        (lambda rows: {"player_id": np.full(len(rows), "p", dtype=object)}, "player_id", "twice"),
    ],
)
def test_impossible_rows_are_refused(
    some: Holdout, change: Callable[[HoldoutRows], dict[str, Any]], field: str, message: str
) -> None:
    """Each column that cannot be right is named."""
    rows = some.for_question(KILLS, ONE_MAP)
    with pytest.raises(InvalidError, match=message) as caught:
        replace(rows, **change(rows))
    assert caught.value.field == field


def written(table: pa.Table) -> bytes:
    """A table as the file of a holdout."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def without_column(table: pa.Table) -> pa.Table:
    """A table that lacks the outcomes."""
    return table.drop_columns(["actual"])


def with_null(table: pa.Table) -> pa.Table:
    """A table whose first player has no id."""
    ids = pa.array([None, *table["player_id"].to_pylist()[1:]], pa.string())
    return table.set_column(table.schema.get_field_index("player_id"), "player_id", ids)


def with_nan(table: pa.Table) -> pa.Table:
    """A table whose first distribution is no number."""
    lists = table["pmf"].to_pylist()
    lists[0][0] = float("nan")
    return table.set_column(table.schema.get_field_index("pmf"), "pmf", pa.array(lists, pa.list_(pa.float32())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_column, "columns"),
        (with_null, "empty values in player_id"),
        (with_nan, "not finite"),
        (lambda table: table.replace_schema_metadata(None), "trained_until"),
    ],
)
def test_a_file_of_another_shape_is_refused(
    some: Holdout, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    """Columns, empty values, probabilities and the cut of time are checked before anything is compared."""
    table = pa.ipc.open_file(pa.BufferReader(some.to_bytes())).read_all()
    with pytest.raises(InvalidError, match=message):
        Holdout.from_bytes(written(change(table)))


@pytest.mark.parametrize("keep", [0, 7, 400, -20])
def test_a_file_that_was_cut_is_refused(some: Holdout, keep: int) -> None:
    """Whatever is left of the file, the error is ours and names it."""
    with pytest.raises(InvalidError, match=r"holdout\.arrow"):
        Holdout.from_bytes(some.to_bytes()[:keep])


@given(st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_a_damaged_file_is_read_soundly_or_refused(some: Holdout, flips: list[tuple[float, int]]) -> None:
    """Whichever bits are flipped: valid rows or an InvalidError, never another exception."""
    content = bytearray(some.to_bytes())
    for place, bit in flips:
        content[int(place * len(content))] ^= 1 << bit
    try:
        loaded = Holdout.from_bytes(bytes(content))
    except InvalidError:
        return
    assert set(loaded.questions) == set(QUESTIONS)


def test_every_question_is_asked(some: Holdout) -> None:
    """A holdout without one of the questions is none."""
    with pytest.raises(InvalidError, match="1-2"):
        Holdout(CUT, {question: rows for question, rows in some.questions.items() if question[1] == ONE_MAP})


def test_common_rows_are_the_same_player_on_the_same_map(some: Holdout) -> None:
    """Of two shuffled parts, the rows of both are found wherever they lie; a corrected outcome is left out."""
    rows = some.for_question(KILLS, ONE_MAP)
    rng = np.random.default_rng(1)
    a, b = rows.at(rng.permutation(240)[:150]), rows.at(rng.permutation(240)[:150])
    in_a, in_b = common(a, b)
    keys = [list(zip(part.match_id, part.player_id, strict=True)) for part in (a, b)]
    assert [keys[0][at] for at in in_a] == [keys[1][at] for at in in_b]
    assert {keys[0][at] for at in in_a} == set(keys[0]) & set(keys[1])
    corrected = b.actual.copy()
    corrected[in_b[0]] += 1
    again, _ = common(a, replace(b, actual=corrected))
    assert again.tolist() == in_a[1:].tolist()
    assert len(common(a, b.at(np.array([], dtype=np.int64)))[0]) == 0


def test_rows_are_taken_from_the_training_set(make_rows: Callable[..., TrainingSet]) -> None:
    """The evidence is the feature of known games, the league the tournament, and the time that of the series."""
    features = np.zeros((3, len(MODEL_FEATURES)), dtype=np.float32)
    features[:, MODEL_FEATURES.index("player_games_known")] = [np.nan, 8, 51]
    start = CUT + np.arange(3)
    rows = make_rows(["a", "b", "c"], start + np.timedelta64(1, "h"), features=features, series_started_at=start)
    pmf = np.full((2, 4), 0.25)
    found = holdout_rows(rows, np.array([2, 0]), np.array([1, 3]), pmf)
    assert found.games_known.tolist() == [51, 0]
    assert found.player_id.tolist() == ["c", "a"]
    assert found.series_started_at.tolist() == start[[2, 0]].tolist()
    assert found.league.tolist() == ["LCK", "LCK"]
    assert found.actual.tolist() == [1, 3]


def test_every_outcome_has_its_count(some: Holdout) -> None:
    """Where the outcome lies beyond the written tail, the distribution is widened with zeros."""
    rows = some.for_question(KILLS, ONE_MAP)
    beyond = replace(rows, actual=rows.actual + 100)
    assert beyond.probabilities().shape[1] == beyond.actual.max() + 1
    assert rows.probabilities().shape == rows.pmf.shape
