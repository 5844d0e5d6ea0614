"""Match files as raw rows."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.layouts import SPECS, Layout
from pipelines.sources import EXTRA_FIELDS, RawSource, ReadLimits, discover, display_name, read_source
from stores.errors import InvalidError, NotFoundError, TransientError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = sorted(SPECS[Layout.TOP_LEAGUE_PLAYERS].required)
HEADER = ",".join(COLUMNS)
LINE = ",".join(str(number) for number in range(len(COLUMNS)))
CSV = f"{HEADER}\n{LINE}\n{LINE}\n".encode()


def read(tmp_path: Path, data: bytes, name: str = "games.csv", limits: ReadLimits | None = None) -> RawSource:
    path = tmp_path / name
    path.write_bytes(data)
    return read_source(str(path), limits)


def parquet(table: dict[str, object] | pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def players(**columns: object) -> dict[str, object]:
    return {column: ["x"] for column in COLUMNS} | columns


def fetch(handler: object, url: str = "https://ann:secret@host.test/games.csv?key=1") -> RawSource:
    with httpx.Client(transport=httpx.MockTransport(handler)) as client:  # type: ignore[arg-type]
        return read_source(url, ReadLimits(max_bytes=10_000), client)


def test_csv_is_read_as_received(tmp_path: Path) -> None:
    """Name, hash, layout, columns, row numbers and untouched values come out of a CSV file."""
    source = read(tmp_path, CSV)
    assert source.source == "games.csv"
    assert source.sha256 == hashlib.sha256(CSV).hexdigest()
    assert source.layout is Layout.TOP_LEAGUE_PLAYERS
    assert source.columns == tuple(COLUMNS)
    rows = list(source.rows)
    assert [row.row_number for row in rows] == [1, 2]
    assert rows[0].payload == {column: str(number) for number, column in enumerate(COLUMNS)}
    assert {row.damage for row in rows} == {None}
    assert list(source.rows) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_mark_blank_lines_and_line_ends_do_not_count(tmp_path: Path, end: str) -> None:
    """A byte-order mark, blank lines and either line end leave columns and rows as they are."""
    text = f"\ufeff{HEADER}\n\n{LINE}\n\n{LINE}\n\n".replace("\n", end)
    source = read(tmp_path, text.encode())
    assert source.columns == tuple(COLUMNS)
    assert [row.row_number for row in source.rows] == [1, 2]


def test_gzip_by_content(tmp_path: Path) -> None:
    """Gzip is known by its bytes, and hashed as received."""
    packed = gzip.compress(CSV)
    for name in ("games.csv.gz", "games.csv"):
        source = read(tmp_path, packed, name)
        assert len(list(source.rows)) == 2
        assert source.sha256 == hashlib.sha256(packed).hexdigest()


def test_ragged_rows_are_damaged_and_kept(tmp_path: Path) -> None:
    """A row with too few or too many fields is kept with its damage, and its neighbours are fine."""
    few, good, many = read(tmp_path, f"{HEADER}\na,b\n{LINE}\n{LINE},extra,more\n".encode()).rows
    wanted = len(COLUMNS)
    assert few.damage == f"row has 2 of {wanted} fields"
    assert few.payload == {COLUMNS[0]: "a", COLUMNS[1]: "b"}
    assert good.damage is None
    assert many.damage == f"row has {wanted + 2} of {wanted} fields"
    assert many.payload[EXTRA_FIELDS] == ["extra", "more"]


def test_open_quote(tmp_path: Path) -> None:
    """A quote that is never closed damages its row, and is an error once it swallows more than a field may hold."""
    (row,) = read(tmp_path, f'{HEADER}\n"{LINE}\n{LINE}\n'.encode()).rows
    assert row.damage is not None
    source = read(tmp_path, f'{HEADER}\n{LINE}\n"{(LINE + chr(10)) * 5000}'.encode())
    with pytest.raises(InvalidError, match=r"games.csv cannot be split at line .* quote that is never closed"):
        list(source.rows)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("games.csv", b"", "games.csv is empty"),
        ("games.csv", b"\xef\xbb\xbf", "games.csv is empty"),
        ("games.csv", b"\n\n", "games.csv is empty"),
        ("games.csv", HEADER.encode() + b"\n", "games.csv has a header but no rows"),
        ("games.csv", CSV + b"caf\xe9", f"games.csv is not UTF-8: byte 0xe9 at offset {len(CSV) + 3}"),
        ("games.csv", b"\xef\xbb\xbf" + CSV + b"\xff", f"not UTF-8: byte 0xff at offset {len(CSV) + 3}"),
        ("games.csv", HEADER.encode("utf-16"), "games.csv is not UTF-8: byte 0xff at offset 0"),
        ("games.csv", CSV + b"\0\1\2", f"games.csv is binary, not CSV: a NUL byte at offset {len(CSV)}"),
        ("games.csv", b"a,b\n1,2\n", "games.csv: the header fits no known layout"),
        ("games.csv", f"{HEADER},kills\n{LINE},1\n".encode(), "games.csv has the column 'kills' more than once"),
        ("games.csv.gz", CSV, "games.csv.gz is named .gz but is not gzip"),
        ("games.csv.gz", gzip.compress(CSV, mtime=0)[:-9], "games.csv.gz is a truncated gzip file"),
        ("games.csv.gz", gzip.compress(CSV, mtime=0)[:-8] + b"12345678", "games.csv.gz is a damaged gzip file"),
        ("games.csv.gz", gzip.compress(b"", mtime=0), "games.csv.gz is empty"),
        ("games.parquet", CSV, "games.parquet is not readable Parquet"),
        ("games.parquet", parquet(players())[:-20], "games.parquet is not readable Parquet"),
        ("games.parquet", b"PAR1", "games.parquet is not readable Parquet"),
        ("games.parquet", parquet({column: pa.array([], pa.string()) for column in COLUMNS}), "columns but no rows"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    """A file that cannot be used is an InvalidError that names the file, what is wrong and what to do."""
    with pytest.raises(InvalidError) as wrong:
        read(tmp_path, data, name)
    assert reason in str(wrong.value)
    assert ";" in str(wrong.value) or "Export" in str(wrong.value)


def test_bombs_are_refused(tmp_path: Path) -> None:
    """A file above the limit, packed or unpacked, is refused before it fills the memory."""
    limits = ReadLimits(max_bytes=1000, max_unpacked_bytes=2000)
    packed = ReadLimits(max_unpacked_bytes=2000)
    with pytest.raises(InvalidError, match="larger than 1000 bytes"):
        read(tmp_path, b"x" * 1001, limits=limits)
    with pytest.raises(InvalidError, match="unpacks to more than 2000 bytes"):
        read(tmp_path, gzip.compress(b"x" * 100_000), "games.csv.gz", limits)
    with pytest.raises(InvalidError, match="unpacks to more than 2000 bytes"):
        read(tmp_path, parquet({column: ["x" * 100] * 50_000 for column in COLUMNS}), "games.parquet", packed)


def test_unreadable_path(tmp_path: Path) -> None:
    """A file that is gone by the time it is read is an InvalidError."""
    with pytest.raises(InvalidError, match=r"gone.csv cannot be read: No such file"):
        read_source(str(tmp_path / "gone.csv"))


def test_parquet_values_are_json(tmp_path: Path) -> None:
    """Parquet values keep their types where JSON has them, and become text, lists or null where not."""
    kickoff = datetime(2025, 1, 12, 9, 24, 17)  # noqa: DTZ001 — as the files hold it
    table = players(
        date=pa.array([kickoff], pa.timestamp("ns")),
        kills=pa.array([3], pa.int8()),
        deaths=pa.array([float("nan")]),
        assists=pa.array([float("inf")]),
        result=pa.array([True]),
        bans=pa.array([["Vi", None]]),
        stamp=pa.array([datetime(2025, 1, 12, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        day=pa.array([date(2025, 1, 12)]),
        money=pa.array([Decimal("1.50")]),
        raw=pa.array([b"\x00\xff"]),
        big=pa.array([2**63 - 1]),
        deep=pa.array([{"a": [1.5, float("nan")]}]),
    )
    source = read(tmp_path, parquet(table), "games.parquet")
    (row,) = source.rows
    expected = {
        "date": "2025-01-12T09:24:17",
        "kills": 3,
        "deaths": None,
        "assists": "inf",
        "result": True,
        "bans": ["Vi", None],
        "stamp": "2025-01-12T00:00:00+00:00",
        "day": "2025-01-12",
        "money": "1.50",
        "raw": "00ff",
        "big": 2**63 - 1,
        "deep": {"a": [1.5, None]},
    }
    assert {name: row.payload[name] for name in expected} == expected
    assert json.loads(json.dumps(row.payload, allow_nan=False)) == row.payload
    assert source.layout is Layout.TOP_LEAGUE_PLAYERS


def test_parquet_rows_are_numbered_across_batches(tmp_path: Path) -> None:
    """Row numbers count on through a file of several batches."""
    source = read(tmp_path, parquet({column: ["x"] * 4500 for column in COLUMNS}), "games.parquet")
    assert [row.row_number for row in source.rows] == list(range(1, 4501))


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=19, max_size=19)))
def test_quoted_values_come_back(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]) -> None:
    """Any text that is quoted, with commas, quotes and line breaks in it, comes back as it was."""
    columns = [*COLUMNS, *(f"more{number}" for number in range(19 - len(COLUMNS)))]
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in [columns, *table, columns]]
    source = read(tmp_path_factory.mktemp("quoted"), "\n".join(lines).encode())
    assert [list(row.payload.values()) for row in source.rows] == [*table, columns]


@given(st.binary(max_size=300))
def test_garbage_is_invalid_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever the bytes, an unusable file is an InvalidError."""
    for name in ("games.csv", "games.csv.gz", "games.parquet"):
        for content in (data, b"\x1f\x8b" + data, b"PAR1" + data + b"PAR1", CSV + data):
            try:
                list(read(tmp_path_factory.getbasetemp(), content, name).rows)
            except InvalidError:
                continue


def test_discover_folder(tmp_path: Path) -> None:
    """A folder gives its match files and those of its subfolders, sorted, and nothing else."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "dir.csv").mkdir()
    for name in ("b.csv", "a.CSV.gz", "deep/c.parquet", "notes.txt", "d.zip"):
        (tmp_path / name).touch()
    assert discover(str(tmp_path)) == [str(tmp_path / name) for name in ("a.CSV.gz", "b.csv", "deep/c.parquet")]
    assert discover(str(tmp_path / "notes.txt")) == [str(tmp_path / "notes.txt")]
    assert discover("HTTPS://host.test/a.csv") == ["HTTPS://host.test/a.csv"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "no path"),
        ("nowhere/at/all", "'nowhere/at/all' does not exist; give a file"),
        ("ftp://host.test/a.csv", "'ftp' addresses are not read; give an http"),
        ("file:///etc/passwd", "'file' addresses are not read"),
        ("https:///a.csv", "names no host"),
        ("http://[bad/a.csv", "names no host"),
    ],
)
def test_discover_nothing(location: str, reason: str) -> None:
    """What leads nowhere is an InvalidError with a remedy."""
    with pytest.raises(InvalidError) as wrong:
        discover(location)
    assert reason in str(wrong.value)
    assert "give" in str(wrong.value)


def test_discover_empty_folder(tmp_path: Path) -> None:
    """A folder without match files is an InvalidError that says which files are wanted."""
    with pytest.raises(InvalidError, match=r"holds no .csv, .csv.gz, .parquet file; put match files there"):
        discover(str(tmp_path))


def test_display_name_hides_secrets() -> None:
    """Neither credentials nor query nor folders are part of a source's name."""
    assert display_name("https://ann:secret@host.test:8443/a/b.csv?key=1#x") == "https://host.test:8443/a/b.csv"
    assert display_name(os.path.join("some", "where", "b.csv")) == "b.csv"  # noqa: PTH118 — a path as users type it


def test_url_is_fetched() -> None:
    """A URL is read like a file: credentials are sent, no compression asked for, none of it in the name."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Basic ")
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, stream=httpx.ByteStream(CSV))

    source = fetch(answer)
    assert source.source == "https://host.test/games.csv"
    assert source.sha256 == hashlib.sha256(CSV).hexdigest()
    assert len(list(source.rows)) == 2


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"", NotFoundError),
        (403, b"", InvalidError),
        (304, b"", InvalidError),
        (429, b"", TransientError),
        (503, b"", TransientError),
        (200, b"", InvalidError),
        (200, b"x" * 10_001, InvalidError),
        (200, b"<html>sign in</html>", InvalidError),
    ],
)
def test_url_answers(status: int, body: bytes, error: type[Exception]) -> None:
    """Each kind of bad answer is the error that says what the caller can do, and none tells the password."""
    with pytest.raises(error) as wrong:
        fetch(lambda _: httpx.Response(status, stream=httpx.ByteStream(body)))
    assert "https://host.test/games.csv" in str(wrong.value)
    assert "secret" not in str(wrong.value)
    assert "key=1" not in str(wrong.value)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("down"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
def test_url_that_breaks_is_transient(failure: httpx.HTTPError) -> None:
    """A server that is down, slow or cuts the line may be tried again."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(TransientError, match="could not be fetched"):
        fetch(answer)
