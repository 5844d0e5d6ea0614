"""Out-of-time predictions of a version, kept in its artefact so that a later version is compared row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES, POSITIONS
from training.subsets import MAPS_1_2, ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

HOLDOUT_FILE: Final = "holdout.arrow"
QUESTIONS: Final = tuple((prop, maps) for prop in PropType for maps in (ONE_MAP, MAPS_1_2))
SUM_TOLERANCE: Final = 1e-4  # float32 probabilities of a hundred counts sum to 1 within 1e-6
NEGLIGIBLE: Final = 1e-9  # below this a tail is not written: a log score of it never happened in ten seasons
_TRAINED_UNTIL: Final = b"trained_until"
_SCHEMA: Final = pa.schema(
    [
        ("prop", pa.dictionary(pa.int8(), pa.string())),
        ("maps", pa.dictionary(pa.int8(), pa.string())),
        ("series_id", pa.string()),
        ("match_id", pa.string()),
        ("player_id", pa.string()),
        ("position", pa.int8()),
        ("league", pa.string()),
        ("games_known", pa.int32()),
        ("series_started_at", pa.timestamp("us", tz="UTC")),
        ("actual", pa.int32()),
        ("pmf", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class HoldoutRows:
    """The scored players of one question. All arrays have the length n; ``pmf`` has the shape [n, counts].

    ``match_id`` is the (first) map, ``position`` the index in POSITIONS, ``league`` the tournament, ``games_known`` the
    evidence. Raises InvalidError naming the column that cannot be right.
    """

    series_id: NDArray[np.object_]
    match_id: NDArray[np.object_]
    player_id: NDArray[np.object_]
    position: NDArray[np.int64]
    league: NDArray[np.object_]
    games_known: NDArray[np.int64]
    series_started_at: NDArray[np.datetime64]
    actual: NDArray[np.int64]
    pmf: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.pmf)
        lengths = {name: len(getattr(self, name)) for name in self.__slots__}
        wrong = [f"{name} has {length}" for name, length in lengths.items() if length != n]
        if self.pmf.ndim != 2 or wrong:
            raise InvalidError(f"pmf has {n} rows in {self.pmf.ndim} dimensions, {', '.join(wrong) or 'give 2'}", "pmf")
        _refuse("position", ~np.isin(self.position, range(len(POSITIONS))), "is no index of a role")
        _refuse("games_known", np.less(self.games_known, 0), "is negative")
        _refuse("actual", np.less(self.actual, 0), "is negative")
        _refuse("series_started_at", np.isnat(self.series_started_at), "is missing")
        _refuse("pmf", np.any(~np.isfinite(self.pmf), axis=1), "is not finite")
        _refuse("pmf", np.any(self.pmf < 0, axis=1), "has a negative probability")
        off = np.abs(self.pmf.sum(axis=1, dtype=np.float64) - 1.0) > SUM_TOLERANCE
        _refuse("pmf", off, f"does not sum to 1 within {SUM_TOLERANCE:g}")
        if self.keys().group_by(["match_id", "player_id"]).aggregate([]).num_rows != n:
            raise InvalidError("player_id comes twice on the same map; score every player once", "player_id")

    def __len__(self) -> int:
        return len(self.actual)

    def at(self, rows: NDArray[np.int64]) -> HoldoutRows:
        """The rows at these indices."""
        return HoldoutRows(*(getattr(self, name)[rows] for name in self.__slots__))

    def probabilities(self) -> NDArray[np.float64]:
        """``pmf`` as doubles, wide enough that every outcome has its count."""
        missing = int(self.actual.max(initial=0)) + 1 - self.pmf.shape[1]
        return np.pad(self.pmf.astype(np.float64), ((0, 0), (0, max(missing, 0))))

    def series_count(self) -> int:
        """How many series the rows are of: as many independent draws there are."""
        return len(set(self.series_id))

    def keys(self) -> pa.Table:
        """What makes a row the same in two versions: series, map and player, one row each."""
        names = ("series_id", "match_id", "player_id")
        return pa.table({name: pa.array(getattr(self, name), pa.string()) for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """What a model said of series that began after ``trained_until`` (UTC), before it was trained again on all.

    ``questions`` holds rows for every one of QUESTIONS, be it none. The file is Arrow IPC and holds no code.
    """

    trained_until: np.datetime64
    questions: Mapping[tuple[PropType, str], HoldoutRows]

    def __post_init__(self) -> None:
        if set(self.questions) != set(QUESTIONS):
            raise InvalidError(f"the holdout answers {sorted(self.questions)}; give {sorted(QUESTIONS)}", "questions")
        if np.isnat(self.trained_until):
            raise InvalidError("trained_until is missing; give the start of the newest series trained on")

    def for_question(self, prop: PropType, maps: str) -> HoldoutRows:
        """The rows of one prop over one map (ONE_MAP) or over the first two (MAPS_1_2)."""
        return self.questions[prop, maps]

    def to_bytes(self) -> bytes:
        """The file of an artefact: about 180 bytes a row, nearly all of them probabilities."""
        until = str(self.trained_until.astype("datetime64[us]")).encode()
        table = pa.concat_tables(_table(prop, maps, rows) for (prop, maps), rows in self.questions.items())
        table = table.unify_dictionaries().replace_schema_metadata({_TRAINED_UNTIL: until})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table.combine_chunks())
        return bytes(sink.getvalue().to_pybytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> Holdout:
        """Read `to_bytes`. Raises InvalidError saying what is wrong with another file."""
        try:
            table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
            table.validate(full=True)
            until = np.datetime64((table.schema.metadata or {}).get(_TRAINED_UNTIL, b"").decode(), "us")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InvalidError(f"{HOLDOUT_FILE} is not a whole Arrow file of a holdout: {error}") from error
        if not table.schema.equals(_SCHEMA):
            raise InvalidError(f"{HOLDOUT_FILE} has the columns {table.schema.names} or types other than {_SCHEMA}")
        nulls = [name for name in _SCHEMA.names if table[name].null_count]
        if nulls:
            raise InvalidError(f"{HOLDOUT_FILE} has empty values in {', '.join(nulls)}")
        return cls(until, {question: _rows(table, *question) for question in QUESTIONS})


def holdout_rows(
    rows: TrainingSet, at: NDArray[np.int64], actual: NDArray[np.int64], pmf: NDArray[np.float64]
) -> HoldoutRows:
    """What was predicted for the rows ``at`` (of the first map): ``actual`` of shape [n], ``pmf`` [n, counts]."""
    known = rows.features[at, MODEL_FEATURES.index("player_games_known")]
    return HoldoutRows(
        series_id=rows.series_id[at],
        match_id=rows.match_id[at],
        player_id=rows.player_id[at],
        position=rows.position[at],
        league=rows.tournament[at],
        games_known=np.nan_to_num(known).astype(np.int64),
        series_started_at=rows.series_started_at[at],
        actual=actual,
        pmf=pmf.astype(np.float32),
    )


def common(a: HoldoutRows, b: HoldoutRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices in ``a`` and in ``b`` of the same player on the same map of the same series.

    A row whose outcome was corrected between the two is left out: one of them would be scored on what did not happen.
    """
    left, right = (
        rows.keys().append_column(name, pa.array(np.arange(len(rows)))) for rows, name in ((a, "a"), (b, "b"))
    )
    both = left.join(right, keys=["series_id", "match_id", "player_id"], join_type="inner").sort_by("a")
    in_a, in_b = (both[name].to_numpy() for name in ("a", "b"))
    same = a.actual[in_a] == b.actual[in_b]
    return in_a[same], in_b[same]


def _refuse(column: str, wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        raise InvalidError(
            f"{column} {why} in {wrong.sum()} of {len(wrong)} rows, first in row {wrong.argmax()}", column
        )


def _table(prop: PropType, maps: str, rows: HoldoutRows) -> pa.Table:
    counts = np.arange(rows.pmf.shape[1])[None, :]
    ends = np.where(rows.pmf >= NEGLIGIBLE, counts + 1, 0).max(axis=1, initial=1)
    offsets = np.concatenate([[0], np.cumsum(ends)]).astype(np.int32)
    columns = {name: getattr(rows, name) for name in HoldoutRows.__slots__}
    columns |= {"prop": [str(prop)] * len(rows), "maps": [maps] * len(rows)}
    columns["series_started_at"] = rows.series_started_at.astype("datetime64[us]")
    columns["pmf"] = pa.ListArray.from_arrays(offsets, pa.array(rows.pmf[counts < ends[:, None]]))
    return pa.table([pa.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _rows(table: pa.Table, prop: PropType, maps: str) -> HoldoutRows:
    asked = pc.and_(pc.equal(table["prop"], str(prop)), pc.equal(table["maps"], maps))
    part = table.filter(asked)
    texts = {name: part[name].to_numpy() for name in ("series_id", "match_id", "player_id", "league")}
    whole = {name: part[name].to_numpy().astype(np.int64) for name in ("position", "games_known", "actual")}
    lists = part["pmf"].combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    pmf = np.zeros((len(lengths), lengths.max(initial=1)), dtype=np.float32)
    pmf[np.arange(pmf.shape[1])[None, :] < lengths[:, None]] = lists.flatten().to_numpy()
    return HoldoutRows(**texts, **whole, series_started_at=part["series_started_at"].to_numpy(), pmf=pmf)
